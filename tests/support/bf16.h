/* bf16.h: rounding to bf16, for references in double precision. test_gemm_types.c checks it against the definition. */
#ifndef FOV_TESTS_SUPPORT_BF16_H
#define FOV_TESTS_SUPPORT_BF16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static const double bf16_unit = 0x1p-8; /* the most that rounding moves a value, relative to it */

/* x with 8 significant bits, to nearest, ties to even; a NaN as it is. */
static inline double bf16_of(float x) {
    uint32_t bits;
    if (isnan(x)) return (double)x;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

#endif
