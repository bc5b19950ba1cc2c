/* gemm_pack.c: weights as panels of a type, at load time: converted row by row, then transposed as words. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* Symmetric, per output channel; the sum of q stands for the zero of X. A row that is not finite has the scale NaN. */
static void quantize_row(const float *w, size_t k, int8_t *q, float *scale, int32_t *sum) {
    float most = 0, finite = 0;
    for (size_t i = 0; i < k; i++) {
        most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
        finite += 0 * w[i];
    }
    if (finite != 0) { /* NaN */
        memset(q, 0, k);
        *scale = NAN;
        *sum = 0;
        return;
    }
    const float step = most / 127;
    const float inverse = step > 0x1p-120f ? 1 / step : 0;
    int32_t total = 0;
    for (size_t i = 0; i < k; i++) {
        const float value = w[i] * inverse, whole = rintf(value);
        q[i] = (int8_t)(whole > 127 ? 127 : whole < -127 ? -127 : whole);
        total += q[i];
    }
    *scale = step;
    *sum = total;
}

void fov_pack_type(const fov_kernels *kernels, fov_type type, const float *w, size_t ldw, size_t m, size_t k, float *packed,
                   float *scale, int32_t *sum, float *words) {
    if (type == FOV_TYPE_F32) {
        kernels->pack_t(w, ldw, m, k, packed);
        return;
    }
    const size_t count = fov_words(type, k);
    for (size_t j = 0; j < m; j += FOV_PANEL) {
        const size_t rows = m - j < FOV_PANEL ? m - j : FOV_PANEL;
        memset(words, 0, rows * count * sizeof *words);
        for (size_t r = 0; r < rows; r++) {
            void *to = words + r * count;
            if (type == FOV_TYPE_BF16)
                kernels->to_bf16(w + (j + r) * ldw, to, k);
            else
                quantize_row(w + (j + r) * ldw, k, to, &scale[j + r], &sum[j + r]);
        }
        kernels->pack_t(words, count, rows, count, packed + j * count);
    }
}

float fov_packed_at(fov_type type, const float *packed, const float *scale, size_t k, size_t j, size_t i) {
    const size_t word = (j / FOV_PANEL * fov_words(type, k) + (i >> type)) * FOV_PANEL + j % FOV_PANEL;
    if (type == FOV_TYPE_F32) return packed[word];
    if (type == FOV_TYPE_BF16) {
        uint16_t pair[2];
        memcpy(pair, packed + word, sizeof pair);
        const uint32_t bits = (uint32_t)pair[i & 1] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    int8_t q[4];
    memcpy(q, packed + word, sizeof q);
    return scale[j] * (float)q[i & 3];
}
