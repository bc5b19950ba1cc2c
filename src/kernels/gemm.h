/* gemm.h: a dense layer over all threads: cuts a fov_gemm in blocks of rows and panels and runs them as tasks. */
#ifndef FOV_KERNELS_GEMM_H
#define FOV_KERNELS_GEMM_H

#include "kernels/kernels.h"

/* scratch: threads * fov_gemm_scratch() floats, 64-byte aligned. The result does not depend on `threads`. */
void fov_gemm_run(const fov_kernels *kernels, const fov_gemm *gemm, unsigned threads, float *scratch);

/* The same for `count` gemms that share nothing they write: one pool of tasks (grouped gemm). */
void fov_gemm_run_all(const fov_kernels *kernels, const fov_gemm *gemms, size_t count, unsigned threads, float *scratch);

#endif
