/* rows_ref.c: softmax, layernorm and the element-wise functions in plain C. */
#include <float.h>

#include "kernels/ref/ref.h"

/* Sums run in LANES chains, as the vector tiers do: the rounding error of a long row grows with cols / LANES only. */
enum { LANES = 16 };

static float sum_lanes(float lanes[LANES]) {
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

static void softmax_row(float *s, size_t cols, float scale) {
    float top = -FLT_MAX; /* finite, so that exp(-inf - top) is 0 in a row of nothing but -inf */
    for (size_t j = 0; j < cols; j++) {
        s[j] *= scale;
        if (s[j] > top) top = s[j];
    }
    float lanes[LANES] = {0};
    for (size_t j = 0; j < cols; j++) {
        s[j] = expf(s[j] - top);
        lanes[j % LANES] += s[j];
    }
    const float sum = sum_lanes(lanes);
    for (size_t j = 0; sum != 0 && j < cols; j++) s[j] /= sum;
}

void fov_softmax_ref(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy) {
    for (size_t i = 0; i < n; i++, s += ld) {
        softmax_row(s, cols, scale);
        for (size_t j = 0; col_max && j < cols; j++)
            if (s[j] > col_max[j] || s[j] != s[j]) col_max[j] = s[j]; /* a NaN stays */
        for (size_t j = 0; col_energy && j < cols; j++) col_energy[j] += s[j] * s[j];
    }
}

void fov_softmax_tile_ref(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor) {
    for (size_t i = 0; i < n; i++, s += ld) {
        float most = top[i], lanes[LANES] = {0};
        for (size_t j = 0; j < cols; j++) {
            s[j] *= scale;
            if (s[j] > most) most = s[j];
        }
        for (size_t j = 0; j < cols; j++) {
            s[j] = expf(s[j] - most);
            lanes[j % LANES] += s[j];
        }
        factor[i] = expf(top[i] - most);
        sum[i] = sum[i] * factor[i] + sum_lanes(lanes);
        top[i] = most;
    }
}

/* The second pass also sums the deviations: what the rounding of the mean left. Taken out, it spares rows of small variance, where
 * that rounding would be magnified. */
static void layernorm_row(const float *x, size_t c, const float *gamma, const float *beta, float eps, float *y) {
    float sums[LANES] = {0}, squares[LANES] = {0};
    for (size_t j = 0; j < c; j++) sums[j % LANES] += x[j];
    const float mean = sum_lanes(sums) / (float)c;
    memset(sums, 0, sizeof sums);
    for (size_t j = 0; j < c; j++) {
        const float d = x[j] - mean;
        sums[j % LANES] += d;
        squares[j % LANES] += d * d;
    }
    const double rest = (double)sum_lanes(sums) / (double)c, variance = (double)sum_lanes(squares) / (double)c - rest * rest;
    const float factor = (float)(1 / sqrt(variance + (double)eps)), shift = (float)rest;
    for (size_t j = 0; j < c; j++) y[j] = (x[j] - mean - shift) * factor * gamma[j] + beta[j];
}

void fov_layernorm_ref(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy) {
    for (size_t i = 0; i < n; i++) layernorm_row(x + i * ldx, c, gamma, beta, eps, y + i * ldy);
}

void fov_gelu_ref(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = fov_gelu1(x[i]);
}

void fov_exp_ref(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = expf(x[i]);
}
