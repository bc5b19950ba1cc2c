/* attention.h (room): which weights join which tokens. One method = one file + one row in registry.c.
 *
 * Softmax-family patterns run in one of two ways:
 *   forward           Y = softmax(scale Q K^T) V in one pass, weights never stored                    (exact values)
 *   weights + apply   the weights are stored, importance is reported, V is made by a value estimator, then Y = A V */
#ifndef FOV_ATTENTION_H
#define FOV_ATTENTION_H

#include "core/method.h"
#include "kernels/kernels.h"

/* One layer over a ragged batch. Text b has keys and values in rows [k_offsets[b], k_offsets[b + 1]) of k and v, and queries in
 * rows [q_offsets[b], q_offsets[b + 1]) of q. Outputs: rows [y_offsets[b], y_offsets[b + 1]) of y; the o-th is for query
 * y_query[o] of its text, or for its own number when y_query is NULL. Head h is columns h D .. h D + D - 1 unless the strides say
 * otherwise. */
/* Distances in floats between heads and between texts of a matrix; 0: heads side by side (D), texts where the offsets say. */
typedef struct fov_attention_strides {
    size_t head, text;
} fov_attention_strides;

typedef struct fov_attention {
    size_t texts, heads, head_size;
    const size_t *q_offsets, *k_offsets, *y_offsets; /* [texts + 1]; a slice of a batch need not start at 0 */
    const uint32_t *y_query;                         /* [y_offsets[texts]] or NULL */
    const float *q, *k, *v;
    size_t ldq, ldk, ldv;
    float *y; /* may be q itself when y_query is NULL and the offsets are equal */
    size_t ldy;
    fov_attention_strides q_strides, k_strides, v_strides, y_strides;
    float scale; /* 1 / sqrt(D) */
} fov_attention;

/* What a problem needs at most: sizes for workspace(). */
typedef struct fov_attention_size {
    size_t longest; /* tokens of the longest text */
    size_t head_size;
    unsigned threads;
} fov_attention_size;

typedef struct fov_attention_run {
    const fov_kernels *kernels;
    const fov_setting *setting;
    unsigned threads;
    float *scratch; /* workspace() bytes, 64-byte aligned */
} fov_attention_run;

/* Weights of a layer: for text b and head h a matrix [queries, keys] at weights + heads * starts[b] + h * queries * keys. */
typedef struct fov_attention_weight_set {
    float *weights;
    const size_t *starts; /* [texts]: sum over earlier texts of queries * keys */
    float *col_max;       /* [heads][k_offsets[texts]] or NULL: max over the text's query rows of each key's weight */
    float *col_energy;    /* the same, sum of squares */
} fov_attention_weight_set;

typedef struct fov_attention_row {
    fov_method_info info;
    size_t (*workspace)(const fov_attention_size *size); /* bytes */
    void (*forward)(const fov_attention_run *run, const fov_attention *problem);
    /* Softmax family only, else NULL. */
    void (*weights)(const fov_attention_run *run, const fov_attention *problem, const fov_attention_weight_set *out);
    void (*apply)(const fov_attention_run *run, const fov_attention *problem, const fov_attention_weight_set *in);
} fov_attention_row;

extern const fov_attention_row fov_attention_dense;

/* Row of a parsed setting. */
const fov_attention_row *fov_attention_row_of(const fov_setting *setting);
/* All rows' infos, for parsing and listing. */
const fov_method_info *const *fov_attention_infos(size_t *count);

#endif
