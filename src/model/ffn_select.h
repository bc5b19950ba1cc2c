/* ffn_select.h: the hidden units of narrow feed-forward layers, and their least-squares weights. */
#ifndef FOV_MODEL_FFN_SELECT_H
#define FOV_MODEL_FFN_SELECT_H

#include "core/memory.h"

/* Units are taken in forward-selection order, each the one that most reduces tr((W - B)^T C (W - B)); at level r,
 * B = C_SS^-1 C_S,: W on the first r of them. */
typedef struct fov_ffn_select {
    size_t units, width;
    const double *covariance; /* [units][units], with its ridge */
    float *residual;          /* [units][width] C W; lost */
    size_t levels;
    const uint32_t *level; /* [levels] ascending from 0, at most units */
    uint32_t *order;       /* out: [level[levels - 1]] */
    float *fits;           /* out: level by level [level][width] */
    unsigned threads;
    double *scratch; /* of fov_ffn_select_scratch doubles */
} fov_ffn_select;

size_t fov_ffn_select_scratch(size_t units, size_t width, size_t top);
/* The result does not depend on `threads`. */
void fov_ffn_select_run(const fov_ffn_select *select);

#endif
