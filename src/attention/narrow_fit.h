/* narrow_fit.h: the projections behind narrow attention, made once when a model is calibrated. */
#ifndef FOV_ATTENTION_NARROW_FIT_H
#define FOV_ATTENTION_NARROW_FIT_H

#include <stddef.h>

/* Rows A, B such that for every r the first r of them leave little of E[(q^T k - sum_{i <= r} (A q)_i (B k)_i)^2], q and k
 * independent. The best are of the singular value decomposition of Q^(1/2) K^(1/2). */
typedef struct fov_narrow_fit {
    size_t size, rank;   /* of a head; rank <= size */
    const double *query; /* Q [size][size] E[q q^T] */
    const double *key;   /* K [size][size] covariance of k */
    float *to_query;     /* out: A [rank][size] */
    float *to_key;       /* out: B [rank][size] */
} fov_narrow_fit;

/* Doubles of scratch, of both functions. */
size_t fov_narrow_fit_scratch(size_t size);
void fov_narrow_fit_run(const fov_narrow_fit *fit, double *scratch);

/* Root of that expectation over `size`, the error of scores q^T k / sqrt(size), for the first 0, FOV_NARROW_STEP, ... rows of the
 * fit and moments that may be others: error [rank / FOV_NARROW_STEP + 1]. */
void fov_narrow_fit_error(const fov_narrow_fit *fit, float *error, double *scratch);

#endif
