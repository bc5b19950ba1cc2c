/* held.h: errors of calibrated fits on inputs that they have not seen, from those inputs' second moments. */
#ifndef FOV_VALUES_HELD_H
#define FOV_VALUES_HELD_H

#include <stddef.h>
#include <stdint.h>

/* Of one layer. M = E (x - mu)(x - mu)^T over the held-out inputs, mu the mean that the fits were made with. */
typedef struct fov_held {
    size_t width, heads, head_size; /* m = heads * head_size outputs */
    unsigned threads;
    const double *moment; /* M [d][d] */
    const double *w;      /* [heads][d][e] */
    double *product;      /* [heads][d][e] M W; fov_held_regress fills its head's */
} fov_held;

/* Levels of a head as they are stored: error[l] = E ||(x - mu) W - (x - mu)_S B_l||^2. scratch: [e]. */
typedef struct fov_held_levels {
    size_t levels;
    const uint32_t *level, *order; /* order: [level[levels - 1]] */
    const float *weight;           /* [sum of levels][e] */
    float *error;                  /* out: [levels] */
} fov_held_levels;
void fov_held_regress(const fov_held *held, size_t head, const fov_held_levels *levels, double *scratch);

/* error[k] = E ||(x - mu) W (1 - V_k^T V_k)||^2 for the first k = 0 .. rank rows of V [rank][m] as they are stored, which need not
 * be orthonormal. After fov_held_regress of every head. scratch: m (m + rank) + rank doubles. */
void fov_held_lowrank(const fov_held *held, const float *basis, size_t rank, double *error, double *scratch);

#endif
