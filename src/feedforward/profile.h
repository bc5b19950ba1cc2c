/* profile.h: what calibration knows of one layer's feed-forward (model/profile.c reads it from a file), for the methods that use it
 * when they are bound. All arrays are borrowed. C: width. */
#ifndef FOV_FEEDFORWARD_PROFILE_H
#define FOV_FEEDFORWARD_PROFILE_H

#include <stddef.h>
#include <stdint.h>

enum { FOV_FFN_LEVELS = 16 }; /* most levels */

/* Level l of m units S, the first m of the order: f(x) ~ bias + B act(W1[S] x + b1[S]). */
typedef struct fov_ffn_profile {
    const char *file; /* for messages */
    size_t levels;
    const uint32_t *level; /* [levels] ascending from 0, below the number of hidden units */
    const uint32_t *order; /* [level[levels - 1]] hidden units */
    const float *weight;   /* B, level by level: [C][level] */
    const float *bias;     /* [levels][C] */
    const float *error;    /* [levels] mean over held-out tokens of ||f - its fit||^2 */
    const float *energy;   /* [1] mean over the same tokens of ||y - mean y||^2, y = x + f(x) */
} fov_ffn_profile;

#endif
