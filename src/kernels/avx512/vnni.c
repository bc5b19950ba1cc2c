/* vnni.c: the tier avx512vnni: avx512 with vpdpbusd for int8 (Intel from 2019, AMD from Zen 4). */
#include <string.h>

#include "kernels/avx512/finish_avx512.h"
#include "kernels/tiers.h"

void fov_finish_int8_vnni(const fov_tile *t) {
    fov_finish(FOV_FINISH_INT8_VNNI, t);
}

FOV_TILES_14(int8_vnni, FOV_MULTIPLY_INT8, fov_finish_int8_vnni, .measure = fov_measure_int8_avx512, .pack = fov_pack_int8_avx512)

float fov_int8_loop_vnni(uint64_t iterations, uint64_t *flops_per_iteration) {
    enum { CHAINS = 14 };
    const __m512i half = _mm512_set1_epi8(1);
    __m512i acc[CHAINS];
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm512_set1_epi32((int)i);
    for (uint64_t n = 0; n < iterations; n++) {
        FOV_UNROLL
        for (size_t i = 0; i < CHAINS; i++) acc[i] = _mm512_dpbusd_epi32(acc[i], half, half);
    }
    __m512i total = _mm512_setzero_si512();
    FOV_UNROLL
    for (size_t i = 0; i < CHAINS; i++) total = _mm512_add_epi32(total, acc[i]);
    *flops_per_iteration = 2 * 64 * CHAINS;
    return (float)_mm512_reduce_add_epi32(total);
}

const fov_kernels fov_tier_avx512vnni = {
    .name = "avx512vnni",
    FOV_AVX512_SLOTS,
    .tiles = {&fov_tiles_f32_avx512, &fov_tiles_bf16_avx512, &fov_tiles_int8_vnni},
    .score_i8 = fov_score_i8_vnni,
    .fma_loop = {fov_fma_loop_avx512, fov_fma_loop_avx512, fov_int8_loop_vnni},
};
