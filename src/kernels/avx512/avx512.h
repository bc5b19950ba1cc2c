/* avx512.h: slots and vector functions of the avx512 tier (F, BW, DQ, VL). */
#ifndef FOV_KERNELS_AVX512_H
#define FOV_KERNELS_AVX512_H

#include <immintrin.h>

#include "kernels/tile.h"

#if defined(__clang__)
#define FOV_UNROLL _Pragma("unroll")
#else
#define FOV_UNROLL _Pragma("GCC unroll 16")
#endif

/* The first `count` lanes, at most 16. */
static inline __mmask16 fov_mask16(size_t count) {
    if (count >= 16) return 0xffff;
    return (__mmask16)((1u << count) - 1);
}

/* The same for the 16 lanes that start at `from`. */
static inline __mmask16 fov_mask16_from(size_t count, size_t from) {
    if (count <= from) return 0;
    return fov_mask16(count - from);
}

/* The first `count` floats of p, the rest zeros. Whole vectors go without a mask: a masked store is not forwarded to the loads
 * behind it. */
static inline __m512 fov_load16(const float *p, size_t count) {
    return count >= 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(fov_mask16(count), p);
}

static inline void fov_store16(float *p, size_t count, __m512 v) {
    if (count >= 16)
        _mm512_storeu_ps(p, v);
    else
        _mm512_mask_storeu_ps(p, fov_mask16(count), v);
}

/* To nearest, ties to even; a NaN keeps its upper half, made quiet. In the lower halves of 16 words, the upper are 0. */
static inline __m512i fov_round_bf16(__m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i y = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(y, nan, _mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
}

static inline __m256i fov_to_bf16(__m512 x) {
    return _mm512_cvtepi32_epi16(fov_round_bf16(x));
}

/* The first `count` lanes in bf16. The processor's own conversion takes subnormals for 0, as its products do. */
static inline void fov_store16_bf16(uint16_t *p, size_t count, __m512 v) {
#if defined(__AVX512BF16__)
    const __m256i y = (__m256i)_mm512_cvtneps_pbh(v);
#else
    const __m256i y = fov_to_bf16(v);
#endif
    if (count >= 16)
        _mm256_storeu_si256((__m256i *)(void *)p, y);
    else
        _mm256_mask_storeu_epi16(p, fov_mask16(count), y);
}

/* first + l for the lanes l of the mask, side by side, into index, which has room for 16; how many. Compressed in the register and
 * stored whole: a compressing store is microcode on Zen 4. */
static inline size_t fov_put_numbers(__mmask16 mask, size_t first, uint32_t *index) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)(uint32_t)first));
    _mm512_storeu_si512(index, _mm512_maskz_compress_epi32(mask, numbers));
    return (size_t)__builtin_popcount(mask);
}

/* r[i] = row i of a 16 x 16 block -> r[i] = column i. */
static inline void fov_transpose16(__m512 r[16]) {
    __m512 t[16];
    FOV_UNROLL
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    FOV_UNROLL
    for (size_t i = 0; i < 16; i += 4) {
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    FOV_UNROLL
    for (size_t i = 0; i < 4; i++) { /* r[4 q + i]: columns i, 4 + i, 8 + i, 12 + i of rows 4 q .. 4 q + 3 */
        t[i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88);
        t[4 + i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
        t[8 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88);
        t[12 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
    }
    FOV_UNROLL
    for (size_t i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[8 + i], 0x88);
        r[8 + i] = _mm512_shuffle_f32x4(t[i], t[8 + i], 0xdd);
        r[4 + i] = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0x88);
        r[12 + i] = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0xdd);
    }
}

/* The larger, or a NaN of either: max gives its second operand when one is NaN, so an old one stays, and a new one is put in. */
static inline __m512 fov_max_nan16(__m512 v, __m512 old) {
    return _mm512_mask_mov_ps(_mm512_max_ps(v, old), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), v);
}

/* a / b from 1 / b: one step of Newton takes the rounding of the inverse out, at a third of a division's cost. */
static inline __m512 fov_quotient16(__m512 a, __m512 b, __m512 inverse) {
    const __m512 q = _mm512_mul_ps(a, inverse);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, b, a), inverse, q);
}

/* e^x. x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q minimax of degree 4 (3e-9 of e^r). min and max keep a NaN that
 * is their second operand; beyond the clamps the result is 0 or infinity anyway. */
static inline __m512 fov_exp16(__m512 x) {
    x = _mm512_min_ps(_mm512_set1_ps(89.0f), _mm512_max_ps(_mm512_set1_ps(-104.0f), x));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 q = _mm512_set1_ps(0x1.6a2430p-10f);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.1239e4p-7f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.5558f2p-5f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.555492p-3f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0x1.fffffcp-2f));
    q = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
    return _mm512_scalef_ps(_mm512_add_ps(q, _mm512_set1_ps(1.0f)), n);
}

/* x Phi(x) = max(x, 0) - t e^(-t^2 / 2) R(t), t = |x|, R(t) = erfcx(t / sqrt 2) / 2: no cancellation on either side.
 * R = 1 / 2 + u S(u), u = .325 t / (1 + .325 t), S minimax of degree 6 (2e-8 of R where it counts): exact as t goes to 0. t is
 * clamped where the product is 0. */
static inline __m512 fov_gelu16(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 t = _mm512_min_ps(_mm512_set1_ps(14.75f), _mm512_abs_ps(x));
    const __m512 s = _mm512_mul_ps(t, _mm512_set1_ps(0.325f)), d = _mm512_add_ps(s, one);
    const __m512 guess = _mm512_rcp14_ps(d), near = _mm512_mul_ps(s, guess);
    const __m512 u = _mm512_fmadd_ps(_mm512_fnmadd_ps(d, guess, one), near, near);
    __m512 p = _mm512_set1_ps(-0x1.9623f2p-5f);
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(0x1.8b9164p-4f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(0x1.9ca7fap-5f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(-0x1.21459ep-3f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(-0x1.79253cp-2f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(0x1.23af80p+0f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(-0x1.3a3e7ap+0f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(t, u), _mm512_mul_ps(t, _mm512_set1_ps(0.5f))); /* t R */
    const __m512 square = _mm512_mul_ps(t, t), half_log2e = _mm512_set1_ps(-0.72134752f);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(square, half_log2e), _MM_FROUND_TO_NEAREST_INT);
    const __m512 f = _mm512_fmsub_ps(square, half_log2e, n); /* 2^f - 1 = f e(f), relative error 2e-9 */
    __m512 e = _mm512_set1_ps(0x1.41fbb8p-13f);
    e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(0x1.5f3e58p-10f));
    e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(0x1.3b2d4ep-7f));
    e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(0x1.c6aee8p-5f));
    e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(0x1.ebfbdcp-3f));
    e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(0x1.62e430p-1f));
    const __m512 tail = _mm512_scalef_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(e, f), p), n);
    return _mm512_sub_ps(_mm512_max_ps(_mm512_setzero_ps(), x), tail);
}

/* The same to 8e-6, and to 2^-11 of itself near 0, for hidden units that the next product rounds to bf16 or int8: max(0, x) - t
 * Q(t), Q(t) = Phi(-t) minimax of degree 10, weighted by t + .02, in t = |x| <= 4.5. 16 operations for 38. */
static inline __m512 fov_gelu16_coarse(__m512 x) {
    const __m512 t = _mm512_min_ps(_mm512_set1_ps(4.5f), _mm512_abs_ps(x));
    const __m512 s = _mm512_fmsub_ps(t, _mm512_set1_ps(2 / 4.5f), _mm512_set1_ps(1.0f));
    __m512 q = _mm512_set1_ps(0x1.e1f48ep-9f);
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-0x1.7e1bc0p-6f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(0x1.7b00aap-6f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(0x1.d2e18ep-5f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-0x1.019558p-3f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(0x1.10685cp-5f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(0x1.3f5fdcp-3f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-0x1.f71f20p-3f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(0x1.7287fcp-3f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(-0x1.246274p-4f));
    q = _mm512_fmadd_ps(q, s, _mm512_set1_ps(0x1.907d1ep-7f));
    return _mm512_fnmadd_ps(t, q, _mm512_max_ps(_mm512_setzero_ps(), x));
}

void fov_pack_t_avx512(const float *w, size_t ldw, size_t m, size_t k, float *packed);
void fov_pack_n_avx512(const float *w, size_t ldw, size_t k, size_t m, float *packed);
void fov_pack_n_bf16_avx512(const float *w, size_t ldw, size_t k, size_t m, float *packed);
void fov_sampled_avx512(const fov_sampled *s);
void fov_gather_avx512(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y);
size_t fov_above_avx512(const float *s, size_t n, float bound, uint32_t first, float *value, uint32_t *index);
void fov_dots_avx512(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y);
void fov_score_i8_vnni(const fov_score_i8 *s);
size_t fov_keep_largest_avx512(float *value, uint32_t *index, size_t n, size_t k, uint32_t *spare, float *least);
void fov_gram_avx512(const double *a, const double *b, size_t n, double *sum);
void fov_softmax_avx512(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy);
void fov_softmax_tile_avx512(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor);
void fov_layernorm_avx512(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps,
                          float *y, size_t ldy);
void fov_short_head_avx512(const fov_short_head *h);
void fov_gelu_avx512(float *x, size_t count);
void fov_exp_avx512(float *x, size_t count);
void fov_from_f16_avx512(const uint16_t *x, float *y, size_t count);
void fov_from_bf16_avx512(const uint16_t *x, float *y, size_t count);
void fov_to_bf16_avx512(const float *x, uint16_t *y, size_t count);
float fov_fma_loop_avx512(uint64_t iterations, uint64_t *flops_per_iteration);
float fov_int8_loop_vnni(uint64_t iterations, uint64_t *flops_per_iteration);

/* What all tables from avx512 up have in common. */
#define FOV_AVX512_SLOTS                                                                                                           \
    .pack_t = fov_pack_t_avx512, .pack_n = fov_pack_n_avx512, .pack_n_bf16 = fov_pack_n_bf16_avx512,                               \
    .sampled = fov_sampled_avx512, .gather = fov_gather_avx512, .dots = fov_dots_avx512, .keep_largest = fov_keep_largest_avx512,  \
    .above = fov_above_avx512, .gram = fov_gram_avx512, .softmax = fov_softmax_avx512, .softmax_tile = fov_softmax_tile_avx512,    \
    .short_head = fov_short_head_avx512, .layernorm = fov_layernorm_avx512, .gelu = fov_gelu_avx512, .exp = fov_exp_avx512,        \
    .from_f16 = fov_from_f16_avx512, .from_bf16 = fov_from_bf16_avx512, .to_bf16 = fov_to_bf16_avx512

#endif
