/* rows_avx512.c: softmax, layernorm and the element-wise functions, 16 lanes at a time. Sums over a row run in 16 chains, then over
 * the lanes: the order depends on the length of the row alone. */
#include <float.h>
#include <math.h>

#include "kernels/avx512/avx512.h"

enum { HELD = 4 }; /* vectors of a row in registers */

/* max(top, max_j scale s[j]) */
static inline float row_top(const float *s, size_t cols, float scale, float top) {
    const __m512 factor = _mm512_set1_ps(scale);
    __m512 tops = _mm512_set1_ps(top);
    for (size_t j = 0; j < cols; j += 16) {
        const __mmask16 mask = fov_mask16(cols - j);
        const __m512 v = _mm512_mul_ps(fov_load16(s + j, cols - j), factor);
        tops = _mm512_mask_max_ps(tops, mask, v, tops); /* a NaN is passed over here and found by the sum */
    }
    return _mm512_reduce_max_ps(tops);
}

/* s = exp(scale s - top); returns their sum. */
static inline float row_exp(float *s, size_t cols, float scale, float most) {
    const __m512 factor = _mm512_set1_ps(scale), top = _mm512_set1_ps(most);
    __m512 sums = _mm512_setzero_ps();
    for (size_t j = 0; j < cols; j += 16) {
        const __mmask16 mask = fov_mask16(cols - j);
        const __m512 v = _mm512_mul_ps(fov_load16(s + j, cols - j), factor);
        const __m512 e = fov_exp16(_mm512_sub_ps(v, top));
        sums = _mm512_mask_add_ps(sums, mask, sums, e);
        fov_store16(s + j, cols - j, e);
    }
    return _mm512_reduce_add_ps(sums);
}

static void softmax_row(float *s, size_t cols, float scale) {
    /* a finite start, so that exp(-inf - top) is 0 in a row of nothing but -inf */
    const float sum = row_exp(s, cols, scale, row_top(s, cols, scale, -FLT_MAX));
    const __m512 total = _mm512_set1_ps(sum), inverse = _mm512_set1_ps(sum == 0 ? 0 : 1 / sum);
    for (size_t j = 0; j < cols; j += 16) {
        fov_store16(s + j, cols - j, fov_quotient16(fov_load16(s + j, cols - j), total, inverse));
    }
}

/* The same of a short row, which stays in registers: its last store is masked and would hold up the loads behind it. */
__attribute__((always_inline)) static inline void softmax_held(float *s, size_t cols, float scale, const size_t vectors) {
    const __m512 factor = _mm512_set1_ps(scale);
    const __mmask16 last = fov_mask16(cols - 16 * (vectors - 1));
    __m512 v[HELD], tops = _mm512_set1_ps(-FLT_MAX), sums = _mm512_setzero_ps();
    FOV_UNROLL
    for (size_t j = 0; j < vectors; j++) {
        const __mmask16 mask = j + 1 < vectors ? 0xffff : last;
        v[j] = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, s + 16 * j), factor);
        tops = _mm512_mask_max_ps(tops, mask, v[j], tops);
    }
    const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(tops));
    FOV_UNROLL
    for (size_t j = 0; j < vectors; j++) {
        v[j] = fov_exp16(_mm512_sub_ps(v[j], top));
        sums = _mm512_mask_add_ps(sums, j + 1 < vectors ? 0xffff : last, sums, v[j]);
    }
    const float sum = _mm512_reduce_add_ps(sums);
    const __m512 total = _mm512_set1_ps(sum), inverse = _mm512_set1_ps(sum == 0 ? 0 : 1 / sum);
    FOV_UNROLL
    for (size_t j = 0; j < vectors; j++) fov_store16(s + 16 * j, cols - 16 * j, fov_quotient16(v[j], total, inverse));
}

#define SOFTMAX_HELD(vectors)                                                                                                      \
    static void softmax_held_##vectors(float *s, size_t cols, float scale) {                                                       \
        softmax_held(s, cols, scale, vectors);                                                                                     \
    }
SOFTMAX_HELD(1)
SOFTMAX_HELD(2)
SOFTMAX_HELD(3)
SOFTMAX_HELD(4)
static void (*const held[HELD])(float *s, size_t cols, float scale) = {softmax_held_1, softmax_held_2, softmax_held_3,
                                                                       softmax_held_4};

void fov_softmax_tile_avx512(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor) {
    for (size_t i = 0; i < n; i++, s += ld) {
        const float most = row_top(s, cols, scale, top[i]);
        factor[i] = _mm512_cvtss_f32(fov_exp16(_mm512_set1_ps(top[i] - most)));
        sum[i] = sum[i] * factor[i] + row_exp(s, cols, scale, most);
        top[i] = most;
    }
}

static void column_max(const float *s, size_t cols, float *col_max) {
    for (size_t j = 0; j < cols; j += 16)
        fov_store16(col_max + j, cols - j, fov_max_nan16(fov_load16(s + j, cols - j), fov_load16(col_max + j, cols - j)));
}

static void column_energy(const float *s, size_t cols, float *col_energy) {
    for (size_t j = 0; j < cols; j += 16) {
        const __m512 v = fov_load16(s + j, cols - j);
        fov_store16(col_energy + j, cols - j, _mm512_fmadd_ps(v, v, fov_load16(col_energy + j, cols - j)));
    }
}

void fov_softmax_avx512(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy) {
    for (size_t i = 0; i < n; i++, s += ld) {
        if (cols <= 16 * HELD && cols)
            held[(cols - 1) / 16](s, cols, scale);
        else
            softmax_row(s, cols, scale);
        if (col_max) column_max(s, cols, col_max);
        if (col_energy) column_energy(s, cols, col_energy);
    }
}

/* The second pass also sums the deviations: what the rounding of the mean left. Taken out, it spares rows of small variance, where
 * that rounding would be magnified. */
static void layernorm_row(const float *x, size_t c, const float *gamma, const float *beta, float eps, float *y) {
    __m512 sums = _mm512_setzero_ps(), squares = sums;
    for (size_t j = 0; j < c; j += 16) sums = _mm512_add_ps(sums, fov_load16(x + j, c - j));
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sums) / (float)c);
    sums = _mm512_setzero_ps();
    for (size_t j = 0; j < c; j += 16) {
        const __mmask16 mask = fov_mask16(c - j);
        const __m512 d = _mm512_maskz_sub_ps(mask, fov_load16(x + j, c - j), mean);
        sums = _mm512_add_ps(sums, d);
        squares = _mm512_fmadd_ps(d, d, squares);
    }
    const double rest = (double)_mm512_reduce_add_ps(sums) / (double)c;
    const double variance = (double)_mm512_reduce_add_ps(squares) / (double)c - rest * rest;
    const double inverse = 1 / sqrt(variance + (double)eps);
    const __m512 factor = _mm512_set1_ps((float)inverse), shift = _mm512_set1_ps((float)(-rest * inverse));
    for (size_t j = 0; j < c; j += 16) {
        const __m512 scaled = _mm512_fmadd_ps(_mm512_sub_ps(fov_load16(x + j, c - j), mean), factor, shift);
        fov_store16(y + j, c - j, _mm512_fmadd_ps(scaled, fov_load16(gamma + j, c - j), fov_load16(beta + j, c - j)));
    }
}

void fov_layernorm_avx512(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps,
                          float *y, size_t ldy) {
    for (size_t i = 0; i < n; i++) layernorm_row(x + i * ldx, c, gamma, beta, eps, y + i * ldy);
}

void fov_gelu_avx512(float *x, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        fov_store16(x + i, count - i, fov_gelu16(fov_load16(x + i, count - i)));
    }
}

void fov_exp_avx512(float *x, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        fov_store16(x + i, count - i, fov_exp16(fov_load16(x + i, count - i)));
    }
}
