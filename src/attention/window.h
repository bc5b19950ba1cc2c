/* window.h: what the parts of windowed attention share: window.c (the band), window_backward.c (its gradients) and window_global.c
 * (rows of global tokens). */
#ifndef FOV_ATTENTION_WINDOW_H
#define FOV_ATTENTION_WINDOW_H

#include "attention/attention.h"

enum {
    FOV_WINDOW_ROWS = 64
}; /* of a block: two panels, so that with w a multiple of 64 it computes w + 64 columns for the w + 1
      that a row needs */

/* Position of a query that stands before every key (causal, more queries than keys). */
#define FOV_WINDOW_NOWHERE SIZE_MAX

static inline size_t fov_window_globals(const fov_attention *p) {
    return p->layer.global ? p->layer.globals : 0;
}

/* Token number of query `query` of a text. */
static inline size_t fov_window_position(const fov_attention *p, size_t text, size_t query) {
    const size_t keys = p->k_offsets[text + 1] - p->k_offsets[text], queries = p->q_offsets[text + 1] - p->q_offsets[text];
    if (p->q_position) return p->q_position[p->q_offsets[text] + query];
    if (!p->causal) return query;
    return query + keys < queries ? FOV_WINDOW_NOWHERE : query + keys - queries;
}

/* Token number of output `output` of a text. */
static inline size_t fov_window_output(const fov_attention *p, size_t text, size_t output) {
    return fov_window_position(p, text, p->y_query ? p->y_query[p->y_offsets[text] + output] : output);
}

/* What a query of a text sees: keys at most `half` from it, and the first `globals`. */
typedef struct fov_window_band {
    size_t half, globals, keys;
    bool causal;
    const uint8_t *mask; /* [keys] or NULL */
} fov_window_band;

/* Keys lo .. hi - 1 of the band of a block of positions; lo is a multiple of FOV_PANEL. */
typedef struct fov_window_span {
    size_t lo, hi;
} fov_window_span;
fov_window_span fov_window_span_of(const fov_window_band *band, size_t position);
/* Columns of the widest block, globals included. */
size_t fov_window_columns(const fov_window_band *band);
/* scores[globals + hi - lo] of a position: -INFINITY over what it does not see. */
void fov_window_hide(const fov_window_band *band, size_t position, fov_window_span span, float *scores);
/* How many of the rows first .. count - 1 are of first's block of positions, one after the other; `position` says where a row is.
 */
size_t fov_window_run(const fov_attention *p, size_t text, size_t first, size_t count,
                      size_t (*position)(const fov_attention *, size_t, size_t));
/* w / 2. */
size_t fov_window_half(const fov_setting *setting);

/* window_backward.c: without global tokens. */
size_t fov_window_backward_workspace(const fov_setting *setting, const fov_attention_size *size);
void fov_window_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient);

/* window_global.c: outputs of the global tokens, from the layer's input x and the global projections. Scratch: the bytes that
 * fov_window_global_bytes says, 64-byte aligned. */
size_t fov_window_global_bytes(const fov_attention_size *size);
void fov_window_global_run(const fov_attention_run *run, const fov_attention *p, void *scratch);
double fov_window_global_cost(const fov_setting *setting, const fov_attention *p);

#endif
