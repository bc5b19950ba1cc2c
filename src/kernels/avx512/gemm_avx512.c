/* gemm_avx512.c: the gemms of the avx512 tier. int8 and bf16 have no instructions of their own there. Also the epilogues and
 * conversions of the tiers above. */
#include <string.h>

#include "kernels/avx512/finish_avx512.h"

void fov_finish_f32_avx512(const fov_tile *t) {
    fov_finish(FOV_FINISH_F32, t);
}

static void finish_bf16(const fov_tile *t) {
    fov_finish(FOV_FINISH_BF16, t);
}

void fov_finish_int8_avx512(const fov_tile *t) {
    fov_finish(FOV_FINISH_INT8, t);
}

void fov_to_bf16_avx512(const float *x, uint16_t *y, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = fov_mask16(count - i);
        _mm256_mask_storeu_epi16(y + i, mask, fov_to_bf16(_mm512_maskz_loadu_ps(mask, x + i)));
    }
}

void fov_pack_bf16_avx512(const float *x, size_t k, const fov_quant *quant, float *words) {
    (void)quant;
    char *to = (char *)words;
    size_t i = 0;
    for (; i + 16 <= k; i += 16) _mm256_storeu_si256((__m256i *)(void *)(to + 2 * i), fov_to_bf16(_mm512_loadu_ps(x + i)));
    if (i == k) return;
    const __mmask16 mask = fov_mask16(k - i);
    _mm256_mask_storeu_epi16(to + 2 * i, fov_mask16((k - i + 1) / 2 * 2), fov_to_bf16(_mm512_maskz_loadu_ps(mask, x + i)));
}

/* 16 columns of two rows, those of the mask. */
static inline __m512i pair_bf16(const float *lower, const float *upper, __mmask16 mask) {
    const __m512i a = fov_round_bf16(_mm512_maskz_loadu_ps(mask, lower));
    return upper ? _mm512_or_si512(a, _mm512_slli_epi32(fov_round_bf16(_mm512_maskz_loadu_ps(mask, upper)), 16)) : a;
}

void fov_pack_n_bf16_avx512(const float *w, size_t ldw, size_t k, size_t m, float *packed) {
    for (size_t j0 = 0; j0 < m; j0 += FOV_PANEL) {
        const size_t columns = m - j0;
        const __mmask16 low = fov_mask16(columns), high = fov_mask16_from(columns, 16);
        for (size_t i = 0; i < k; i += 2, packed += FOV_PANEL) {
            const float *lower = w + i * ldw + j0, *upper = i + 1 < k ? lower + ldw : NULL;
            _mm512_storeu_si512(packed, pair_bf16(lower, upper, low));
            _mm512_storeu_si512(packed + 16,
                                high ? pair_bf16(lower + 16, upper ? upper + 16 : NULL, high) : _mm512_setzero_si512());
        }
    }
}

/* The passes over a row go four vectors at a time, in chains of their own: one chain would wait for its max, 4 cycles a vector. */
enum { CHAINS = 4, STRIDE = 16 * CHAINS };

/* Magnitudes in the order of their bits, where infinities and NaN come last. */
static bool lanes_int8(const float *x, size_t k, float lanes[FOV_LANES]) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff), infinity = _mm512_set1_epi32(0x7f800000);
    __m512i most[CHAINS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t i = 0;
    for (; i + STRIDE <= k; i += STRIDE) {
        FOV_UNROLL
        for (size_t c = 0; c < CHAINS; c++)
            most[c] = _mm512_max_epi32(most[c], _mm512_and_si512(_mm512_loadu_si512(x + i + 16 * c), magnitude));
    }
    for (; i < k; i += 16)
        most[0] = _mm512_max_epi32(most[0], _mm512_and_si512(_mm512_castps_si512(fov_load16(x + i, k - i)), magnitude));
    most[0] = _mm512_max_epi32(_mm512_max_epi32(most[0], most[1]), _mm512_max_epi32(most[2], most[3]));
    _mm512_storeu_si512(lanes, most[0]);
    return !_mm512_cmpge_epi32_mask(most[0], infinity);
}

static inline __mmask16 not_below(__m512 v, __m512 bound) {
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), bound, _CMP_GE_OQ);
}

static size_t above_int8(const float *x, size_t k, float bound, uint32_t *seen) {
    const __m512 least = _mm512_set1_ps(bound);
    size_t count = 0, i = 0;
    for (; i + STRIDE <= k; i += STRIDE) {
        uint64_t found = 0;
        FOV_UNROLL
        for (size_t c = 0; c < CHAINS; c++) found |= (uint64_t)not_below(_mm512_loadu_ps(x + i + 16 * c), least) << 16 * c;
        for (size_t c = 0; found && count <= FOV_WIDE_SEEN; c++, found >>= 16)
            if (found & 0xffff) count += fov_put_numbers((__mmask16)found, i + 16 * c, seen + count);
        if (count > FOV_WIDE_SEEN) return count;
    }
    for (; i < k && count <= FOV_WIDE_SEEN; i += 16)
        count += fov_put_numbers(not_below(fov_load16(x + i, k - i), least), i, seen + count);
    return count;
}

/* v where it is within the bound, else 0. */
static inline __m512 kept(__m512 v, __m512 bound) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(v), bound, _CMP_LT_OQ), v);
}

static void range_int8(const float *x, size_t k, float bound, float *low, float *high) {
    const __m512 limit = _mm512_set1_ps(bound), none = _mm512_setzero_ps();
    __m512 least[CHAINS] = {none, none, none, none}, most[CHAINS] = {none, none, none, none};
    size_t i = 0;
    for (; i + STRIDE <= k; i += STRIDE) {
        FOV_UNROLL
        for (size_t c = 0; c < CHAINS; c++) {
            const __m512 v = kept(_mm512_loadu_ps(x + i + 16 * c), limit);
            least[c] = _mm512_min_ps(least[c], v);
            most[c] = _mm512_max_ps(most[c], v);
        }
    }
    for (; i < k; i += 16) {
        const __m512 v = kept(fov_load16(x + i, k - i), limit);
        least[0] = _mm512_min_ps(least[0], v);
        most[0] = _mm512_max_ps(most[0], v);
    }
    *low = _mm512_reduce_min_ps(_mm512_min_ps(_mm512_min_ps(least[0], least[1]), _mm512_min_ps(least[2], least[3])));
    *high = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3])));
}

void fov_measure_int8_avx512(const float *x, size_t k, fov_quant *quant) {
    static const fov_row_scan scan = {lanes_int8, above_int8, range_int8};
    fov_quant_measure(&scan, x, k, quant);
}

/* u = clamp(round(x inverse) + zero, 0, 255); 64 at a time with the saturation of narrower words on the way, which changes nothing.
 */
void fov_pack_int8_avx512(const float *x, size_t k, const fov_quant *quant, float *words) {
    const __m512 inverse = _mm512_set1_ps(quant->inverse);
    const __m512i zero = _mm512_set1_epi32(quant->zero), zero16 = _mm512_set1_epi16((int16_t)quant->zero);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); /* packing stays in 128 bits */
    char *to = (char *)words;
    size_t i = 0;
    for (; i + STRIDE <= k; i += STRIDE) {
        __m512i q[CHAINS];
        FOV_UNROLL
        for (size_t c = 0; c < CHAINS; c++) q[c] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i + 16 * c), inverse));
        const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), zero16);
        const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), zero16);
        _mm512_storeu_si512(to + i, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
    }
    for (; i < k; i += 16) {
        const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(fov_load16(x + i, k - i), inverse)), zero);
        const __m128i u = _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512()));
        _mm_mask_storeu_epi8(to + i, fov_mask16((k - i + 3) / 4 * 4), u);
    }
}

FOV_TILE_14(f32_columns, FOV_MULTIPLY_F32, true)
static void f32_columns(const fov_tile *t) {
    static void (*const all[])(const fov_tile *t) = {FOV_TILE_LIST_14(f32_columns)};
    fov_tile_run(t, all, fov_finish_f32_avx512);
}

FOV_TILES_14(f32_avx512, FOV_MULTIPLY_F32, fov_finish_f32_avx512, .columns = f32_columns)
FOV_TILES_12(bf16_avx512, FOV_MULTIPLY_BF16, finish_bf16, .pack = fov_pack_bf16_avx512, .stores_bf16 = true)
FOV_TILES_12(int8_avx512, FOV_MULTIPLY_INT8_SPLIT, fov_finish_int8_avx512, .measure = fov_measure_int8_avx512,
             .pack = fov_pack_int8_avx512)
