/* gemm_avx2.h: what the two files of the avx2 gemm share. */
#ifndef FOV_KERNELS_GEMM_AVX2_H
#define FOV_KERNELS_GEMM_AVX2_H

#include "kernels/tile.h"

/* Bias, activation and residual of finished sums. */
void fov_finish_f32_avx2(const fov_tile *t);

extern const fov_tiles fov_tiles_f32_avx2, fov_tiles_bf16_avx2, fov_tiles_int8_avx2;

#endif
