/* rows_avx2.c: softmax, layernorm and the element-wise functions, 8 lanes at a time. Sums over a row run in 8 chains, then over the
 * lanes: the order depends on the length of the row alone. */
#include <float.h>
#include <math.h>

#include "kernels/avx2/avx2.h"

/* Lanes past `count` become zero. */
static inline __m256 keep(__m256 v, size_t count) {
    return count >= 8 ? v : _mm256_and_ps(v, _mm256_castsi256_ps(fov_mask8(count)));
}

/* a / b from 1 / b: one step of Newton takes the rounding of the inverse out, at a third of a division's cost. */
static inline __m256 quotient(__m256 a, __m256 b, __m256 inverse) {
    const __m256 q = _mm256_mul_ps(a, inverse);
    return _mm256_fmadd_ps(_mm256_fnmadd_ps(q, b, a), inverse, q);
}

/* max(top, max_j scale s[j]) */
static inline float row_top(const float *s, size_t cols, float scale, float top) {
    const __m256 factor = _mm256_set1_ps(scale), lowest = _mm256_set1_ps(top);
    __m256 tops = lowest;
    for (size_t j = 0; j < cols; j += 8) {
        __m256 v = _mm256_mul_ps(fov_load8(s + j, cols - j), factor);
        if (cols - j < 8) v = _mm256_blendv_ps(lowest, v, _mm256_castsi256_ps(fov_mask8(cols - j)));
        tops = _mm256_max_ps(v, tops); /* a NaN is passed over here and found by the sum */
    }
    return fov_max8(tops);
}

/* s = exp(scale s - top); returns their sum. */
static inline float row_exp(float *s, size_t cols, float scale, float most) {
    const __m256 factor = _mm256_set1_ps(scale), top = _mm256_set1_ps(most);
    __m256 sums = _mm256_setzero_ps();
    for (size_t j = 0; j < cols; j += 8) {
        const __m256 v = _mm256_mul_ps(fov_load8(s + j, cols - j), factor);
        const __m256 e = keep(fov_exp8(_mm256_sub_ps(v, top)), cols - j);
        sums = _mm256_add_ps(sums, e);
        fov_store8(s + j, cols - j, e);
    }
    return fov_sum8(sums);
}

static void softmax_row(float *s, size_t cols, float scale) {
    /* a finite start, so that exp(-inf - top) is 0 in a row of nothing but -inf */
    const float sum = row_exp(s, cols, scale, row_top(s, cols, scale, -FLT_MAX));
    const __m256 total = _mm256_set1_ps(sum), inverse = _mm256_set1_ps(sum == 0 ? 0 : 1 / sum);
    for (size_t j = 0; j < cols; j += 8) fov_store8(s + j, cols - j, quotient(fov_load8(s + j, cols - j), total, inverse));
}

void fov_softmax_tile_avx2(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor) {
    for (size_t i = 0; i < n; i++, s += ld) {
        const float most = row_top(s, cols, scale, top[i]);
        factor[i] = _mm256_cvtss_f32(fov_exp8(_mm256_set1_ps(top[i] - most)));
        sum[i] = sum[i] * factor[i] + row_exp(s, cols, scale, most);
        top[i] = most;
    }
}

static void column_max(const float *s, size_t cols, float *col_max) {
    for (size_t j = 0; j < cols; j += 8) {
        const __m256 v = fov_load8(s + j, cols - j), old = fov_load8(col_max + j, cols - j);
        const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
        /* max gives its second operand when either is NaN: an old NaN stays, a new one is put in */
        fov_store8(col_max + j, cols - j, _mm256_blendv_ps(_mm256_max_ps(v, old), v, nan));
    }
}

static void column_energy(const float *s, size_t cols, float *col_energy) {
    for (size_t j = 0; j < cols; j += 8) {
        const __m256 v = fov_load8(s + j, cols - j);
        fov_store8(col_energy + j, cols - j, _mm256_fmadd_ps(v, v, fov_load8(col_energy + j, cols - j)));
    }
}

void fov_softmax_avx2(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy) {
    for (size_t i = 0; i < n; i++, s += ld) {
        softmax_row(s, cols, scale);
        if (col_max) column_max(s, cols, col_max);
        if (col_energy) column_energy(s, cols, col_energy);
    }
}

/* The second pass also sums the deviations: what the rounding of the mean left. Taken out, it spares rows of small variance, where
 * that rounding would be magnified. */
static void layernorm_row(const float *x, size_t c, const float *gamma, const float *beta, float eps, float *y) {
    __m256 sums = _mm256_setzero_ps(), squares = sums;
    for (size_t j = 0; j < c; j += 8) sums = _mm256_add_ps(sums, fov_load8(x + j, c - j));
    const __m256 mean = _mm256_set1_ps(fov_sum8(sums) / (float)c);
    sums = _mm256_setzero_ps();
    for (size_t j = 0; j < c; j += 8) {
        const __m256 d = keep(_mm256_sub_ps(fov_load8(x + j, c - j), mean), c - j);
        sums = _mm256_add_ps(sums, d);
        squares = _mm256_fmadd_ps(d, d, squares);
    }
    const double rest = (double)fov_sum8(sums) / (double)c, variance = (double)fov_sum8(squares) / (double)c - rest * rest;
    const double inverse = 1 / sqrt(variance + (double)eps);
    const __m256 factor = _mm256_set1_ps((float)inverse), shift = _mm256_set1_ps((float)(-rest * inverse));
    for (size_t j = 0; j < c; j += 8) {
        const __m256 scaled = _mm256_fmadd_ps(_mm256_sub_ps(fov_load8(x + j, c - j), mean), factor, shift);
        fov_store8(y + j, c - j, _mm256_fmadd_ps(scaled, fov_load8(gamma + j, c - j), fov_load8(beta + j, c - j)));
    }
}

void fov_layernorm_avx2(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps, float *y,
                        size_t ldy) {
    for (size_t i = 0; i < n; i++) layernorm_row(x + i * ldx, c, gamma, beta, eps, y + i * ldy);
}

void fov_gelu_avx2(float *x, size_t count) {
    for (size_t i = 0; i < count; i += 8) fov_store8(x + i, count - i, fov_gelu8(fov_load8(x + i, count - i)));
}

void fov_exp_avx2(float *x, size_t count) {
    for (size_t i = 0; i < count; i += 8) fov_store8(x + i, count - i, fov_exp8(fov_load8(x + i, count - i)));
}
