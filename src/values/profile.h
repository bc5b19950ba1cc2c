/* profile.h: what calibration knows of one layer's value projection (model/profile.c reads it from a file), for the estimators that
 * use it when they are bound. All arrays are borrowed. d: input features, H: heads, e: head size. */
#ifndef FOV_VALUES_PROFILE_H
#define FOV_VALUES_PROFILE_H

#include <stddef.h>
#include <stdint.h>

enum { FOV_PROFILE_LEVELS = 16 }; /* most levels of an estimator */

typedef struct fov_value_profile {
    const char *file;      /* for messages */
    const float *mean;     /* [d] of the inputs X over all calibration tokens */
    const float *variance; /* of feature i, over the same: variance[i * variance_step] */
    size_t variance_step;
    const float *share; /* [H] ||W_O's columns of the head||_F^2 over its mean */

    /* regress: the features of level l are the first level[l] of a head's order. */
    size_t levels;
    const uint32_t *level;       /* [levels] ascending from 0, below d */
    const uint32_t *order;       /* [H][level[levels - 1]] */
    const float *regress_weight; /* [H][sum of levels][e], level by level */
    const float *regress_error;  /* [H][levels] residual energy, mean over the fit's tokens of ||x W - x B||^2 */
    const float *regress_held;   /* [H][levels] the same over tokens of texts held out; NULL: not measured */

    /* lowrank: the ranks are half the levels, at most H e. NULL: the profile was made without. */
    const float *basis;       /* [rank of the last level][H * e] orthonormal rows */
    const float *basis_error; /* [levels] residual energy of the whole layer */
    const float *basis_held;  /* [levels] the same over tokens of texts held out; NULL: not measured */
} fov_value_profile;

static inline double fov_profile_variance(const fov_value_profile *p, size_t i) {
    return (double)p->variance[i * p->variance_step];
}

/* Rank of a level, for m outputs. */
static inline size_t fov_profile_rank(size_t level, size_t m) {
    return level / 2 < m ? level / 2 : m;
}

#endif
