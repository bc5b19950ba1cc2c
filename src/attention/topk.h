/* topk.h: between topk.c (the row), topk_layout.c (sizes, scratch, where a head lies), topk_select.c (which keys each query keeps),
 * topk_coarse.c (scores in 8 bits) and topk_backward.c. */
#ifndef FOV_ATTENTION_TOPK_H
#define FOV_ATTENTION_TOPK_H

#include "attention/attention.h"
#include "core/memory.h"

enum {
    FOV_TOPK_TILE = 1024,     /* keys of a tile: 256 KiB of packed K at D = 64 */
    FOV_TOPK_BLOCK = 56,      /* rows of a gemm, four 14-row register tiles */
    FOV_TOPK_ROWS = 8 * 56,   /* of a chunk at most: K is packed once per chunk */
    FOV_TOPK_ROWS_LEAST = 14, /* and at least, where k is large */
    FOV_TOPK_CELLS = 1 << 18, /* candidates of a chunk, unless ROWS_LEAST needs more: 2 MiB */
    FOV_TOPK_SLACK = 16,      /* the `above` kernel writes so far behind its last */
    FOV_TOPK_FREE = 64        /* candidates a query has room for, 2 `cut` apart */
};

/* Keys of all long texts in 8 bits, head by head. */
typedef struct fov_topk_coarse {
    size_t depth, panels; /* head size rounded up to 4; of a head, all texts */
    uint8_t *w;           /* [heads][panels][depth / 4][32][4] */
    float *scale, *shift; /* [heads][panels][32] */
} fov_topk_coarse;

/* What the tasks of one call share. */
typedef struct fov_topk {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_weight_set *w;
    const fov_attention_gradient *gradient;
    size_t keep, cut;          /* k; candidates of a row of coarse scores */
    size_t longest;            /* keys of the longest text */
    size_t room;               /* candidates a query holds at a time */
    size_t rows;               /* queries of a chunk */
    size_t chunks;             /* of the text with most outputs */
    size_t shared, per_thread; /* bytes */
    bool is_coarse, is_backward;
    fov_topk_coarse coarse;
} fov_topk;

typedef struct fov_topk_scratch {
    float *packed, *scores, *gemm; /* a tile of keys, a block of rows x a tile */
    int8_t *q8;                    /* [rows][depth] coarse: queries of the chunk */
    float *most;                   /* [TILE / 2] maxima of groups of a row's first scores */
    uint32_t *number;              /* [TILE / 2] */
    float *value;                  /* [rows][room] candidates: scores, then weights */
    uint32_t *index;               /* [rows][room] their keys, ascending */
    size_t *count, *sees;          /* [rows] candidates; leading keys the query may see */
    float *least;                  /* [rows] no key of a score below is among the best */
    uint32_t *spare;               /* [2 max(room, TILE / 2)] */
    float *line;                   /* [longest + 16] scores of a tile that enter; apply: nonzero weights of a row */
    uint32_t *line_index;          /* [longest + 16] */
    float *slope;                  /* [rows][room] backward: dS */
    float *row;                    /* [head_size] */
} fov_topk_scratch;

/* One (text, head). Queries are rows of q, numbered in the text; outputs are rows of y. */
typedef struct fov_topk_view {
    size_t queries, keys, outputs, first_query;
    size_t cut; /* candidates a row is cut to as tiles pass: k, or more where scores are coarse */
    const float *q, *k, *v;
    float *y;
    const uint32_t *y_query; /* [outputs] or NULL */
    const uint8_t *mask;     /* [keys] or NULL */
    size_t k_start, v_start; /* of the view in k and v, floats; dk and dv lie alike */
    size_t q_start, y_start;
    bool is_coarse; /* more keys than candidates, and they are there in 8 bits */
    uint8_t *w8;    /* panels of the text's keys */
    float *key_scale, *key_shift;
} fov_topk_view;

/* ---- topk_layout.c ---- */
/* The sizes that follow from k and the longest text. backward: the slopes too. */
fov_topk fov_topk_sizes(const fov_setting *setting, const fov_attention_size *size, bool backward);
fov_topk fov_topk_of(const fov_attention_run *run, const fov_attention *p, bool backward);
fov_topk_scratch fov_topk_scratch_of(const fov_topk *t, size_t number);
fov_topk_view fov_topk_view_of(const fov_topk *t, size_t text, size_t head);

/* ---- topk_coarse.c ---- */
size_t fov_topk_coarse_carve(fov_arena *arena, fov_topk_coarse *c, size_t tokens, size_t heads, size_t head_size, size_t cut);
size_t fov_topk_coarse_panel(const fov_topk *t, size_t text);
/* Once per call before fov_topk_choose: all keys in 8 bits, where the scores are coarse. */
void fov_topk_coarse_keys(fov_topk *t);
/* n queries of a view (queries NULL: the first n rows of q) to s->q8. */
void fov_topk_coarse_queries(const fov_topk *t, const float *q, const uint32_t *queries, size_t n, const fov_topk_scratch *s);

/* ---- topk_select.c ---- */
/* The n queries `queries` (NULL: first, first + 1, ...): value, index and count of each: softmax weights that are not 0 and their
 * keys, ascending. n <= t->rows. */
void fov_topk_choose(const fov_topk *t, const fov_topk_view *h, size_t first, const uint32_t *queries, size_t n,
                     const fov_topk_scratch *s);

void fov_topk_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient);

#endif
