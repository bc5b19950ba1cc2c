/* attention.h (room): which weights join which tokens. One method = one file + one row in registry.c.
 *
 * Softmax-family patterns run in one of two ways:
 *   forward           Y = softmax(scale Q K^T) V in one pass, weights never stored
 *   weights + apply   the weights are stored, importance is reported, V is made by a value estimator, then Y = A V
 * Importance that V does not wait for (guided feed-forward layers) comes from forward too, of methods that say so (one_pass). */
#ifndef FOV_ATTENTION_H
#define FOV_ATTENTION_H

#include "attention/profile.h"
#include "core/memory.h"
#include "core/method.h"
#include "kernels/gemm.h"

/* One layer over a ragged batch. Text b has keys and values in rows [k_offsets[b], k_offsets[b + 1]) of k and v, and queries in
 * rows [q_offsets[b], q_offsets[b + 1]) of q. Outputs: rows [y_offsets[b], y_offsets[b + 1]) of y; the o-th is for query
 * y_query[o] of its text, or for its own number when y_query is NULL. Head h is columns h D .. h D + D - 1 unless the strides say
 * otherwise. */
/* Distances in floats between heads and between texts of a matrix; 0: heads side by side (D), texts where the offsets say. */
typedef struct fov_attention_strides {
    size_t head, text;
} fov_attention_strides;

/* Floats from the start of a matrix to a text's row `row` (counted in the batch) of a head. */
static inline size_t fov_attention_start(fov_attention_strides s, size_t text, size_t row, size_t ld, size_t head,
                                         size_t head_size) {
    return (s.text ? text * s.text : row * ld) + head * (s.head ? s.head : head_size);
}

/* Rows with global attention (Longformer) have projections of their own: packed [C, d] and bias [C]; gv head by head. */
typedef struct fov_attention_global {
    const float *x; /* [N, d] layer input, by key row */
    size_t ldx, width;
    const float *q, *q_bias, *k, *k_bias, *v, *v_bias;
} fov_attention_global;

/* What a checkpoint's layer adds to its method; all zero: nothing. */
typedef struct fov_attention_layer {
    const float *score_scale; /* [heads] factor of a head's scores (Fastmax checkpoints) */
    const float *conv;        /* [heads][conv_width] depthwise convolution of V (YOSO) */
    size_t conv_width;
    size_t globals; /* leading tokens of each text with global attention (window); 0 when global is NULL */
    const fov_attention_global *global;
} fov_attention_layer;

typedef struct fov_attention {
    size_t texts, heads, head_size;
    size_t key_size; /* columns of a head in q and k; head_size but for methods that bind projections of their own */
    const size_t *q_offsets, *k_offsets, *y_offsets; /* [texts + 1]; a slice of a batch need not start at 0 */
    const uint32_t *y_query;                         /* [y_offsets[texts]] or NULL */
    const uint32_t *q_position; /* [q_offsets[texts]] token number of each query in its text; NULL: its own number (keys - queries
                                   added when causal) */
    const float *q, *k, *v;
    size_t ldq, ldk, ldv;
    float *y; /* may be q itself when y_query is NULL and the offsets and sizes are equal */
    size_t ldy;
    fov_attention_strides q_strides, k_strides, v_strides, y_strides;
    fov_type type; /* F32 or BF16: what forward, weights and apply of dense multiply texts of more than FOV_DENSE_F32_KEYS in,
                      shorter ones in f32; sums and softmax are f32. Other methods and backward multiply in f32 always */
    float scale;   /* 1 / sqrt(D) */
    bool causal;   /* query i of a text sees its keys 0 .. i + keys - queries */
    const uint8_t *key_mask; /* [k_offsets[texts]] 0: the key is not there; NULL: all are */
    fov_attention_layer layer;
    const uint64_t *hashes; /* [texts] with seed and layer_number the key of random methods */
    uint64_t seed;
    uint32_t layer_number;
    /* Importance that forward reports, as in fov_attention_weight_set, or NULL. Methods without one_pass leave it alone; of others,
     * outputs are the queries then (y_query NULL) and no text has more keys. */
    float *col_max, *col_energy;
} fov_attention;

/* Gradients of a loss: dy given, with the strides of y; dq, dk, dv written, with those of q, k, v. None overlaps another. */
typedef struct fov_attention_gradient {
    const float *dy;
    float *dq, *dk, *dv;
} fov_attention_gradient;

/* What a problem needs at most: sizes for workspace(). */
typedef struct fov_attention_size {
    size_t longest; /* rows of the longest text, queries or keys */
    size_t texts, tokens, heads, head_size;
    unsigned threads;
    size_t globals, width; /* of layer.global: leading tokens, features of x; 0: none */
    bool apart;            /* y is never q: methods that would keep a copy need none */
} fov_attention_size;

typedef struct fov_attention_run {
    const fov_kernels *kernels;
    const fov_setting *setting;
    unsigned threads;
    float *scratch; /* workspace() bytes, 64-byte aligned */
} fov_attention_run;

/* Weights of a layer: for text b and head h a matrix of n floats at weights + heads * starts[b] + h * n. Dense: [queries, keys]; a
 * method with weight_floats() says n itself, and only its apply() knows the layout. */
typedef struct fov_attention_weight_set {
    float *weights;
    const size_t *starts; /* [texts]: sum over earlier texts of n */
    float *col_max;       /* [heads][k_offsets[texts]] or NULL: max over the text's query rows of each key's weight */
    float *col_energy;    /* the same, sum of squares */
} fov_attention_weight_set;

/* The projections of a layer that make q and k: a model's own, or what a method has in their place. */
typedef struct fov_attention_projections {
    fov_linear q, k; /* [heads * key_size, C] */
    fov_linear v, o; /* [heads * value_size, C], [C, heads * value_size] */
    size_t heads, key_size, value_size;
    bool made; /* v is a method's, one matrix: a layer's own is packed head by head */
} fov_attention_projections;

typedef struct fov_attention_row {
    fov_method_info info;
    bool convolves; /* layer.conv is added to Y */
    /* Whether this setting can be causal, where the flags say that the method can; NULL: every setting. */
    bool (*can_be_causal)(const fov_setting *setting);
    size_t one_pass; /* keys of a text up to which forward reports importance; 0: it never does */
    size_t (*workspace)(const fov_setting *setting, const fov_attention_size *size); /* bytes, of forward, weights and apply */
    void (*forward)(const fov_attention_run *run, const fov_attention *problem);
    /* Multiply-adds of one text and head, all of forward. */
    double (*cost)(const fov_setting *setting, size_t queries, size_t keys, size_t head_size);
    /* Multiply-adds of what the layer adds, all texts and heads; NULL: nothing. */
    double (*layer_cost)(const fov_setting *setting, const fov_attention *problem);
    /* Turn a setting into the method's own exact form, where that has parameters of its own (YOSO: no hashes); NULL: it is. */
    void (*exact_form)(fov_setting *setting);
    /* Whether an output needs q, k or v: Longformer's global rows do not. NULL: yes. */
    bool (*reads_local)(const fov_setting *setting, const fov_attention *problem);
    /* Floats of the stored weights of one text and head; NULL: queries * keys. */
    size_t (*weight_floats)(const fov_setting *setting, size_t globals, size_t queries, size_t keys);
    /* Softmax family only, else NULL. */
    void (*weights)(const fov_attention_run *run, const fov_attention *problem, const fov_attention_weight_set *out);
    void (*apply)(const fov_attention_run *run, const fov_attention *problem, const fov_attention_weight_set *in);
    /* Methods that stand in the place of dense, on projections of their own, made of a layer's own and its calibration (NULL where
     * there is none): *bound, freed with fov_release, or NULL for the layer's own. NULL: the method takes q and k as they are. */
    fov_status (*bind)(const fov_setting *setting, const fov_attention_projections *own, const fov_attention_profile *profile,
                       const fov_allocator *allocator, fov_attention_projections **bound, fov_error *error);
    /* Whether it makes values of its own, so that no value estimator can; NULL: never. */
    bool (*makes_values)(const fov_setting *setting);
    /* Errors of a level as the profile holds them; false: no such level. NULL: the method has no levels. */
    bool (*certify)(const fov_attention_profile *profile, size_t heads, size_t level, fov_certificate *certificate);
    /* With FOV_METHOD_HAS_BACKWARD, else NULL. The problem is forward's, without y_query; y holds its result. */
    size_t (*backward_workspace)(const fov_setting *setting, const fov_attention_size *size);
    void (*backward)(const fov_attention_run *run, const fov_attention *problem, const fov_attention_gradient *gradient);
} fov_attention_row;

/* The methods there are. Adding one: its file, and its name here. */
#define FOV_ATTENTION_METHODS(X) X(dense) X(narrow) X(window) X(topk) X(yoso) X(fastmax)

#define FOV_ATTENTION_DECLARE(name) extern const fov_attention_row fov_attention_##name;
FOV_ATTENTION_METHODS(FOV_ATTENTION_DECLARE)

/* Floats of the stored weights of one text and head. */
size_t fov_attention_weight_floats(const fov_setting *setting, size_t globals, size_t queries, size_t keys);
/* Whether a setting cannot be bound without a profile. */
bool fov_attention_needs_profile(const fov_setting *setting);
/* Row of a parsed setting. */
const fov_attention_row *fov_attention_row_of(const fov_setting *setting);
/* All rows' infos, for parsing and listing. */
const fov_method_info *const *fov_attention_infos(size_t *count);

#endif
