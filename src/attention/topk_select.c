/* topk_select.c: the k best keys of every query and their softmax weights.
 *
 * A chunk of queries meets the keys tile by tile: a block of rows x a tile of scores comes from the gemm kernel, and each row
 * appends to its candidates the scores above its k-th best so far. A row's first bound is the k-th largest of the maxima of groups
 * of its first scores: no larger than the k-th largest score, as each maximum is one, and close to it. When candidates have grown
 * by half, quickselect cuts them to k and raises the bound. So no row of T scores is ever held, and candidates stay in the order of
 * their keys: the sums that follow do not depend on how the keys were cut.
 *
 * With scores=int8 the tiles are scored in 8 bits (topk_coarse.c), more than k candidates are kept, and these are scored again in
 * f32 before the last cut. */
#include <math.h>
#include <string.h>

#include "attention/topk.h"

/* Leading keys query i sees. */
static size_t sees_of(const fov_attention *p, const fov_topk_view *h, size_t i) {
    if (!p->causal) return h->keys;
    size_t next = i + 1 + h->keys; /* the query's place + 1, queries added */
    if (p->q_position) return fov_least((size_t)p->q_position[h->first_query + i] + 1, h->keys);
    return next > h->queries ? fov_least(next - h->queries, h->keys) : 0;
}

/* A score that at least `keep` of scores[n] reach, close to the keep-th best; -INFINITY where n is too small. */
static float first_bound(const fov_topk *t, size_t keep, const float *scores, size_t n, const fov_topk_scratch *s) {
    size_t groups = n, each = 1;
    float bound = -INFINITY;
    for (; groups / 2 >= 2 * keep; groups /= 2) each *= 2;
    if (each < 2) return bound;
    for (size_t i = 0; i < groups; i++) s->most[i] = scores[i];
    for (size_t j = 1; j < each; j++)
        for (size_t i = 0; i < groups; i++) s->most[i] = scores[j * groups + i] > s->most[i] ? scores[j * groups + i] : s->most[i];
    t->run->kernels->keep_largest(s->most, s->number, groups, keep, s->spare, &bound);
    return nextafterf(bound, -INFINITY); /* equal scores enter */
}

static void cut(const fov_topk *t, const fov_topk_scratch *s, size_t r, size_t keep) {
    if (s->count[r] <= keep) return;
    s->count[r] =
        t->run->kernels->keep_largest(s->value + r * t->room, s->index + r * t->room, s->count[r], keep, s->spare, &s->least[r]);
}

/* Append to the `keep` best of row r the scores of keys first .. first + n - 1. */
static void append(const fov_topk *t, size_t keep, const fov_topk_scratch *s, size_t r, const float *scores, size_t first,
                   size_t n) {
    if (!s->count[r]) s->least[r] = first_bound(t, keep, scores, n, s);
    const size_t found = t->run->kernels->above(scores, n, s->least[r], (uint32_t)first, s->line, s->line_index);
    for (size_t at = 0, step; at < found; at += step) {
        step = fov_least(found - at, t->room - s->count[r]);
        memcpy(s->value + r * t->room + s->count[r], s->line + at, step * sizeof *s->line);
        memcpy(s->index + r * t->room + s->count[r], s->line_index + at, step * sizeof *s->line_index);
        s->count[r] += step;
        if (s->count[r] > keep + keep / 2) cut(t, s, r, keep);
    }
}

/* Rows [begin, begin + n) of the chunk against a tile of keys, packed for f32 scores. */
static void meet_tile(const fov_topk *t, const fov_topk_view *h, const float *q, const uint32_t *queries, size_t begin, size_t n,
                      size_t first, size_t keys, const fov_topk_scratch *s) {
    if (h->is_coarse) {
        const size_t depth = t->coarse.depth;
        const fov_score_i8 g = {.n = n,
                                .m = keys,
                                .k = depth,
                                .x = s->q8 + begin * depth,
                                .w = h->w8 + first * depth,
                                .scale = h->key_scale + first,
                                .shift = h->key_shift + first,
                                .y = s->scores,
                                .ldy = keys};
        t->run->kernels->score_i8(&g);
    } else {
        const fov_gemm g = {.n = n,
                            .m = keys,
                            .k = t->p->head_size,
                            .x = q,
                            .ldx = t->p->ldq,
                            .x_rows = queries,
                            .w = s->packed,
                            .y = s->scores,
                            .ldy = keys};
        fov_gemm_block(t->run->kernels, &g, 0, n, 0, fov_panels(keys), s->gemm);
    }
    for (size_t i = 0; i < n; i++) {
        float *scores = s->scores + i * keys;
        const size_t sees = s->sees[begin + i];
        if (sees <= first) continue;
        for (size_t j = 0; h->mask && !h->is_coarse && j < keys; j++)
            scores[j] = h->mask[first + j] ? scores[j] : -INFINITY; /* never above */
        append(t, h->cut, s, begin + i, scores, first, fov_least(sees - first, keys));
    }
}

/* Candidates of row r, for the query at q, to weights: the best k, softmax, zeros taken out. */
static void finish_row(const fov_topk *t, const fov_topk_view *h, const float *q, const fov_topk_scratch *s, size_t r) {
    const fov_kernels *kernels = t->run->kernels;
    float *value = s->value + r * t->room;
    uint32_t *index = s->index + r * t->room;
    cut(t, s, r, h->cut);
    if (h->is_coarse) {
        kernels->dots(q, index, s->count[r], h->k, t->p->ldk, t->p->head_size, value);
        cut(t, s, r, t->keep);
    }
    size_t n = s->count[r], kept = 0;
    kernels->softmax(value, n, 1, n, t->p->scale, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        const float a = value[i];
        value[kept] = a;
        index[kept] = index[i];
        kept += !(a <= 0);
    }
    s->count[r] = kept;
}

void fov_topk_choose(const fov_topk *t, const fov_topk_view *h, size_t first, const uint32_t *queries, size_t n,
                     const fov_topk_scratch *s) {
    const fov_attention *p = t->p;
    const float *q = queries ? h->q : h->q + first * p->ldq; /* of query queries[r], or of row r */
    size_t most = 0;
    for (size_t r = 0; r < n; r++) {
        s->count[r] = 0;
        s->least[r] = -INFINITY;
        s->sees[r] = sees_of(p, h, queries ? queries[r] : first + r);
        if (s->sees[r] > most) most = s->sees[r];
    }
    if (h->is_coarse) fov_topk_coarse_queries(t, q, queries, n, s);
    for (size_t j = 0; j < most; j += FOV_TOPK_TILE) {
        const size_t keys = fov_least(most - j, FOV_TOPK_TILE);
        if (!h->is_coarse) t->run->kernels->pack_t(h->k + j * p->ldk, p->ldk, keys, p->head_size, s->packed);
        for (size_t r = 0; r < n; r += FOV_TOPK_BLOCK)
            meet_tile(t, h, queries ? q : q + r * p->ldq, queries ? queries + r : NULL, r, fov_least(n - r, FOV_TOPK_BLOCK), j,
                      keys, s);
    }
    for (size_t r = 0; r < n; r++) finish_row(t, h, q + (queries ? queries[r] : r) * p->ldq, s, r);
}
