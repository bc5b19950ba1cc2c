/* topk_coarse.c: keys and queries in 8 bits, for the scores that choose candidates (scores=int8). Candidates are scored again in
 * f32, so what is lost here is only a key among the k best that is not among the candidates.
 *
 *     key j    w_jc = round(K_jc / r_j),  r_j = max_c |K_jc| / 127
 *     query i  x_ic = round(Q_ic / max_c |Q_ic| * 127)
 *     score    r_j sum_c x_ic w_jc, nearly in the order of q . K_j
 *
 * Lost: taking the mean of keys out first (SageAttention, Zhang et al., 2024). On keys of BERT recall is the same to 2e-6.
 */
#include <math.h>
#include <string.h>

#include "attention/topk.h"
#include "core/threads.h"

/* Panels of texts with more keys than `cut`: a text takes keys / 32 rounded up, so at most one more than its share of tokens. */
size_t fov_topk_coarse_carve(fov_arena *arena, fov_topk_coarse *c, size_t tokens, size_t heads, size_t head_size, size_t cut) {
    c->depth = (head_size + 3) / 4 * 4;
    c->panels = tokens / FOV_PANEL + tokens / (cut + 1) + 1;
    const size_t cells = fov_mul(fov_mul(heads, c->panels), FOV_PANEL);
    c->w = fov_arena_take(arena, fov_mul(cells, c->depth), 1);
    c->scale = fov_arena_take(arena, cells, sizeof(float));
    c->shift = fov_arena_take(arena, cells, sizeof(float));
    return arena->used;
}

/* First panel of a long text: r -> r / 32 + r / (cut + 1) grows by at least ceil(keys / 32) where keys > cut. */
size_t fov_topk_coarse_panel(const fov_topk *t, size_t text) {
    const size_t row = t->p->k_offsets[text] - t->p->k_offsets[0];
    return row / FOV_PANEL + row / (t->cut + 1);
}

/* Bits of |x|, in the order of the floats and NaN above all: whole numbers, since compilers do not vectorise a float maximum. */
static inline int32_t size_bits(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & INT32_MAX;
}

/* x in 8 bits at out [depth], the rest 0; its factor. Not finite: zeros and NaN. */
static float quantise(const float *x, size_t n, size_t depth, int8_t *out) {
    int32_t top = 0;
    for (size_t c = 0; c < n; c++) {
        const int32_t bits = size_bits(x[c]);
        top = bits > top ? bits : top;
    }
    float most;
    memcpy(&most, &top, sizeof most);
    memset(out, 0, depth);
    if (!(most < INFINITY)) return NAN;
    if (!(most > 1e-36f)) return 0; /* 127 / most would not be finite */
    const float factor = 127 / most;
    for (size_t c = 0; c < n; c++) {
        const float d = x[c] * factor;
        out[c] = (int8_t)(d + copysignf(0.5f, d));
    }
    return most / 127;
}

void fov_topk_coarse_queries(const fov_topk *t, const float *q, const uint32_t *queries, size_t n, const fov_topk_scratch *s) {
    const size_t d = t->p->head_size, depth = t->coarse.depth;
    for (size_t i = 0; i < n; i++) quantise(q + (queries ? queries[i] : i) * t->p->ldq, d, depth, s->q8 + i * depth);
}

/* Keys [begin, end) of a view to panels. */
static void fill(const fov_topk *t, const fov_topk_view *h, size_t begin, size_t end, int8_t *row) {
    const size_t depth = t->coarse.depth;
    for (size_t j = begin; j < end; j++) {
        const bool there = j < h->keys && !(h->mask && !h->mask[j]);
        uint8_t *w = h->w8 + j / FOV_PANEL * FOV_PANEL * depth + j % FOV_PANEL * 4;
        h->key_scale[j] = 0;
        h->key_shift[j] = there ? 0 : -INFINITY; /* never above */
        if (there)
            h->key_scale[j] = quantise(h->k + j * t->p->ldk, t->p->head_size, depth, row);
        else
            memset(row, 0, depth);
        for (size_t c = 0; c < depth; c += 4) {
            uint32_t four;
            memcpy(&four, row + c, sizeof four);
            four ^= 0x80808080u; /* + 128 */
            memcpy(w + c * FOV_PANEL, &four, sizeof four);
        }
    }
}

/* One tile of one (text, head). */
static void keys_task(void *context, size_t index, unsigned thread) {
    const fov_topk *t = context;
    const size_t tiles = (t->longest + FOV_TOPK_TILE - 1) / FOV_TOPK_TILE, pair = index / tiles,
                 first = index % tiles * FOV_TOPK_TILE;
    const fov_topk_view h = fov_topk_view_of(t, pair / t->p->heads, pair % t->p->heads);
    if (!h.is_coarse || first >= h.keys) return;
    const fov_topk_scratch s = fov_topk_scratch_of(t, thread);
    const size_t end = fov_least(first + FOV_TOPK_TILE, fov_panels(h.keys) * FOV_PANEL);
    fill(t, &h, first, end, s.q8);
}

void fov_topk_coarse_keys(fov_topk *t) {
    if (!t->is_coarse) return;
    const size_t tiles = (t->longest + FOV_TOPK_TILE - 1) / FOV_TOPK_TILE;
    fov_parallel(t->run->threads, fov_mul(fov_mul(t->p->texts, t->p->heads), tiles), keys_task, t);
}
