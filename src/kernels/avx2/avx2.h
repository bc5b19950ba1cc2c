/* avx2.h: slots and vector functions of the avx2 tier (AVX2, FMA, F16C). */
#ifndef FOV_KERNELS_AVX2_H
#define FOV_KERNELS_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/tile.h"

#if defined(__clang__)
#define FOV_UNROLL _Pragma("unroll")
#else
#define FOV_UNROLL _Pragma("GCC unroll 16")
#endif

/* All bits of the first `count` lanes, at most 8. */
static inline __m256i fov_mask8(size_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count >= 8 ? 8 : (int)count), lanes);
}

/* The first `count` floats of p, the rest zeros. */
static inline __m256 fov_load8(const float *p, size_t count) {
    return count >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, fov_mask8(count));
}

static inline void fov_store8(float *p, size_t count, __m256 v) {
    if (count >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, fov_mask8(count), v);
}

/* (0 + 4) + (2 + 6) + ((1 + 5) + (3 + 7)): one fixed order. */
static inline float fov_sum8(__m256 v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float fov_max8(__m256 v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* v 2^n for integral n in [-300, 300], in two steps so that subnormal results and 2^128 come out right. */
static inline __m256 fov_scale8(__m256 v, __m256 n) {
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    const __m256i rest = _mm256_sub_epi32(whole, half);
    v = _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}

/* e^x. x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q minimax of degree 4 (3e-9 of e^r). min and max keep a NaN that
 * is their second operand; beyond the clamps the result is 0 or infinity anyway. */
static inline __m256 fov_exp8(__m256 x) {
    x = _mm256_min_ps(_mm256_set1_ps(89.0f), _mm256_max_ps(_mm256_set1_ps(-104.0f), x));
    const __m256 n =
        _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 q = _mm256_set1_ps(0x1.6a2430p-10f);
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.1239e4p-7f));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.5558f2p-5f));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.555492p-3f));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(0x1.fffffcp-2f));
    q = _mm256_fmadd_ps(_mm256_mul_ps(r, r), q, r);
    return fov_scale8(_mm256_add_ps(q, _mm256_set1_ps(1.0f)), n);
}

/* x Phi(x) = max(x, 0) - t e^(-t^2 / 2) R(t), t = |x|, R(t) = erfcx(t / sqrt 2) / 2: no cancellation on either side.
 * R = 1 / 2 + u S(u), u = .325 t / (1 + .325 t), S minimax of degree 6 (2e-8 of R where it counts): exact as t goes to 0. t is
 * clamped where the product is 0. */
static inline __m256 fov_gelu8(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 t = _mm256_min_ps(_mm256_set1_ps(14.75f), _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x));
    const __m256 s = _mm256_mul_ps(t, _mm256_set1_ps(0.325f)), d = _mm256_add_ps(s, one);
    const __m256 u = _mm256_div_ps(s, d);
    __m256 p = _mm256_set1_ps(-0x1.9623f2p-5f);
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(0x1.8b9164p-4f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(0x1.9ca7fap-5f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(-0x1.21459ep-3f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(-0x1.79253cp-2f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(0x1.23af80p+0f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(-0x1.3a3e7ap+0f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(t, u), _mm256_mul_ps(t, _mm256_set1_ps(0.5f))); /* t R */
    const __m256 square = _mm256_mul_ps(t, t), half_log2e = _mm256_set1_ps(-0.72134752f);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(square, half_log2e), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 f = _mm256_fmsub_ps(square, half_log2e, n); /* 2^f - 1 = f e(f), relative error 2e-9 */
    __m256 e = _mm256_set1_ps(0x1.41fbb8p-13f);
    e = _mm256_fmadd_ps(e, f, _mm256_set1_ps(0x1.5f3e58p-10f));
    e = _mm256_fmadd_ps(e, f, _mm256_set1_ps(0x1.3b2d4ep-7f));
    e = _mm256_fmadd_ps(e, f, _mm256_set1_ps(0x1.c6aee8p-5f));
    e = _mm256_fmadd_ps(e, f, _mm256_set1_ps(0x1.ebfbdcp-3f));
    e = _mm256_fmadd_ps(e, f, _mm256_set1_ps(0x1.62e430p-1f));
    const __m256 tail = fov_scale8(_mm256_fmadd_ps(p, _mm256_mul_ps(e, f), p), n);
    return _mm256_sub_ps(_mm256_max_ps(_mm256_setzero_ps(), x), tail);
}

void fov_pack_t_avx2(const float *w, size_t ldw, size_t m, size_t k, float *packed);
void fov_pack_n_avx2(const float *w, size_t ldw, size_t k, size_t m, float *packed);
void fov_to_bf16_avx2(const float *x, uint16_t *y, size_t count);
void fov_sampled_avx2(const fov_sampled *s);
void fov_gather_avx2(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y);
void fov_dots_avx2(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y);
void fov_score_i8_avx2(const fov_score_i8 *s);
void fov_gram_avx2(const double *a, const double *b, size_t n, double *sum);
void fov_softmax_avx2(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy);
void fov_softmax_tile_avx2(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor);
void fov_layernorm_avx2(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps, float *y,
                        size_t ldy);
void fov_gelu_avx2(float *x, size_t count);
void fov_exp_avx2(float *x, size_t count);

#endif
