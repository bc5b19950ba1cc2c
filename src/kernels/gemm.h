/* gemm.h: a dense layer over all threads: cuts a fov_gemm in blocks of rows and panels and runs them as tasks. */
#ifndef FOV_KERNELS_GEMM_H
#define FOV_KERNELS_GEMM_H

#include "core/memory.h"
#include "kernels/kernels.h"

/* A dense layer Y = X W^T + b as a gemm without rows: n, x and y are left to the caller, ldx and ldy are contiguous. */
typedef struct fov_linear {
    size_t m, k; /* outputs, inputs */
    fov_type type;
    float *w;     /* packed words */
    float *scale; /* [m] of int8 */
    int32_t *sum; /* [m] of int8 */
    float *bias;  /* [m] or NULL */
} fov_linear;

static inline fov_gemm fov_linear_gemm(const fov_linear *l) {
    return (fov_gemm){.m = l->m,
                      .k = l->k,
                      .type = l->type,
                      .ldx = l->k,
                      .w = l->w,
                      .w_scale = l->scale,
                      .w_sum = l->sum,
                      .bias = l->bias,
                      .ldy = l->m};
}

/* One carved from an arena, with a bias; without inputs in f32. */
fov_linear fov_linear_take(fov_arena *arena, size_t m, size_t k, fov_type type);

/* Its weights, from rows [m, k]; the bias is left to the caller. words: of fov_pack_type. */
void fov_linear_pack(const fov_kernels *kernels, const float *rows, const fov_linear *to, float *words);

/* Y of `first` is X of `second` and nothing else: kept in bf16 where that is what `second` rounds it to. The same bits, half the
 * memory. */
void fov_gemm_chain(const fov_kernels *kernels, fov_gemm *first, fov_gemm *second);

/* scratch: threads * fov_gemm_scratch() floats, 64-byte aligned. The result does not depend on `threads`. */
void fov_gemm_run(const fov_kernels *kernels, const fov_gemm *gemm, unsigned threads, float *scratch);

/* The same for `count` gemms that share nothing they write: one pool of tasks (grouped gemm). */
void fov_gemm_run_all(const fov_kernels *kernels, const fov_gemm *gemms, size_t count, unsigned threads, float *scratch);

#endif
