/* lowrank_fit.h: the basis behind the lowrank estimator, made once when a model is calibrated. */
#ifndef FOV_VALUES_LOWRANK_FIT_H
#define FOV_VALUES_LOWRANK_FIT_H

#include <stddef.h>

/* Orthonormal rows V such that for every k the first k of them leave little of the energy of X W, C the covariance of X:
 * tr((W - W V_k^T V_k)^T C (W - W V_k^T V_k)). The best are the right singular vectors of C^(1/2) W (mca.md, section 4). */
typedef struct fov_lowrank_fit {
    size_t width, heads, head_size, rank; /* m = heads * head_size outputs; rank <= m */
    unsigned threads;
    const double *covariance; /* [d][d] */
    const double *w;          /* [heads][d][e] */
    float *basis;             /* out: [rank][m] */
    double *residual;         /* out: [rank + 1] energy left by the first 0, 1, ... of the rows as rounded to f32 */
} fov_lowrank_fit;

/* Doubles of scratch. */
size_t fov_lowrank_fit_scratch(size_t width, size_t outputs, size_t rank);
void fov_lowrank_fit_run(const fov_lowrank_fit *fit, double *scratch);

#endif
