/* moments.h: sums of the inputs of every layer and of their products, exact, so that neither the order of the texts nor the number
 * of threads nor the cut into batches changes them. */
#ifndef FOV_MODEL_MOMENTS_H
#define FOV_MODEL_MOMENTS_H

#include "core/memory.h"
#include "kernels/kernels.h"

typedef struct fov_moments {
    fov_allocator allocator;
    const fov_kernels *kernels;
    size_t layers, width;
    unsigned threads;
    double *sum;   /* [L][d] of q = round(x / step) */
    double *gram;  /* [L][d][d] of q q^T; the upper triangle */
    double *block; /* rounded inputs, panel by panel */
} fov_moments;

fov_status fov_moments_create(size_t layers, size_t width, unsigned threads, const fov_allocator *allocator, fov_moments **moments);
void fov_moments_free(fov_moments *moments); /* NULL is allowed */
/* Add n rows of x [.., d] to a layer: the first n, or those that `rows` names. */
void fov_moments_add(fov_moments *moments, size_t layer, const float *x, const uint32_t *rows, size_t n);
/* Mean [d] and covariance [d][d] of a layer over `tokens` rows. false: a sum is too large to be exact, or not finite. */
bool fov_moments_finish(const fov_moments *moments, size_t layer, double tokens, double *mean, double *covariance);

#endif
