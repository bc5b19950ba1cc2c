/* avx512.c: the table of the avx512 tier, conversions and the yardstick loop. */
#include "kernels/avx512/avx512.h"
#include "kernels/tiers.h"

static void from_f16_avx512(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = fov_mask16(count - i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, x + i)));
    }
}

static void from_bf16_avx512(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = fov_mask16(count - i);
        const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x + i));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
}

static float fma_loop_avx512(uint64_t iterations, uint64_t *flops_per_iteration) {
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
    .gemm_mr = 14,
    .pack_t = fov_pack_t_avx512,
    .pack_n = fov_pack_n_avx512,
    .gemm_block = fov_gemm_block_avx512,
    .sampled = fov_sampled_avx512,
    .gather = fov_gather_avx512,
    .dots = fov_dots_avx512,
    .score_i8 = fov_score_i8_avx512,
    .above = fov_above_avx512,
    .keep_largest = fov_keep_largest_avx512,
    .softmax = fov_softmax_avx512,
    .softmax_tile = fov_softmax_tile_avx512,
    .layernorm = fov_layernorm_avx512,
    .gelu = fov_gelu_avx512,
    .exp = fov_exp_avx512,
    .from_f16 = from_f16_avx512,
    .from_bf16 = from_bf16_avx512,
    .fma_loop = fma_loop_avx512,
};
