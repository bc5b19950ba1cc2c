/* bf16.c: the tier avx512bf16: avx512vnni with vdpbf16ps (Intel from 2020, AMD from Zen 4). */
#include <string.h>

#include "kernels/avx512/finish_avx512.h"
#include "kernels/tiers.h"

void fov_finish_bf16_native(const fov_tile *t) {
    fov_finish(FOV_FINISH_BF16, t);
}

FOV_TILES_14(bf16_dot, FOV_MULTIPLY_BF16, fov_finish_bf16_native, .pack = fov_pack_bf16_native, .stores_bf16 = true)

static float bf16_loop(uint64_t iterations, uint64_t *flops_per_iteration) {
    enum { CHAINS = 14 };
    const __m512bh half = (__m512bh)_mm512_set1_epi32(0x3f003f00); /* .5, .5 */
    __m512 acc[CHAINS];
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm512_set1_ps((float)i);
    for (uint64_t n = 0; n < iterations; n++) {
        FOV_UNROLL
        for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm512_dpbf16_ps(acc[i], half, half);
    }
    __m512 total = _mm512_setzero_ps();
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) total = _mm512_add_ps(total, acc[i]);
    *flops_per_iteration = 2 * 32 * CHAINS;
    return _mm512_reduce_add_ps(total);
}

const fov_kernels fov_tier_avx512bf16 = {
    .name = "avx512bf16",
    FOV_AVX512_SLOTS,
    .tiles = {&fov_tiles_f32_avx512, &fov_tiles_bf16_dot, &fov_tiles_int8_vnni},
    .score_i8 = fov_score_i8_vnni,
    .fma_loop = {fov_fma_loop_avx512, bf16_loop, fov_int8_loop_vnni},
};
