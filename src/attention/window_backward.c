/* window_backward.c: gradients of windowed attention without global tokens, in memory linear in T. With S = scale Q K^T inside the
 * band, P = softmax(S) and delta_i = dy_i . y_i:
 *     dV = P^T dY      dP = dY V^T      dS = scale P (dP - delta)      dQ = dS K      dK = dS^T Q
 * A task is one (text, head). It walks the blocks of window.c and makes their weights again; dK and dV are sums over the blocks in
 * their order, kept transposed, so that each block adds one gemm to a range of columns. */
#include <math.h>
#include <string.h>

#include "attention/window.h"
#include "core/memory.h"
#include "core/threads.h"

enum { ROWS = FOV_WINDOW_ROWS };

typedef struct scratch {
    float *k_t, *v_t, *k_n;    /* packed K and V of the head: for Q K^T, dY V^T and dS K */
    float *p, *ds, *packed;    /* [ROWS, columns] of a block, and one of them packed */
    float *q_t, *dy_t;         /* [D, ROWS] */
    float *dk_t, *dv_t, *gemm; /* [D, keys] */
} scratch;

static size_t carve(fov_arena *arena, size_t longest, size_t d, size_t columns, scratch *s) {
    s->k_t = fov_arena_take(arena, fov_packed_size(longest, d), sizeof(float));
    s->v_t = fov_arena_take(arena, fov_packed_size(longest, d), sizeof(float));
    s->k_n = fov_arena_take(arena, fov_packed_size(d, longest), sizeof(float));
    s->p = fov_arena_take(arena, fov_mul(ROWS, columns), sizeof(float));
    s->ds = fov_arena_take(arena, fov_mul(ROWS, columns), sizeof(float));
    s->packed = fov_arena_take(arena, fov_packed_size(columns, ROWS), sizeof(float));
    s->q_t = fov_arena_take(arena, fov_mul(ROWS, d), sizeof(float));
    s->dy_t = fov_arena_take(arena, fov_mul(ROWS, d), sizeof(float));
    s->dk_t = fov_arena_take(arena, fov_mul(longest, d), sizeof(float));
    s->dv_t = fov_arena_take(arena, fov_mul(longest, d), sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    return arena->used;
}

static size_t thread_bytes(const fov_setting *setting, size_t longest, size_t d) {
    const fov_window_band band = {.half = fov_window_half(setting), .keys = longest};
    scratch none;
    fov_arena arena = {0};
    return carve(&arena, longest, d, fov_window_columns(&band), &none);
}

size_t fov_window_backward_workspace(const fov_setting *setting, const fov_attention_size *size) {
    return fov_mul(size->threads, thread_bytes(setting, size->longest, size->head_size));
}

typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_gradient *g;
    size_t longest, per_thread; /* keys; bytes */
} job;

/* One text and head. */
typedef struct head_view {
    const job *j;
    scratch s;
    size_t text, queries, keys, d;
    fov_window_band band;
    const float *q, *k, *v, *y, *dy;
    float *dq, *dk, *dv;
} head_view;

static head_view view_of(const job *j, size_t text, size_t head, unsigned thread) {
    const fov_attention *p = j->p;
    const size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = p->head_size;
    const size_t at_q = fov_attention_start(p->q_strides, text, q, p->ldq, head, d),
                 at_k = fov_attention_start(p->k_strides, text, k, p->ldk, head, d),
                 at_v = fov_attention_start(p->v_strides, text, k, p->ldv, head, d),
                 at_y = fov_attention_start(p->y_strides, text, y, p->ldy, head, d);
    head_view h = {.j = j,
                   .text = text,
                   .queries = p->q_offsets[text + 1] - q,
                   .keys = p->k_offsets[text + 1] - k,
                   .d = d,
                   .q = p->q + at_q,
                   .k = p->k + at_k,
                   .v = p->v + at_v,
                   .y = p->y + at_y,
                   .dy = j->g->dy + at_y,
                   .dq = j->g->dq + at_q,
                   .dk = j->g->dk + at_k,
                   .dv = j->g->dv + at_v};
    h.band = (fov_window_band){fov_window_half(j->run->setting), 0, h.keys, p->causal, p->key_mask ? p->key_mask + k : NULL};
    const fov_window_band widest = {.half = h.band.half, .keys = j->longest};
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->longest, d, fov_window_columns(&widest), &h.s);
    return h;
}

/* y [n, m] = x [n, k] W^T of packed W, added to y when asked to. */
static void multiply(const head_view *h, size_t n, size_t m, size_t k, const float *x, size_t ldx, const float *w, float *y,
                     size_t ldy, bool add) {
    const fov_gemm g = {
        .n = n, .m = m, .k = k, .x = x, .ldx = ldx, .w = w, .residual = add ? y : NULL, .ldr = ldy, .y = y, .ldy = ldy};
    fov_gemm_block(h->j->run->kernels, &g, 0, n, 0, fov_panels(m), h->s.gemm);
}

/* A key that is not there may hold anything, and 0 NaN is NaN: zeros where it would meet a weight of 0. */
static void pack_head(const head_view *h) {
    const fov_attention *p = h->j->p;
    const fov_kernels *kernels = h->j->run->kernels;
    const size_t d = h->d, keys = h->keys;
    kernels->pack_t(h->k, p->ldk, keys, d, h->s.k_t);
    kernels->pack_t(h->v, p->ldv, keys, d, h->s.v_t);
    kernels->pack_n(h->k, p->ldk, keys, d, h->s.k_n);
    for (size_t k = 0; h->band.mask && k < keys; k++) {
        if (h->band.mask[k]) continue;
        for (size_t c = 0; c < d; c++) h->s.v_t[(k / FOV_PANEL * d + c) * FOV_PANEL + k % FOV_PANEL] = 0;
        for (size_t c = 0; c < fov_panels(d); c++) memset(h->s.k_n + (c * keys + k) * FOV_PANEL, 0, FOV_PANEL * sizeof(float));
    }
}

/* p = P and ds = dS of the rows [i, i + n) of one block. */
static void weigh(const head_view *h, size_t i, size_t n, fov_window_span b) {
    const fov_attention *p = h->j->p;
    const size_t d = h->d, m = b.hi - b.lo;
    multiply(h, n, m, d, h->q + i * p->ldq, p->ldq, h->s.k_t + b.lo * d, h->s.p, m, false);
    for (size_t r = 0; r < n; r++) fov_window_hide(&h->band, fov_window_position(p, h->text, i + r), b, h->s.p + r * m);
    h->j->run->kernels->softmax(h->s.p, m, n, m, p->scale, NULL, NULL);
    multiply(h, n, m, d, h->dy + i * p->ldy, p->ldy, h->s.v_t + b.lo * d, h->s.ds, m, false);
    for (size_t r = 0; r < n; r++) {
        const float *y = h->y + (i + r) * p->ldy, *dy = h->dy + (i + r) * p->ldy, *a = h->s.p + r * m;
        float *ds = h->s.ds + r * m;
        double delta = 0;
        for (size_t c = 0; c < d; c++) delta += (double)dy[c] * (double)y[c];
        for (size_t k = 0; k < m; k++) ds[k] = p->scale * a[k] * (ds[k] - (float)delta);
    }
}

/* dq[i] = ds k. K is [panel][key][32], so each panel of columns is a gemm over a range of keys. */
static void query_gradient(const head_view *h, size_t i, size_t n, fov_window_span b) {
    const size_t ldq = h->j->p->ldq, m = b.hi - b.lo;
    for (size_t c = 0; c < h->d; c += FOV_PANEL) {
        const size_t columns = h->d - c < FOV_PANEL ? h->d - c : FOV_PANEL;
        multiply(h, n, columns, m, h->s.ds, m, h->s.k_n + c * h->keys + b.lo * FOV_PANEL, h->dq + i * ldq + c, ldq, false);
    }
}

/* [n, d] to [d, n] */
static void transpose(const float *x, size_t ldx, size_t n, size_t d, float *y) {
    for (size_t c = 0; c < d; c++)
        for (size_t r = 0; r < n; r++) y[c * n + r] = x[r * ldx + c];
}

/* dk_t and dv_t of the block's keys += what its rows add. */
static void key_gradients(const head_view *h, size_t i, size_t n, fov_window_span b) {
    const fov_attention *p = h->j->p;
    const fov_kernels *kernels = h->j->run->kernels;
    const size_t d = h->d, m = b.hi - b.lo;
    transpose(h->q + i * p->ldq, p->ldq, n, d, h->s.q_t);
    transpose(h->dy + i * p->ldy, p->ldy, n, d, h->s.dy_t);
    kernels->pack_n(h->s.p, m, n, m, h->s.packed);
    multiply(h, d, m, n, h->s.dy_t, n, h->s.packed, h->s.dv_t + b.lo, h->keys, true);
    kernels->pack_n(h->s.ds, m, n, m, h->s.packed);
    multiply(h, d, m, n, h->s.q_t, n, h->s.packed, h->s.dk_t + b.lo, h->keys, true);
}

static void task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const head_view h = view_of(j, index / p->heads, index % p->heads, thread);
    for (size_t i = 0; i < h.keys * h.d; i++) h.s.dk_t[i] = h.s.dv_t[i] = 0;
    pack_head(&h);
    for (size_t i = 0, n; i < h.queries; i += n) {
        n = fov_window_run(p, h.text, i, h.queries, fov_window_position);
        const fov_window_span b = fov_window_span_of(&h.band, fov_window_position(p, h.text, i));
        if (b.lo < b.hi) {
            weigh(&h, i, n, b);
            query_gradient(&h, i, n, b);
            key_gradients(&h, i, n, b);
            continue;
        }
        for (size_t r = i; r < i + n; r++) memset(h.dq + r * p->ldq, 0, h.d * sizeof *h.dq);
    }
    for (size_t k = 0; k < h.keys; k++)
        for (size_t c = 0; c < h.d; c++) {
            h.dk[k * p->ldk + c] = h.s.dk_t[c * h.keys + k];
            h.dv[k * p->ldv + c] = h.s.dv_t[c * h.keys + k];
        }
}

void fov_window_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient) {
    job j = {.run = run, .p = p, .g = gradient, .longest = fov_longest(p->k_offsets, p->texts)};
    j.per_thread = thread_bytes(run->setting, j.longest, p->head_size);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), task, &j);
}
