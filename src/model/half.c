/* half.c: see half.h. */
#include "model/half.h"

#include <string.h>

static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits >= 0x47800000) return sign | 0x7c00; /* from 2^16 on */
    if (bits < 0x38800000) {                      /* below 2^-14: a step is 2^-24, which is that of floats from .5 on */
        float magnitude;
        memcpy(&magnitude, &bits, sizeof bits);
        magnitude += .5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

bool fov_half_from(const float *x, uint16_t *y, size_t count) {
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        y[i] = half_of(x[i]);
        finite = finite && (y[i] & 0x7c00) != 0x7c00;
    }
    return finite;
}

void fov_half_round(const fov_kernels *kernels, float *x, size_t count) {
    uint16_t halves[1024];
    const size_t room = sizeof halves / sizeof *halves;
    for (size_t i = 0; i < count; i += room) {
        const size_t n = count - i < room ? count - i : room;
        fov_half_from(x + i, halves, n);
        kernels->from_f16(halves, x + i, n);
    }
}
