/* avx2.c: the table of the avx2 tier, conversions and the yardstick loop. */
#include "kernels/avx2/avx2.h"
#include "core/select.h"
#include "kernels/avx2/gemm_avx2.h"
#include "kernels/ref/ref.h"

#include "kernels/tiers.h"

/* Up to 8 halves, the rest zeros. */
static __m128i load_halves(const uint16_t *x, size_t count) {
    if (count >= 8) return _mm_loadu_si128((const __m128i *)x);
    uint16_t lanes[8] = {0};
    memcpy(lanes, x, count * sizeof *x);
    return _mm_loadu_si128((const __m128i *)lanes);
}

static void from_f16_avx2(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += 8) fov_store8(y + i, count - i, _mm256_cvtph_ps(load_halves(x + i, count - i)));
}

static void from_bf16_avx2(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        const __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(x + i, count - i)), 16);
        fov_store8(y + i, count - i, _mm256_castsi256_ps(wide));
    }
}

static float fma_loop_avx2(uint64_t iterations, uint64_t *flops_per_iteration) {
    enum { CHAINS = 12 };
    const __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1.0f);
    __m256 acc[CHAINS];
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm256_set1_ps((float)i);
    for (uint64_t n = 0; n < iterations; n++) {
        FOV_UNROLL
        for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm256_fmadd_ps(acc[i], half, one);
    }
    __m256 total = _mm256_setzero_ps();
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) total = _mm256_add_ps(total, acc[i]);
    *flops_per_iteration = 2 * 8 * CHAINS;
    return fov_sum8(total);
}

const fov_kernels fov_tier_avx2 = {
    .name = "avx2",
    .tiles = {&fov_tiles_f32_avx2, &fov_tiles_bf16_avx2, &fov_tiles_int8_avx2},
    .pack_t = fov_pack_t_avx2,
    .pack_n = fov_pack_n_avx2,
    .pack_n_bf16 = fov_pack_n_bf16_ref,
    .sampled = fov_sampled_avx2,
    .gather = fov_gather_avx2,
    .dots = fov_dots_avx2,
    .score_i8 = fov_score_i8_avx2,
    .above = fov_above_ref,
    .gram = fov_gram_avx2,
    .keep_largest = fov_keep_largest,
    .softmax = fov_softmax_avx2,
    .softmax_tile = fov_softmax_tile_avx2,
    .layernorm = fov_layernorm_avx2,
    .gelu = fov_gelu_avx2,
    .exp = fov_exp_avx2,
    .from_f16 = from_f16_avx2,
    .from_bf16 = from_bf16_avx2,
    .to_bf16 = fov_to_bf16_avx2,
    .fma_loop = {fma_loop_avx2, fma_loop_avx2, fma_loop_avx2},
};
