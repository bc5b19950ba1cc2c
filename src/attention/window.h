/* window.h: what the two halves of windowed attention share: window.c (the band) and window_global.c (rows of global tokens). */
#ifndef FOV_ATTENTION_WINDOW_H
#define FOV_ATTENTION_WINDOW_H

#include "attention/attention.h"

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

/* window_global.c: outputs of the global tokens, from the layer's input x and the global projections. Scratch: the bytes that
 * fov_window_global_bytes says, 64-byte aligned. */
size_t fov_window_global_bytes(const fov_attention_size *size);
void fov_window_global_run(const fov_attention_run *run, const fov_attention *p, void *scratch);
double fov_window_global_cost(const fov_setting *setting, const fov_attention *p);

#endif
