/* fastmax.h (private to the room): the pieces of Fastmax attention that its forward, backward and streaming forms share.
 *
 * Weights f(x) = 1 + x (p = 1) or 1 + x + x^2 / 2 (p = 2), x = c q.k of normalised rows, are an inner product of features
 *     f(q.k) = phi(q) . psi(k),   psi(k) = [1, k_a, k_a k_b (a <= b)],   phi = psi with the squares k_a k_a halved,
 * F = 1 + D [+ D (D + 1) / 2] of them, so that sums over keys are one matrix of moments, sum_j psi(k_j) v_j^T [F, D], and one
 * vector, sum_j psi(k_j) [F]. */
#ifndef FOV_ATTENTION_FASTMAX_H
#define FOV_ATTENTION_FASTMAX_H

#include "attention/attention.h"
#include "core/memory.h"

enum {
    FOV_FASTMAX_ROWS = 56,    /* query rows at a time: four 14-row register tiles */
    FOV_FASTMAX_FEATURES = 56 /* features of a block of keys at a time */
};
enum { FOV_FASTMAX_NONE, FOV_FASTMAX_L2MAX, FOV_FASTMAX_STANDARDIZE }; /* normalize */

typedef struct fov_fastmax {
    size_t d, features, block; /* block: keys at a time */
    int p, normalize;
} fov_fastmax;

/* A run of keys: normalised, packed for scores and for products with values, and transposed for features. */
typedef struct fov_fastmax_keys {
    size_t n, first, end; /* keys held; of token numbers first .. end - 1 */
    uint32_t *position;   /* [block] token number of each */
    float *rows, *values; /* [block][D] */
    float *packed_k, *packed_v;
} fov_fastmax_keys;

/* A run of query rows and their sums over keys. */
typedef struct fov_fastmax_rows {
    size_t n;
    float *q;         /* [ROWS][D] normalised, times the factor of the scores */
    float *sums;      /* [ROWS][D] sum of f v */
    float *g, *seen;  /* [ROWS] sum of f; keys summed */
    size_t *position; /* [ROWS] last key seen */
} fov_fastmax_rows;

/* Moments of keys. `m` is packed as an operand of gemm. */
typedef struct fov_fastmax_moments {
    float *m, *z;
} fov_fastmax_moments;

typedef struct fov_fastmax_scratch {
    fov_fastmax_keys *keys; /* [blocks] */
    size_t blocks;
    fov_fastmax_rows rows;
    fov_fastmax_moments moments;
    float *features; /* [ROWS][F], or [FEATURES][block] */
    float *transposed, *scores, *gemm;
    float *packed_x, *gram, *products; /* sums of features: packed [D, block] or [D, D], [D][D], [ROWS][D] */
} fov_fastmax_scratch;

fov_fastmax fov_fastmax_of(const fov_setting *setting, size_t head_size);
/* fastmax_backward.c */
size_t fov_fastmax_backward_workspace(const fov_setting *setting, const fov_attention_size *size);
void fov_fastmax_backward(const fov_attention_run *run, const fov_attention *problem, const fov_attention_gradient *gradient);

/* Bytes, for texts of up to `longest` keys; hands out the arrays where the arena has a block. */
size_t fov_fastmax_carve(fov_arena *arena, const fov_fastmax *f, size_t longest, fov_fastmax_scratch *s);
/* Whether the moments are cheaper than all pairs: by the numbers of this text alone, so that a batch gives a text's own bits. */
bool fov_fastmax_factorised(const fov_setting *setting, double queries, double keys, size_t head_size, bool causal);

/* fastmax_load.c. One (text, head) of a problem, and the rows of it at work. */
typedef struct fov_fastmax_head {
    size_t queries, keys, outputs;
    const float *q, *k, *v;
    float *y;
    size_t ldq, ldk, ldv, ldy;
    const uint32_t *y_query, *q_position;
    const uint8_t *mask;
    bool causal;
    double factor;       /* of the scores */
    double q_max, k_max; /* l2max: 1 / largest norm */
} fov_fastmax_head;

typedef struct fov_fastmax_task {
    fov_fastmax f;
    fov_fastmax_head h;
    fov_fastmax_scratch s;
    const fov_kernels *kernels;
} fov_fastmax_task;

fov_fastmax_head fov_fastmax_head_of(const fov_fastmax *f, const fov_attention *p, size_t text, size_t head);
/* The next keys from token `first` on, as many as fill a block. */
void fov_fastmax_load_keys(const fov_fastmax_task *t, size_t first, fov_fastmax_keys *keys);
/* Rows for outputs from o on, while their last key is of token low .. high (SIZE_MAX: they see none). Sums are cleared. */
void fov_fastmax_load_rows(fov_fastmax_task *t, size_t o, size_t low, size_t high);
/* Last token that output o sees; SIZE_MAX: none. */
size_t fov_fastmax_last_key(const fov_fastmax_head *h, size_t o);
/* to = normalised x times factor. inverse: of the largest norm (l2max). */
void fov_fastmax_normalize(const fov_fastmax *f, const float *x, double inverse, double factor, float *to);
/* In place: the gradients of n normalised rows become those of the rows x themselves, which lie ldx and gradients ldg apart. A row
 * that the mask leaves out has no part in the largest norm. */
void fov_fastmax_unnormalize(const fov_fastmax *f, const float *x, size_t ldx, size_t n, const uint8_t *mask, double inverse,
                             double factor, float *gradient, size_t ldg);

/* fastmax_moments.c. */
void fov_fastmax_moments_clear(const fov_fastmax *f, const fov_fastmax_moments *m);
/* m += sum of psi(x_i) v_i^T and z += sum of share_i psi(x_i), for n <= block rows; v packed by pack_n; share NULL: 1. */
void fov_fastmax_moments_add(const fov_fastmax *f, const fov_kernels *kernels, const float *x, const float *share,
                             const float *packed_v, size_t n, const fov_fastmax_scratch *s);
/* sums = phi(x_i) m and g = phi(x_i) z, each where not NULL, for n <= ROWS rows. */
void fov_fastmax_moments_read(const fov_fastmax *f, const fov_kernels *kernels, const float *x, size_t n, float *sums, float *g,
                              const fov_fastmax_scratch *s);
/* dx[c] += sum over features of gradient times the derivative of phi(x) by x[c]. */
void fov_fastmax_pull(const fov_fastmax *f, const float *x, const float *gradient, float *dx);
/* fastmax.c: sums, g and seen of the rows at work += those of a block of keys, pair by pair; or = those of the moments. */
void fov_fastmax_add_pairs(const fov_fastmax_task *t, const fov_fastmax_keys *keys);
void fov_fastmax_read_moments(const fov_fastmax_task *t);
/* p = 2 has g >= keys / 2; p = 1 may have any: whether it is all rounding, and g kept from 0 with its sign. */
bool fov_fastmax_lost(float g, float keys);
float fov_fastmax_guarded(float g, float keys);

/* Sum over i of x[i] y[i], in 16 chains; y NULL: of x[i]. */
float fov_fastmax_dot(const float *x, const float *y, size_t n);

#endif
