/* topk_backward.c: gradients of top-k attention without a cache: the selection and its weights are made again, chunk by chunk, and
 * taken as constant. With g = dy_i and the kept keys j of query i:
 *   dA_j = g . V_j      dS_j = scale a_j (dA_j - sum_l a_l dA_l)
 *   dq_i = sum_j dS_j K_j      dk_j += dS_j q_i      dv_j += a_j g
 * dk_j and dv_j are sums over queries in ascending order, however the work is shared: where there are heads enough a task is one
 * (text, head); else rounds of as many chunks as threads select and make dq, then tasks of some keys each take what the round's
 * queries give them. */
#include "attention/topk.h"
#include "core/threads.h"

enum { PARTS = 4 /* tasks of keys per thread */ };

static void add_scaled(float *restrict y, float a, const float *restrict x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void clear_rows(float *x, size_t rows, size_t ld, size_t columns) {
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < columns; c++) x[i * ld + c] = 0;
}

typedef struct round {
    const fov_topk *t;
    size_t first, count; /* chunks, numbered over all (text, head) */
} round;

static fov_topk_view view_of(const fov_topk *t, size_t pair) {
    return fov_topk_view_of(t, pair / t->p->heads, pair % t->p->heads);
}

/* Outputs [*first, *first + n) of chunk number `chunk` of a view. */
static size_t rows_of(const fov_topk *t, const fov_topk_view *h, size_t chunk, size_t *first) {
    *first = chunk * t->rows;
    return *first < h->outputs ? fov_least(h->outputs - *first, t->rows) : 0;
}

/* Weights and slopes of a chunk, into s; its part of dq. */
static void slopes(const fov_topk *t, const fov_topk_view *h, size_t chunk, const fov_topk_scratch *s) {
    const fov_attention *p = t->p;
    const fov_kernels *kernels = t->run->kernels;
    size_t first, n = rows_of(t, h, chunk, &first);
    const uint32_t *queries = h->y_query ? h->y_query + first : NULL;
    fov_topk_choose(t, h, first, queries, n, s);
    for (size_t r = 0; r < n; r++) {
        const float *a = s->value + r * t->room;
        const uint32_t *key = s->index + r * t->room;
        float *slope = s->slope + r * t->room, mean = 0;
        kernels->dots(t->gradient->dy + h->y_start + (first + r) * p->ldy, key, s->count[r], h->v, p->ldv, p->head_size, slope);
        for (size_t j = 0; j < s->count[r]; j++) mean += a[j] * slope[j];
        for (size_t j = 0; j < s->count[r]; j++) slope[j] = p->scale * a[j] * (slope[j] - mean);
        kernels->gather(slope, key, s->count[r], h->k, p->ldk, p->head_size, s->row);
        float *dq = t->gradient->dq + h->q_start + (queries ? queries[r] : first + r) * p->ldq;
        add_scaled(dq, 1, s->row, p->head_size);
    }
}

/* First of n ascending keys that is not below `key`. */
static size_t place_of(const uint32_t *keys, size_t n, size_t key) {
    size_t low = 0;
    while (n) {
        const size_t half = n / 2;
        const bool below = keys[low + half] < key;
        low += below ? half + 1 : 0;
        n = below ? n - half - 1 : half;
    }
    return low;
}

/* What a chunk's queries give to keys [begin, end). */
static void scatter(const fov_topk *t, const fov_topk_view *h, size_t chunk, const fov_topk_scratch *s, size_t begin, size_t end) {
    const fov_attention *p = t->p;
    float *dk = t->gradient->dk + h->k_start, *dv = t->gradient->dv + h->v_start;
    size_t first, n = rows_of(t, h, chunk, &first);
    for (size_t r = 0; r < n; r++) {
        const float *a = s->value + r * t->room, *slope = s->slope + r * t->room;
        const uint32_t *key = s->index + r * t->room;
        const float *q = h->q + (h->y_query ? h->y_query[first + r] : first + r) * p->ldq;
        const float *g = t->gradient->dy + h->y_start + (first + r) * p->ldy;
        for (size_t j = place_of(key, s->count[r], begin); j < s->count[r] && key[j] < end; j++) {
            add_scaled(dk + key[j] * p->ldk, slope[j], q, p->head_size);
            add_scaled(dv + key[j] * p->ldv, a[j], g, p->head_size);
        }
    }
}

static void clear_task(void *context, size_t pair, unsigned thread) {
    (void)thread;
    const fov_topk *t = context;
    const fov_attention *p = t->p;
    const fov_topk_view h = view_of(t, pair);
    clear_rows(t->gradient->dq + h.q_start, h.queries, p->ldq, p->head_size);
    clear_rows(t->gradient->dk + h.k_start, h.keys, p->ldk, p->head_size);
    clear_rows(t->gradient->dv + h.v_start, h.keys, p->ldv, p->head_size);
}

static void pair_task(void *context, size_t pair, unsigned thread) {
    const fov_topk *t = context;
    const fov_topk_view h = view_of(t, pair);
    const fov_topk_scratch s = fov_topk_scratch_of(t, thread);
    clear_task(context, pair, thread);
    for (size_t chunk = 0; chunk * t->rows < h.outputs; chunk++) {
        slopes(t, &h, chunk, &s);
        scatter(t, &h, chunk, &s, 0, h.keys);
    }
}

static void slopes_task(void *context, size_t i, unsigned thread) {
    (void)thread; /* scratch is the chunk's: the next task reads it */
    const round *now = context;
    const fov_topk *t = now->t;
    const size_t number = now->first + i;
    const fov_topk_view h = view_of(t, number / t->chunks);
    const fov_topk_scratch s = fov_topk_scratch_of(t, i);
    slopes(t, &h, number % t->chunks, &s);
}

static size_t parts_of(const fov_topk *t) {
    return PARTS * (size_t)t->run->threads;
}

/* Some keys of one of the round's (text, head). */
static void scatter_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const round *now = context;
    const fov_topk *t = now->t;
    const size_t pair = now->first / t->chunks + index / parts_of(t), part = index % parts_of(t);
    const fov_topk_view h = view_of(t, pair);
    const size_t begin = part * h.keys / parts_of(t), end = (part + 1) * h.keys / parts_of(t);
    for (size_t i = 0; i < now->count && begin < end; i++) {
        const size_t number = now->first + i;
        if (number / t->chunks != pair) continue;
        const fov_topk_scratch s = fov_topk_scratch_of(t, i);
        scatter(t, &h, number % t->chunks, &s, begin, end);
    }
}

void fov_topk_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient) {
    fov_topk t = fov_topk_of(run, p, true);
    const size_t pairs = fov_mul(p->texts, p->heads), chunks = pairs * t.chunks;
    t.gradient = gradient;
    fov_topk_coarse_keys(&t);
    if (run->threads == 1 || p->y_query || pairs >= 4 * (size_t)run->threads) {
        fov_parallel(run->threads, pairs, pair_task, &t);
        return;
    }
    fov_parallel(run->threads, pairs, clear_task, &t);
    for (size_t first = 0; first < chunks; first += run->threads) {
        round now = {&t, first, fov_least(chunks - first, run->threads)};
        const size_t spanned = (first + now.count - 1) / t.chunks - first / t.chunks + 1;
        fov_parallel(run->threads, now.count, slopes_task, &now);
        fov_parallel(run->threads, spanned * parts_of(&t), scatter_task, &now);
    }
}
