/* feedforward.h (room): how the feed-forward layer Y = X + W2 gelu(W1 X + b1) + b2 is computed. One kind = one file + one row. */
#ifndef FOV_FEEDFORWARD_H
#define FOV_FEEDFORWARD_H

#include "core/memory.h"
#include "core/method.h"
#include "feedforward/profile.h"
#include "kernels/gemm.h"

typedef struct fov_ffn_weights {
    fov_linear up, down; /* [hidden, width], [width, hidden] */
    fov_activation activation;
} fov_ffn_weights;

typedef struct fov_ffn {
    size_t n;
    const float *x; /* [n, width]; also the residual */
    float *y;       /* [n, width], before the layer norm; must not be x */
    size_t texts;
    const size_t *offsets;   /* [texts + 1] rows of each text; NULL: just the rows that are read */
    const float *importance; /* [n] mean over heads of sum_i A[i, j]^2, for methods that need it and where offsets are given */
} fov_ffn;

typedef struct fov_ffn_run {
    const fov_kernels *kernels;
    const fov_setting *setting;
    const fov_ffn_weights *weights;
    unsigned threads;
    void *scratch; /* workspace() bytes */
    float *gemm_scratch;
    double *multiply_adds;
    const void *bound; /* of this layer, from bind */
} fov_ffn_run;

typedef struct fov_ffn_row {
    fov_method_info info;
    bool f32_only;                                     /* reads packed weights itself */
    bool (*needs_profile)(const fov_setting *setting); /* NULL: never */
    /* Make the tables of one layer; *bound is freed with fov_release. NULL: nothing to bind. profile may be NULL. */
    fov_status (*bind)(const fov_setting *setting, const fov_ffn_weights *weights, const fov_ffn_profile *profile,
                       const fov_allocator *allocator, void **bound, fov_error *error);
    /* Errors of a level as the profile holds them; false: no such level. NULL: the method has no levels. */
    bool (*certify)(const fov_ffn_profile *profile, size_t level, fov_certificate *certificate);
    size_t (*workspace)(size_t rows, size_t hidden); /* bytes for up to `rows` rows */
    void (*forward)(const fov_ffn_run *run, const fov_ffn *problem);
} fov_ffn_row;

/* The methods there are. Adding one: its file, and its name here. */
#define FOV_FFN_METHODS(X) X(exact) X(topk) X(narrow) X(guided)

#define FOV_FFN_DECLARE(name) extern const fov_ffn_row fov_ffn_##name;
FOV_FFN_METHODS(FOV_FFN_DECLARE)

const fov_ffn_row *fov_ffn_row_of(const fov_setting *setting);
/* Whether a setting cannot be bound without a profile. */
bool fov_ffn_needs_profile(const fov_setting *setting);
const fov_method_info *const *fov_ffn_infos(size_t *count);

#endif
