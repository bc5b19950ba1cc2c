/* ref.c: the reference tier: plain C, any processor. What the other tiers are compared with in the field; the tests compare all of
 * them with double precision. */
#include "core/select.h"
#include "kernels/tiers.h"

#include "kernels/ref/ref.h"

static void from_bf16_ref(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = fov_bits_float((uint32_t)x[i] << 16);
}

/* Subnormal halves: mantissa * 2^-24 is exact in f32. Others: the exponent's bias goes from 15 to 127. */
static void from_f16_ref(const uint16_t *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t sign = (uint32_t)(x[i] & 0x8000u) << 16, exponent = (x[i] >> 10) & 0x1fu, mantissa = x[i] & 0x3ffu;
        if (exponent == 0) {
            const float tiny = (float)mantissa * 0x1p-24f;
            y[i] = sign ? -tiny : tiny;
        } else if (exponent == 31) {
            const uint32_t quiet = mantissa ? 0x400000u : 0;
            y[i] = fov_bits_float(sign | 0x7f800000u | quiet | mantissa << 13);
        } else {
            y[i] = fov_bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
        }
    }
}

static float fma_loop_ref(uint64_t iterations, uint64_t *flops_per_iteration) {
    enum { CHAINS = 32 };
    float acc[CHAINS];
    for (size_t i = 0; i < CHAINS; i++) acc[i] = (float)i;
    for (uint64_t n = 0; n < iterations; n++)
        for (size_t i = 0; i < CHAINS; i++) acc[i] = acc[i] * 0.5f + 1.0f;
    float total = 0;
    for (size_t i = 0; i < CHAINS; i++) total += acc[i];
    *flops_per_iteration = 2 * CHAINS;
    return total;
}

const fov_kernels fov_tier_ref = {
    .name = "ref",
    .tiles = {&fov_tiles_f32_ref, &fov_tiles_bf16_ref, &fov_tiles_int8_ref},
    .pack_t = fov_pack_t_ref,
    .pack_n = fov_pack_n_ref,
    .pack_n_bf16 = fov_pack_n_bf16_ref,
    .sampled = fov_sampled_ref,
    .gather = fov_gather_ref,
    .dots = fov_dots_ref,
    .score_i8 = fov_score_i8_ref,
    .above = fov_above_ref,
    .gram = fov_gram_ref,
    .keep_largest = fov_keep_largest,
    .softmax = fov_softmax_ref,
    .softmax_tile = fov_softmax_tile_ref,
    .layernorm = fov_layernorm_ref,
    .gelu = fov_gelu_ref,
    .exp = fov_exp_ref,
    .from_f16 = from_f16_ref,
    .from_bf16 = from_bf16_ref,
    .to_bf16 = fov_to_bf16_ref,
    .fma_loop = {fma_loop_ref, fma_loop_ref, fma_loop_ref}, /* its bf16 and int8 are f32's work */
};
