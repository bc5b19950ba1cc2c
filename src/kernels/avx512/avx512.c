/* avx512.c: the table of the avx512 tier, conversions and the yardstick loop. */
#include "kernels/avx512/avx512.h"
#include "kernels/avx2/avx2.h"
#include "kernels/avx512/tile_avx512.h"
#include "kernels/tiers.h"

void fov_from_f16_avx512(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = fov_mask16(count - i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x + i)));
    }
}

void fov_from_bf16_avx512(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = fov_mask16(count - i);
        const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x + i));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
}

float fov_fma_loop_avx512(uint64_t iterations, uint64_t *flops_per_iteration) {
    enum { CHAINS = 14 };
    const __m512 half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f);
    __m512 acc[CHAINS];
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm512_set1_ps((float)i);
    for (uint64_t n = 0; n < iterations; n++) {
        FOV_UNROLL
        for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm512_fmadd_ps(acc[i], half, one);
    }
    __m512 total = _mm512_setzero_ps();
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) total = _mm512_add_ps(total, acc[i]);
    *flops_per_iteration = 2 * 16 * CHAINS;
    return _mm512_reduce_add_ps(total);
}

const fov_kernels fov_tier_avx512 = {
    .name = "avx512",
    FOV_AVX512_SLOTS,
    .tiles = {&fov_tiles_f32_avx512, &fov_tiles_bf16_avx512, &fov_tiles_int8_avx512},
    .score_i8 = fov_score_i8_avx2, /* vpdpbusd comes with avx512vnni */
    .fma_loop = {fov_fma_loop_avx512, fov_fma_loop_avx512, fov_fma_loop_avx512},
};
