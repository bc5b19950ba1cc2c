/* dense.h: what the forward and backward of dense attention share: one (text, head) of a problem, its tiles and its masks. */
#ifndef FOV_ATTENTION_DENSE_H
#define FOV_ATTENTION_DENSE_H

#include "attention/attention.h"

enum {
    FOV_DENSE_ROWS = 112,       /* query rows per block of scores: eight 14-row register tiles */
    FOV_DENSE_KEYS = 384,       /* keys per tile, FOV_GEMM_KC: sums over tiles are those of one long gemm, bit for bit */
    FOV_DENSE_CHUNK = 504,      /* query rows per task: packing a tile of K and V is shared by them */
    FOV_DENSE_F32_KEYS = 64,    /* texts of up to this many keys are multiplied in f32 whatever the type: converting costs more */
    FOV_DENSE_SINGLE_TILE = 512 /* texts of up to this many keys go through the softmax in one piece */
};

typedef struct fov_dense_head {
    size_t queries, keys, outputs;
    const float *q, *k, *v;
    float *y;
    const uint32_t *y_query, *q_position;
    const uint8_t *key_mask;
    bool causal;
    fov_type type;                                 /* that of the problem, or f32 of a short text */
    size_t offset_q, offset_k, offset_v, offset_y; /* of the head in each matrix */
} fov_dense_head;

fov_dense_head fov_dense_head_of(const fov_attention *p, size_t text, size_t head);

/* Keys that query i may see: those before the result, and not masked. */
size_t fov_dense_seen(const fov_dense_head *h, size_t query);
/* The most that one of n outputs from `o` may see. */
size_t fov_dense_seen_most(const fov_dense_head *h, size_t o, size_t n);
/* Put -INFINITY over scores [n, count] of outputs from o and keys from key that a query may not see. */
void fov_dense_mask(const fov_dense_head *h, size_t o, size_t n, size_t key, size_t count, float *scores, size_t ld);
/* Zero the rows of masked keys in packed panels [ceil(columns / 32)][words of count][32] of f32 or bf16, so that nothing of them,
 * NaN included, gets out. */
void fov_dense_clear_masked(const fov_dense_head *h, fov_type type, size_t key, size_t count, size_t columns, float *packed);

/* dense.c, for methods with other projections */
size_t fov_dense_workspace(const fov_setting *setting, const fov_attention_size *size);
void fov_dense_forward(const fov_attention_run *run, const fov_attention *p);
void fov_dense_weights(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *out);
void fov_dense_apply(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *in);
double fov_dense_cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size);

/* backward, dense_backward.c */
size_t fov_dense_backward_workspace(const fov_setting *setting, const fov_attention_size *size);
void fov_dense_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient);

/* Tasks of a text of `rows` rows in chunks; numbering over texts: first[b] .. first[b + 1] - 1, first [texts + 1]. */
size_t fov_dense_chunk(const fov_attention *p, const size_t *offsets, unsigned threads);
size_t fov_dense_number(const fov_attention *p, const size_t *offsets, size_t chunk, size_t *first);
/* Text of a task. */
size_t fov_dense_text_of(const size_t *first, size_t texts, size_t task);

#endif
