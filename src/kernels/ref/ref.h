/* ref.h: slots of the reference tier. */
#ifndef FOV_KERNELS_REF_H
#define FOV_KERNELS_REF_H

#include <math.h>
#include <string.h>

#include "kernels/tile.h"

enum { FOV_REF_ROWS = 4 };

static inline float fov_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t fov_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* x Phi(x) by erfc, which keeps its relative precision where x is negative; below -15 it rounds to zero. */
static inline float fov_gelu1(float x) {
    return x < -15.0f ? -0.0f : x * (0.5f * erfcf(-0.70710678f * x));
}

static inline float fov_activate(fov_activation act, float x) {
    switch (act) {
    case FOV_ACT_GELU:
        return fov_gelu1(x);
    case FOV_ACT_RELU:
        return x < 0 ? 0 : x; /* NaN stays */
    case FOV_ACT_TANH:
        return tanhf(x);
    case FOV_ACT_NONE:
        break;
    }
    return x;
}

void fov_pack_t_ref(const float *w, size_t ldw, size_t m, size_t k, float *packed);
void fov_pack_n_ref(const float *w, size_t ldw, size_t k, size_t m, float *packed);
void fov_pack_n_bf16_ref(const float *w, size_t ldw, size_t k, size_t m, float *packed);
extern const fov_tiles fov_tiles_f32_ref, fov_tiles_bf16_ref, fov_tiles_int8_ref;
void fov_to_bf16_ref(const float *x, uint16_t *y, size_t count);
void fov_sampled_ref(const fov_sampled *s);
void fov_gather_ref(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y);
void fov_dots_ref(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y);
void fov_score_i8_ref(const fov_score_i8 *s);
size_t fov_above_ref(const float *s, size_t n, float bound, uint32_t first, float *value, uint32_t *index);
void fov_gram_ref(const double *a, const double *b, size_t n, double *sum);
void fov_softmax_ref(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy);
void fov_softmax_tile_ref(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor);
void fov_layernorm_ref(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps, float *y,
                       size_t ldy);
void fov_gelu_ref(float *x, size_t count);
void fov_exp_ref(float *x, size_t count);

#endif
