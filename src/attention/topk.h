/* topk.h: between topk.c (the row), topk_select.c (which keys each query keeps) and topk_backward.c. */
#ifndef FOV_ATTENTION_TOPK_H
#define FOV_ATTENTION_TOPK_H

#include "attention/attention.h"
#include "core/memory.h"

/* What the tasks of one call share. */
typedef struct fov_topk {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_weight_set *w;
    const fov_attention_gradient *gradient;
    size_t keep, longest; /* k; keys of the longest text */
    size_t room, rows;    /* candidates a query holds at a time; queries of a chunk */
    size_t chunks;        /* of the text with most outputs */
    size_t per_thread;    /* bytes */
} fov_topk;

typedef struct fov_topk_scratch {
    float *packed, *scores, *gemm; /* a tile of keys, a block of rows x a tile */
    float *value;                  /* [rows][room] candidates: scores, then weights */
    uint32_t *index;               /* [rows][room] their keys, ascending */
    size_t *count, *sees;          /* [rows] candidates; leading keys the query may see */
    float *least;                  /* [rows] k-th best score so far */
    uint32_t *spare;               /* [2 room] */
    float *line;                   /* [longest + 16] apply: nonzero weights of a row */
    uint32_t *line_index;          /* [longest + 16] */
    float *slope;                  /* [room] backward: dS of a row */
    float *row;                    /* [head_size] */
} fov_topk_scratch;

/* One (text, head). Queries are rows of q, numbered in the text; outputs are rows of y. */
typedef struct fov_topk_view {
    size_t queries, keys, outputs, first_query;
    const float *q, *k, *v;
    float *y;
    const uint32_t *y_query; /* [outputs] or NULL */
    const uint8_t *mask;     /* [keys] or NULL */
    size_t k_start, v_start; /* of the view in k and v, floats; dk and dv lie alike */
    size_t q_start, y_start;
} fov_topk_view;

/* The sizes that follow from k and the longest text. */
fov_topk fov_topk_sizes(const fov_setting *setting, size_t longest, size_t head_size);
size_t fov_topk_carve(fov_arena *arena, const fov_topk *t, size_t head_size, fov_topk_scratch *s);
fov_topk fov_topk_of(const fov_attention_run *run, const fov_attention *p);
fov_topk_scratch fov_topk_scratch_of(const fov_topk *t, unsigned thread);
fov_topk_view fov_topk_view_of(const fov_attention *p, size_t text, size_t head);

/* The n queries `queries` (NULL: first, first + 1, ...): value, index and count of each: softmax weights that are not 0 and their
 * keys, ascending. n <= t->rows. */
void fov_topk_choose(const fov_topk *t, const fov_topk_view *h, size_t first, const uint32_t *queries, size_t n,
                     const fov_topk_scratch *s);

void fov_topk_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient);

#endif
