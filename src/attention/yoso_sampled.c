/* yoso_sampled.c: the sampled form of YOSO, linear in T: each hash sums the keys' values by bucket and a query reads its bucket's
 * sum; Y is the mean over hashes. Hashes go in groups whose tables stay in L2 (8 at tau 8 and D 64: 512 KB). For a group, keys
 * stream through in chunks, then queries, so that only the tables are kept. When causal, the two streams take turns. */
#include <string.h>

#include "attention/yoso_tables.h"

enum { CHUNK = FOV_YOSO_CHUNK };

/* Keys on their way into the tables. */
typedef struct stream {
    size_t next;         /* first key that has not been loaded */
    size_t at, n;        /* loaded, from `at` on not added yet */
    size_t seen;         /* keys below it are in the tables */
    uint32_t key[CHUNK]; /* numbers of those loaded */
    float *k, *v;        /* [CHUNK, D] */
    uint32_t *codes;     /* [group][n] */
} stream;

typedef struct scratch {
    stream keys;
    float *q;          /* [CHUNK, D] */
    uint32_t *q_codes; /* [group][outputs of a chunk] */
    float *y;          /* [longest, D] where y is q: sums of outputs, as later groups read the queries */
    fov_yoso_tables tables;
    fov_yoso_hasher hasher;
} scratch;

/* What the steps of one text and head share. */
typedef struct task {
    const fov_attention_run *run;
    const fov_attention *p;
    fov_yoso_head h;
    scratch s;
    size_t hashes; /* of the group */
} task;

static size_t carve(fov_arena *arena, const fov_yoso_settings *settings, size_t longest, size_t d, bool apart, scratch *s) {
    const size_t row = fov_mul(d, sizeof(float));
    memset(s, 0, sizeof *s);
    fov_yoso_hasher_carve(arena, settings, d, &s->hasher);
    const size_t group = s->hasher.group;
    s->keys.k = fov_arena_take(arena, CHUNK, row);
    s->keys.v = fov_arena_take(arena, CHUNK, row);
    s->keys.codes = fov_arena_take(arena, fov_mul(group, CHUNK), sizeof(uint32_t));
    s->q = fov_arena_take(arena, CHUNK, row);
    s->q_codes = fov_arena_take(arena, fov_mul(group, CHUNK), sizeof(uint32_t));
    s->y = fov_arena_take(arena, !apart && settings->m > group ? longest : 0, row);
    fov_yoso_tables_carve(arena, settings->tau, settings->m < group ? settings->m : group, longest, d, &s->tables);
    return arena->used;
}

size_t fov_yoso_sampled_workspace(const fov_yoso_settings *s, size_t longest, size_t d, bool apart) {
    scratch none;
    fov_arena arena = {0};
    return carve(&arena, s, longest, d, apart, &none);
}

/* 0, or NaN when any of x is not finite: a hash would not show it. */
static float poison(const float *x, size_t d) {
    float part[8] = {0}, sum = 0;
    size_t c = 0;
    for (; c + 8 <= d; c += 8)
        for (size_t l = 0; l < 8; l++) part[l] += 0 * x[c + l];
    for (; c < d; c++) sum += 0 * x[c];
    for (size_t l = 0; l < 8; l++) sum += part[l];
    return sum;
}

/* The next chunk of keys that are there; returns their poison. */
static float load(task *t) {
    const fov_attention *p = t->p;
    const size_t d = p->head_size;
    stream *s = &t->s.keys;
    float bad = 0;
    for (s->at = s->n = 0; s->n < CHUNK && s->next < t->h.all_keys; s->next++) {
        if (t->h.key_mask && !t->h.key_mask[s->next]) continue;
        float *k = s->k + s->n * d, *v = s->v + s->n * d;
        fov_yoso_normalize(p->k + t->h.k_start + s->next * p->ldk, p->ldk, 1, d, k, NULL);
        memcpy(v, p->v + t->h.v_start + s->next * p->ldv, d * sizeof *v);
        bad += poison(k, d) + poison(v, d);
        s->key[s->n++] = (uint32_t)s->next;
    }
    return bad;
}

static void rewind_keys(task *t) {
    t->s.keys.next = t->s.keys.at = t->s.keys.n = t->s.keys.seen = 0;
    fov_yoso_tables_clear(&t->s.tables, t->hashes);
}

/* Tables of keys 0 .. end - 1. */
static void feed(task *t, size_t end) {
    stream *s = &t->s.keys;
    const size_t d = t->p->head_size;
    if (end < s->seen) rewind_keys(t); /* causal, queries out of order */
    s->seen = end;
    for (;;) {
        if (s->at == s->n) {
            if (s->next >= end) return;
            load(t);
            fov_yoso_hasher_codes(&t->s.hasher, t->run->kernels, t->hashes, s->k, s->n, s->codes);
        }
        size_t to = s->at;
        while (to < s->n && s->key[to] < end) to++;
        for (size_t g = 0; g < t->hashes; g++)
            fov_yoso_tables_add(&t->s.tables, g, s->codes + g * s->n + s->at, to - s->at, s->v + s->at * d);
        s->at = to;
        if (to < s->n) return;
    }
}

/* One group of hashes for n outputs from o on: their sums, in y at row o, go on; the first group starts them. */
static void read_chunk(task *t, size_t o, size_t n, float *y, size_t ldy, const float *start) {
    const fov_attention *p = t->p;
    const size_t d = p->head_size;
    for (size_t i = 0; i < n; i++) {
        float *q = t->s.q + i * d;
        fov_yoso_normalize(p->q + t->h.q_start + fov_yoso_query(&t->h, o + i) * p->ldq, p->ldq, 1, d, q, NULL);
        const float first = start ? *start + poison(q, d) : 0;
        for (size_t c = 0; start && c < d; c++) y[(o + i) * ldy + c] = first;
    }
    fov_yoso_hasher_codes(&t->s.hasher, t->run->kernels, t->hashes, t->s.q, n, t->s.q_codes);
    for (size_t i = 0; i < n; i++) {
        feed(t, fov_yoso_sees(p, &t->h, fov_yoso_query(&t->h, o + i)));
        fov_yoso_tables_read(&t->s.tables, t->hashes, t->s.q_codes + i, n, y + (o + i) * ldy);
    }
}

static void finish(const task *t, size_t o, size_t n, size_t m, const float *sums, size_t lds) {
    const fov_attention *p = t->p;
    const size_t d = p->head_size;
    for (size_t i = o; i < o + n; i++) {
        float *y = p->y + t->h.y_start + i * p->ldy;
        memmove(y, sums + i * lds, d * sizeof *y);
        fov_yoso_unit(y, d, 1e-12 * (double)m); /* |Y| = |y| / m */
        fov_yoso_convolve(p, &t->h, fov_yoso_query(&t->h, i), y, 1);
    }
}

void fov_yoso_sampled_forward(const fov_attention_run *run, const fov_attention *p, size_t text, size_t head, size_t longest,
                              void *block, size_t bytes) {
    const fov_yoso_settings settings = fov_yoso_settings_of(run->setting);
    const size_t d = p->head_size, m = settings.m;
    task t = {.run = run, .p = p, .h = fov_yoso_view(p, text, head)};
    fov_arena arena = {block, 0, bytes, false};
    carve(&arena, &settings, longest, d, p->y != p->q, &t.s);
    const size_t group = t.s.hasher.group;
    const bool kept = p->y == p->q && m > group;
    float *y = kept ? t.s.y : p->y + t.h.y_start, bad = 0;
    const size_t ldy = kept ? d : p->ldy;
    while (t.s.keys.next < t.h.all_keys) bad += load(&t);
    fov_yoso_hasher_key(&t.s.hasher, p, &t.h);
    for (size_t first = 0; first < m; first += group) {
        t.hashes = m - first < group ? m - first : group;
        fov_yoso_hasher_draw(&t.s.hasher, run->kernels, first);
        rewind_keys(&t);
        for (size_t o = 0; o < t.h.outputs; o += CHUNK) {
            const size_t n = t.h.outputs - o < CHUNK ? t.h.outputs - o : CHUNK;
            if (!p->causal) feed(&t, t.h.all_keys);
            read_chunk(&t, o, n, y, ldy, first ? NULL : &bad);
            if (m - first <= group) finish(&t, o, n, m, y, ldy);
        }
    }
}
