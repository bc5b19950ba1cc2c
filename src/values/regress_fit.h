/* regress_fit.h: the least-squares fits behind the regress estimator, made once when a model is calibrated. */
#ifndef FOV_VALUES_REGRESS_FIT_H
#define FOV_VALUES_REGRESS_FIT_H

#include <stddef.h>
#include <stdint.h>

/* One head. Features are taken in forward-selection order, each the one that most reduces the residual energy
 * tr((W - B)^T C (W - B)); at level r, B = C_SS^-1 C_S,: W on the first r of them (mca.md, section 4). */
typedef struct fov_regress_fit {
    size_t width, head_size;
    const double *covariance; /* [d][d] */
    const double *w;          /* [d][e] */
    size_t levels;
    const uint32_t *level; /* [levels] ascending from 0, at most d */
    uint32_t *order;       /* out: [level[levels - 1]] */
    float *weight;         /* out: [sum of levels][e] */
    float *error;          /* out: [levels] residual energy */
} fov_regress_fit;

/* Doubles of scratch. */
size_t fov_regress_fit_scratch(size_t width, size_t head_size, size_t top);
void fov_regress_fit_run(const fov_regress_fit *fit, double *scratch);

#endif
