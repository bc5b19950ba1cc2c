/* yoso.h: what the files of YOSO attention share (Zeng et al., "You Only Sample (Almost) Once", ICML 2021).
 *
 *     Y_i = sum_j w_ij v_j,   w_ij = (1 - acos(q^_i . k^_j) / pi)^tau,   O_i = Y_i / |Y_i| + convolution of V
 *
 * w is the probability that tau random hyperplanes put q^ = q / |q| and k^ = k / |k| in the same bucket of 2^tau. The expectation
 * form uses w itself; the sampled form the share of m hashes in which the two collide. */
#ifndef FOV_ATTENTION_YOSO_H
#define FOV_ATTENTION_YOSO_H

#include "attention/attention.h"
#include "core/memory.h"
#include "core/rng.h"

enum { FOV_YOSO_ROWS = 56, FOV_YOSO_LANES = 16 }; /* query rows of a block; vectors hashed side by side */

typedef struct fov_yoso_settings {
    unsigned tau;
    size_t m; /* 0: expectation form */
    bool hadamard, surrogate;
} fov_yoso_settings;

fov_yoso_settings fov_yoso_settings_of(const fov_setting *setting);

/* One text and head. */
typedef struct fov_yoso_head {
    size_t text, head;
    size_t queries, outputs, all_keys;
    size_t q_start, k_start, v_start, y_start; /* floats */
    const uint32_t *y_query, *position;        /* of this text, or NULL */
    const uint8_t *key_mask;                   /* of this text, or NULL */
    /* The keys that are there, in order, copied: masked ones are never read. */
    size_t keys;
    const uint32_t *present; /* [keys] key numbers */
    const float *k, *v;      /* [keys, D]; k normalised */
} fov_yoso_head;

fov_yoso_head fov_yoso_view(const fov_attention *p, size_t text, size_t head);

/* Copies of the keys and values that are there, in scratch of the longest text. */
typedef struct fov_yoso_copies {
    uint32_t *present;
    float *k, *v, *k_norm; /* k_norm [keys]: |k| or NULL */
} fov_yoso_copies;
void fov_yoso_copy(const fov_attention *p, fov_yoso_head *h, const fov_yoso_copies *to);

/* to = x / max(|x|, 1e-12) for n rows; norms [n] get |x| when not NULL. */
void fov_yoso_normalize(const float *x, size_t ldx, size_t n, size_t d, float *to, float *norms);

/* Query of output o. */
static inline size_t fov_yoso_query(const fov_yoso_head *h, size_t o) {
    return h->y_query ? h->y_query[o] : o;
}
/* A query sees the keys with a number below this. */
size_t fov_yoso_sees(const fov_attention *p, const fov_yoso_head *h, size_t query);
/* How many of the keys that are there a query sees. */
size_t fov_yoso_visible(const fov_attention *p, const fov_yoso_head *h, size_t query);

/* y = y / max(|y|, least), the norm in double; returns |y|. */
float fov_yoso_unit(float *y, size_t d, double least);
/* to += sign * convolution of the values around a query's token (0 where a key is masked, unseen or outside the text). */
void fov_yoso_convolve(const fov_attention *p, const fov_yoso_head *h, size_t query, float *to, float sign);
/* The gradient of that: dv of the keys that are there += w dy. */
void fov_yoso_convolve_back(const fov_attention *p, const fov_yoso_head *h, size_t query, const float *dy, float *dv);

/* In place: s = (1 - acos(s) / pi)^tau, s clamped to [-1, 1]. slopes, when not NULL: dw/ds with 1 - s^2 at least 1e-6, or its lower
 * bound tau w / 2. */
void fov_yoso_weights(float *s, size_t count, unsigned tau, float *slopes, bool surrogate);

/* ---- hashing: yoso_hash.c ---- */

/* The hash functions of one (text, head), made a group at a time. */
typedef struct fov_yoso_hasher {
    fov_yoso_settings s;
    size_t d, padded; /* padded: d as a power of two >= 32 (Hadamard) */
    size_t group;     /* hashes made together */
    fov_rng rng;
    float *matrix, *packed, *projected, *gemm; /* Gaussian: [columns, D]; vectors, packed; [columns][vectors] */
    float *signs, *lanes;                      /* Hadamard: [3][padded], [padded][lanes] */
} fov_yoso_hasher;

void fov_yoso_hasher_carve(fov_arena *arena, const fov_yoso_settings *s, size_t d, fov_yoso_hasher *hasher);
void fov_yoso_hasher_key(fov_yoso_hasher *hasher, const fov_attention *p, const fov_yoso_head *h);
/* Draw hash functions first .. first + group - 1; a hash's draws depend on its number alone, not on m. */
void fov_yoso_hasher_draw(fov_yoso_hasher *hasher, const fov_kernels *kernels, size_t first);
/* codes[g * n + i]: bucket of row i of x [n, d] under hash first + g, for g < hashes. */
void fov_yoso_hasher_codes(const fov_yoso_hasher *hasher, const fov_kernels *kernels, size_t hashes, const float *x, size_t n,
                           uint32_t *codes);

/* ---- sampled form: yoso_sampled.c ---- */

size_t fov_yoso_sampled_workspace(const fov_yoso_settings *s, size_t longest, size_t head_size, bool apart);
void fov_yoso_sampled_forward(const fov_attention_run *run, const fov_attention *p, size_t text, size_t head, size_t longest,
                              void *scratch, size_t bytes);

/* ---- gradients: yoso_backward.c ---- */

size_t fov_yoso_backward_workspace(const fov_setting *setting, const fov_attention_size *size);
void fov_yoso_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient);

/* Rows of the longest text. */
size_t fov_yoso_longest(const fov_attention *p);

#endif
