/* topk_select.c: the k best keys of every query and their softmax weights.
 *
 * A chunk of queries meets the keys tile by tile: a block of rows x a tile of scores comes from the gemm kernel, and each row
 * appends to its candidates the scores above its k-th best so far. When the candidates' room is full, quickselect cuts them to k
 * and raises that bound: log(T / k) cuts a row in random order. So no row of T scores is ever held, and candidates stay in the
 * order of their keys: the sums that follow do not depend on how the keys were cut. */
#include <math.h>

#include "attention/topk.h"
#include "core/select.h"

enum {
    TILE = 1024,          /* keys of a tile: 256 KiB of packed K at D = 64 */
    BLOCK = 56,           /* rows of a gemm, four 14-row register tiles */
    ROWS = 8 * BLOCK,     /* of a chunk at most: K is packed once per chunk */
    ROWS_LEAST = 14,      /* and at least, where k is large */
    CANDIDATES = 1 << 18, /* of a chunk, unless ROWS_LEAST needs more: 2 MiB */
    SLACK = 16,           /* the `above` kernel writes so far behind its last */
    FREE = 64             /* candidates free after a cut, k apart */
};

static size_t least_of(size_t a, size_t b) {
    return a < b ? a : b;
}

fov_topk fov_topk_sizes(const fov_setting *setting, size_t longest, size_t head_size) {
    fov_topk t = {.keep = (size_t)fov_setting_get(setting, "k"), .longest = longest};
    size_t keep = least_of(t.keep, longest);
    t.room = least_of(fov_add(fov_mul(2, keep), FREE + SLACK), fov_add(longest, SLACK));
    size_t cells = fov_mul(ROWS_LEAST, t.room);
    if (cells < CANDIDATES) cells = CANDIDATES;
    t.rows = least_of(ROWS, cells / t.room);
    fov_topk_scratch s;
    fov_arena arena = {0};
    t.per_thread = fov_topk_carve(&arena, &t, head_size, &s);
    return t;
}

/* Sizes here grow with the longest text, so that a workspace for longer texts serves too: `cells`, not rows x room. */
size_t fov_topk_carve(fov_arena *arena, const fov_topk *t, size_t head_size, fov_topk_scratch *s) {
    size_t cells = fov_mul(ROWS_LEAST, t->room);
    if (cells < CANDIDATES) cells = CANDIDATES;
    cells = least_of(cells, fov_mul(ROWS, t->room));
    size_t tile = least_of(t->longest, TILE);
    s->packed = fov_arena_take(arena, fov_packed_size(tile, head_size), sizeof(float));
    s->scores = fov_arena_take(arena, BLOCK * tile, sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    s->value = fov_arena_take(arena, cells, sizeof(float));
    s->index = fov_arena_take(arena, cells, sizeof(uint32_t));
    s->count = fov_arena_take(arena, ROWS, sizeof(size_t));
    s->sees = fov_arena_take(arena, ROWS, sizeof(size_t));
    s->least = fov_arena_take(arena, ROWS, sizeof(float));
    s->spare = fov_arena_take(arena, fov_mul(2, t->room), sizeof(uint32_t));
    s->line = fov_arena_take(arena, fov_add(t->longest, SLACK), sizeof(float));
    s->line_index = fov_arena_take(arena, fov_add(t->longest, SLACK), sizeof(uint32_t));
    s->slope = fov_arena_take(arena, t->room, sizeof(float));
    s->row = fov_arena_take(arena, head_size, sizeof(float));
    return arena->used;
}

fov_topk fov_topk_of(const fov_attention_run *run, const fov_attention *p) {
    size_t longest = 0, outputs = 0;
    for (size_t b = 0; b < p->texts; b++) {
        size_t keys = p->k_offsets[b + 1] - p->k_offsets[b], rows = p->y_offsets[b + 1] - p->y_offsets[b];
        if (keys > longest) longest = keys;
        if (rows > outputs) outputs = rows;
    }
    fov_topk t = fov_topk_sizes(run->setting, longest, p->head_size);
    t.run = run;
    t.p = p;
    t.chunks = (outputs + t.rows - 1) / t.rows;
    return t;
}

fov_topk_scratch fov_topk_scratch_of(const fov_topk *t, unsigned thread) {
    fov_topk_scratch s;
    fov_arena arena = {(unsigned char *)t->run->scratch + thread * t->per_thread, 0, t->per_thread, false};
    fov_topk_carve(&arena, t, t->p->head_size, &s);
    return s;
}

fov_topk_view fov_topk_view_of(const fov_attention *p, size_t text, size_t head) {
    size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = p->head_size;
    fov_topk_view h = {.queries = p->q_offsets[text + 1] - q,
                       .keys = p->k_offsets[text + 1] - k,
                       .outputs = p->y_offsets[text + 1] - y,
                       .first_query = q,
                       .q_start = fov_attention_start(p->q_strides, text, q, p->ldq, head, d),
                       .k_start = fov_attention_start(p->k_strides, text, k, p->ldk, head, d),
                       .v_start = fov_attention_start(p->v_strides, text, k, p->ldv, head, d),
                       .y_start = fov_attention_start(p->y_strides, text, y, p->ldy, head, d),
                       .y_query = p->y_query ? p->y_query + y : NULL,
                       .mask = p->key_mask ? p->key_mask + k : NULL};
    h.q = p->q ? p->q + h.q_start : NULL;
    h.k = p->k ? p->k + h.k_start : NULL;
    h.v = p->v ? p->v + h.v_start : NULL;
    h.y = p->y ? p->y + h.y_start : NULL;
    return h;
}

/* Leading keys query i sees. */
static size_t sees_of(const fov_attention *p, const fov_topk_view *h, size_t i) {
    if (!p->causal) return h->keys;
    size_t next = i + 1 + h->keys; /* the query's place + 1, queries added */
    if (p->q_position) return least_of((size_t)p->q_position[h->first_query + i] + 1, h->keys);
    return next > h->queries ? least_of(next - h->queries, h->keys) : 0;
}

/* Append row r's scores of keys first .. first + n - 1. */
static void append(const fov_topk *t, const fov_topk_scratch *s, size_t r, const float *scores, size_t first, size_t n) {
    float *value = s->value + r * t->room;
    uint32_t *index = s->index + r * t->room;
    size_t count = s->count[r];
    const size_t room = t->room - SLACK;
    for (size_t at = 0; at < n;) {
        const size_t step = least_of(n - at, room - count);
        count += t->run->kernels->above(scores + at, step, s->least[r], (uint32_t)(first + at), value + count, index + count);
        at += step;
        if (count > t->keep && room - count < FREE) count = fov_keep_largest(value, index, count, t->keep, s->spare, &s->least[r]);
    }
    s->count[r] = count;
}

/* Rows [begin, begin + n) of the chunk against a packed tile of keys. */
static void meet_tile(const fov_topk *t, const fov_topk_view *h, const float *q, const uint32_t *queries, size_t begin, size_t n,
                      size_t first, size_t keys, const fov_topk_scratch *s) {
    fov_gemm g = {.n = n,
                  .m = keys,
                  .k = t->p->head_size,
                  .x = q,
                  .ldx = t->p->ldq,
                  .x_rows = queries,
                  .w = s->packed,
                  .y = s->scores,
                  .ldy = keys};
    t->run->kernels->gemm_block(&g, 0, n, 0, fov_panels(keys), s->gemm);
    for (size_t i = 0; i < n; i++) {
        float *scores = s->scores + i * keys;
        size_t sees = s->sees[begin + i];
        if (sees <= first) continue;
        for (size_t j = 0; h->mask && j < keys; j++) scores[j] = h->mask[first + j] ? scores[j] : -INFINITY; /* never above */
        append(t, s, begin + i, scores, first, least_of(sees - first, keys));
    }
}

/* Candidates of row r to weights: the best k, softmax, zeros taken out. */
static void finish_row(const fov_topk *t, const fov_topk_scratch *s, size_t r) {
    float *value = s->value + r * t->room;
    uint32_t *index = s->index + r * t->room;
    size_t n = s->count[r], kept = 0;
    if (n > t->keep) n = fov_keep_largest(value, index, n, t->keep, s->spare, &s->least[r]);
    t->run->kernels->softmax(value, n, 1, n, t->p->scale, NULL, NULL);
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
    size_t most = 0;
    for (size_t r = 0; r < n; r++) {
        s->count[r] = 0;
        s->least[r] = -INFINITY;
        s->sees[r] = sees_of(p, h, queries ? queries[r] : first + r);
        if (s->sees[r] > most) most = s->sees[r];
    }
    for (size_t j = 0; j < most; j += TILE) {
        size_t keys = least_of(most - j, TILE);
        t->run->kernels->pack_t(h->k + j * p->ldk, p->ldk, keys, p->head_size, s->packed);
        for (size_t r = 0; r < n; r += BLOCK)
            meet_tile(t, h, queries ? h->q : h->q + (first + r) * p->ldq, queries ? queries + r : NULL, r, least_of(n - r, BLOCK),
                      j, keys, s);
    }
    for (size_t r = 0; r < n; r++) finish_row(t, s, r);
}
