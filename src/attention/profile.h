/* profile.h: what calibration knows of one layer's queries and keys (model/profile.c reads it from a file), for the methods that
 * use it when they are bound. All arrays are borrowed. H: heads, D: head size. */
#ifndef FOV_ATTENTION_PROFILE_H
#define FOV_ATTENTION_PROFILE_H

#include <stddef.h>

enum { FOV_NARROW_STEP = 8 }; /* ranks are its multiples */

/* q' = query q and k' = key (k - mean of k): q'_1 k'_1 + ... + q'_r k'_r is q (k - mean of k) but for an error that is least for
 * every r. */
typedef struct fov_attention_profile {
    const char *file;      /* for messages */
    size_t rank;           /* the widest */
    const float *query;    /* [H][rank][D] */
    const float *key;      /* [H][rank][D] */
    const float *key_mean; /* [H][D] */
    const float *error;    /* [H][rank / FOV_NARROW_STEP + 1] rms error of the scores q k / sqrt(D), over the fit's tokens */
    const float *held;     /* the same over tokens of texts held out */

    /* The same of W_O's rows w and contexts c = sum_j a_j v_j: w' = output w, c' = value (c - mean of c). value NULL: not there. */
    const float *value;      /* [H][rank][D] */
    const float *output;     /* [H][rank][D] */
    const float *value_mean; /* [H][D] */
    const float *value_held; /* [H][rank / FOV_NARROW_STEP + 1] root of the energy of W_O c left out, over tokens held out */
} fov_attention_profile;

#endif
