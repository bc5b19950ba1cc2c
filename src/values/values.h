/* values.h (room): how the value projection H = X Wv + bv is computed. One estimator = one file + one row in registry.c.
 *
 * An estimator is bound once per layer to the layer's weights (tables, distributions), then run once per batch and layer. It adds
 * up the multiply-adds it really did. */
#ifndef FOV_VALUES_H
#define FOV_VALUES_H

#include "core/memory.h"
#include "core/method.h"
#include "kernels/kernels.h"
#include "values/profile.h"

/* Value projection of a layer. Weights are packed head by head: head h's [D, d] slice in panels at
 * packed + h * fov_packed_size(D, words of d), so that one head can be computed alone. */
typedef struct fov_value_weights {
    size_t width; /* d: input features */
    size_t heads, head_size;
    const float *packed;
    const float *bias;                /* [heads * D] */
    fov_type type;                    /* of packed; fov_value_weight reads one */
    const float *scale;               /* [heads * D] of int8 */
    const int32_t *sum;               /* [heads * D] of int8 */
    const fov_value_profile *profile; /* for bind alone; NULL: there is none */
} fov_value_weights;

typedef struct fov_values {
    size_t texts;
    const size_t *offsets;  /* [texts + 1] rows of x and v; a slice of a batch need not start at 0. N = offsets[texts] */
    const uint64_t *hashes; /* [texts] of the token ids: the "text" of the random key */
    const float *x;         /* [N, d] */
    size_t ldx;
    float *v; /* [N, heads * D] */
    size_t ldv;
    const float *col_max;    /* [heads][N] importance, for estimators that need it */
    const float *col_energy; /* [heads][N] */
    const size_t *q_offsets; /* [texts + 1] query rows that importance counts; NULL: every row */
    uint64_t seed;
    uint32_t layer;
    float *work;      /* [N] or NULL: mean over heads of the share of the projection spent on the token */
    float *head_work; /* [heads] or NULL: the sum over tokens of that share in a head is added */
} fov_values;

typedef struct fov_values_size {
    size_t tokens, texts, longest, width, heads, head_size;
    unsigned threads;
} fov_values_size;

typedef struct fov_values_run {
    const fov_kernels *kernels;
    const fov_setting *setting;
    const fov_value_weights *weights;
    const void *bound; /* of this layer, from bind */
    unsigned threads;
    void *scratch;         /* workspace() bytes, 64-byte aligned */
    float *gemm_scratch;   /* threads * fov_gemm_scratch() floats */
    double *multiply_adds; /* += done */
} fov_values_run;

typedef struct fov_values_row {
    fov_method_info info;
    bool needs_max, needs_energy;                      /* which importance */
    bool f32_only;                                     /* reads packed weights itself */
    bool (*needs_profile)(const fov_setting *setting); /* NULL: never */
    /* Make the tables of one layer; *bound is freed with fov_release. NULL: nothing to bind. */
    fov_status (*bind)(const fov_setting *setting, const fov_value_weights *weights, const fov_allocator *allocator, void **bound,
                       fov_error *error);
    /* Errors of a level as the profile holds them; false: no such level. NULL: the method has no levels. */
    bool (*certify)(const fov_value_profile *profile, size_t heads, size_t level, fov_certificate *certificate);
    size_t (*workspace)(const fov_values_size *size); /* bytes */
    void (*forward)(const fov_values_run *run, const fov_values *problem);
} fov_values_row;

/* The methods there are. Adding one: its file, and its name here. */
#define FOV_VALUES_METHODS(X) X(exact) X(mca) X(poisson) X(regress) X(lowrank)

#define FOV_VALUES_DECLARE(name) extern const fov_values_row fov_values_##name;
FOV_VALUES_METHODS(FOV_VALUES_DECLARE)

const fov_values_row *fov_values_row_of(const fov_setting *setting);
/* Whether a setting cannot be bound without a profile. */
bool fov_values_needs_profile(const fov_setting *setting);
const fov_method_info *const *fov_values_infos(size_t *count);

#endif
