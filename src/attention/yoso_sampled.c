/* yoso_sampled.c: the sampled form of YOSO, linear in T: for each hash, keys' values are summed by bucket and each query reads its
 * bucket's sum; Y is the mean over hashes. Buckets live in an open-addressing table of the occupied ones, so tau costs no memory,
 * and sums run in key order: the same bits every time. */
#include <string.h>

#include "attention/yoso.h"

typedef struct table {
    uint32_t *slots; /* [1 << log2_size]: 1 + row, 0: free */
    uint32_t *codes; /* [rows] */
    float *sums;     /* [rows, D] */
    unsigned log2_size;
    uint32_t rows;
} table;

typedef struct scratch {
    fov_yoso_copies copies;
    float *q;
    uint32_t *k_codes, *q_codes; /* [group][longest] */
    table t;
    fov_yoso_hasher hasher;
} scratch;

static size_t carve(fov_arena *arena, const fov_yoso_settings *settings, size_t longest, size_t d, scratch *s) {
    size_t row = fov_mul(d, sizeof(float));
    s->copies.present = fov_arena_take(arena, longest, sizeof(uint32_t));
    s->copies.k = fov_arena_take(arena, longest, row);
    s->copies.v = fov_arena_take(arena, longest, row);
    s->copies.k_norm = NULL;
    s->q = fov_arena_take(arena, longest, row);
    fov_yoso_hasher_carve(arena, settings, d, &s->hasher);
    s->k_codes = fov_arena_take(arena, fov_mul(s->hasher.group, longest), sizeof(uint32_t));
    s->q_codes = fov_arena_take(arena, fov_mul(s->hasher.group, longest), sizeof(uint32_t));
    s->t = (table){.log2_size = 1};
    while (((size_t)1 << s->t.log2_size) / 2 < longest && s->t.log2_size < 32) s->t.log2_size++; /* at most half full */
    s->t.slots = fov_arena_take(arena, (size_t)1 << s->t.log2_size, sizeof(uint32_t));
    s->t.codes = fov_arena_take(arena, longest, sizeof(uint32_t));
    s->t.sums = fov_arena_take(arena, longest, row);
    return arena->used;
}

size_t fov_yoso_sampled_workspace(const fov_yoso_settings *s, size_t longest, size_t d) {
    scratch none;
    fov_arena arena = {0};
    return carve(&arena, s, longest, d, &none);
}

static void empty(table *t) {
    memset(t->slots, 0, sizeof(uint32_t) << t->log2_size);
    t->rows = 0;
}

/* Slot of a bucket, or the free one where it would go. */
static uint32_t *find(const table *t, uint32_t code) {
    uint32_t mask = (uint32_t)(((uint64_t)1 << t->log2_size) - 1);
    uint32_t at = (code * 2654435769u) >> (32 - t->log2_size); /* Fibonacci hashing */
    while (t->slots[at] && t->codes[t->slots[at] - 1] != code) at = (at + 1) & mask;
    return &t->slots[at];
}

static void add(table *t, uint32_t code, const float *v, size_t d) {
    uint32_t *slot = find(t, code);
    if (!*slot) {
        t->codes[t->rows] = code;
        memcpy(t->sums + t->rows * d, v, d * sizeof *v);
        *slot = ++t->rows;
        return;
    }
    float *sum = t->sums + (*slot - 1) * d;
    for (size_t c = 0; c < d; c++) sum[c] += v[c];
}

/* One hash: y[o] += the sum of the bucket of output o's query. */
static void sample(const fov_attention *p, const fov_yoso_head *h, table *t, const uint32_t *k_codes, const uint32_t *q_codes) {
    size_t d = p->head_size, next = 0;
    empty(t);
    for (size_t o = 0; o < h->outputs; o++) {
        size_t query = fov_yoso_query(h, o), end = fov_yoso_visible(p, h, query);
        if (end < next) { /* causal, queries out of order */
            empty(t);
            next = 0;
        }
        for (; next < end; next++) add(t, k_codes[next], h->v + next * d, d);
        uint32_t slot = *find(t, q_codes[query]);
        if (!slot) continue;
        const float *sum = t->sums + (slot - 1) * d;
        float *y = p->y + h->y_start + o * p->ldy;
        for (size_t c = 0; c < d; c++) y[c] += sum[c];
    }
}

/* 0, or NaN when any of x is not finite: a hash would not show it. */
static float poison(const float *x, size_t count) {
    float sum = 0;
    for (size_t i = 0; i < count; i++) sum += 0 * x[i];
    return sum;
}

void fov_yoso_sampled_forward(const fov_attention_run *run, const fov_attention *p, size_t text, size_t head, size_t longest,
                              void *block, size_t bytes) {
    fov_yoso_settings settings = fov_yoso_settings_of(run->setting);
    size_t d = p->head_size;
    scratch s;
    fov_arena arena = {block, 0, bytes, false};
    carve(&arena, &settings, longest, d, &s);
    fov_yoso_head h = fov_yoso_view(p, text, head);
    fov_yoso_copy(p, &h, &s.copies);
    fov_yoso_normalize(p->q + h.q_start, p->ldq, h.queries, d, s.q, NULL);
    float bad = poison(h.k, h.keys * d) + poison(h.v, h.keys * d);
    for (size_t o = 0; o < h.outputs; o++) {
        float start = bad + poison(s.q + fov_yoso_query(&h, o) * d, d);
        for (size_t c = 0; c < d; c++) p->y[h.y_start + o * p->ldy + c] = start;
    }
    fov_yoso_hasher_key(&s.hasher, p, &h);
    for (size_t first = 0; first < settings.m; first += s.hasher.group) {
        size_t hashes = settings.m - first < s.hasher.group ? settings.m - first : s.hasher.group;
        fov_yoso_hasher_draw(&s.hasher, run->kernels, first);
        fov_yoso_hasher_codes(&s.hasher, run->kernels, hashes, h.k, h.keys, s.k_codes);
        fov_yoso_hasher_codes(&s.hasher, run->kernels, hashes, s.q, h.queries, s.q_codes);
        for (size_t g = 0; g < hashes; g++) sample(p, &h, &s.t, s.k_codes + g * h.keys, s.q_codes + g * h.queries);
    }
    for (size_t o = 0; o < h.outputs; o++) {
        float *y = p->y + h.y_start + o * p->ldy;
        fov_yoso_unit(y, d, 1e-12 * (double)settings.m); /* |Y| = |y| / m */
        fov_yoso_convolve(p, &h, fov_yoso_query(&h, o), y, 1);
    }
}
