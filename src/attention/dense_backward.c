/* dense_backward.c: gradients of dense attention in linear memory (Dao et al., "FlashAttention", 2022, appendix B). With
 * S = scale Q K^T, P = softmax(S) and delta_i = dy_i . y_i:
 *     dV = P^T dY      dP = dY V^T      dS = P (dP - delta)      dQ = scale dS K      dK = scale dS^T Q
 * Scores are computed again, block by block. Two rounds of tasks: chunks of queries make each row's maximum, 1 / sum and delta,
 * then dQ; tiles of keys make dK and dV. Every sum runs in an order of its own text's, so results do not depend on threads. Rows
 * are scaled by 1 / sum on the side of dY, not of P. The problem has no y_query. */
#include "attention/dense.h"

#include <float.h>

#include "core/memory.h"
#include "core/threads.h"

typedef struct scratch {
    float *k_t, *v_t, *k_n;    /* a packed tile: for Q K^T, dY V^T, dS K */
    float *p, *ds, *packed;    /* [ROWS, tile], and one of them packed */
    float *dy, *dy_t, *q_t;    /* dY / sum of a block of rows, and transposes [D, ROWS] */
    float *dk_t, *dv_t, *gemm; /* [D, tile] */
    float *top, *sum, *factor; /* [ROWS], fed to softmax_tile */
} scratch;

static size_t carve(fov_arena *arena, size_t d, scratch *s) {
    const size_t tile = FOV_DENSE_KEYS, rows = FOV_DENSE_ROWS;
    s->k_t = fov_arena_take(arena, fov_packed_size(tile, d), sizeof(float));
    s->v_t = fov_arena_take(arena, fov_packed_size(tile, d), sizeof(float));
    s->k_n = fov_arena_take(arena, fov_packed_size(d, tile), sizeof(float));
    s->p = fov_arena_take(arena, rows * tile, sizeof(float));
    s->ds = fov_arena_take(arena, rows * tile, sizeof(float));
    s->packed = fov_arena_take(arena, fov_packed_size(tile, rows), sizeof(float));
    s->dy = fov_arena_take(arena, fov_mul(rows, d), sizeof(float));
    s->dy_t = fov_arena_take(arena, fov_mul(rows, d), sizeof(float));
    s->q_t = fov_arena_take(arena, fov_mul(rows, d), sizeof(float));
    s->dk_t = fov_arena_take(arena, fov_mul(tile, d), sizeof(float));
    s->dv_t = fov_arena_take(arena, fov_mul(tile, d), sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    s->top = fov_arena_take(arena, rows, sizeof(float));
    s->sum = fov_arena_take(arena, rows, sizeof(float));
    s->factor = fov_arena_take(arena, rows, sizeof(float));
    return arena->used;
}

/* What both rounds share: facts of every row, [heads][rows]. */
typedef struct shared {
    size_t *first;
    float *top, *inverse, *delta;
} shared;

static void carve_shared(fov_arena *arena, size_t texts, size_t rows, shared *s) {
    s->first = fov_arena_take(arena, fov_add(texts, 1), sizeof(size_t));
    s->top = fov_arena_take(arena, rows, sizeof(float));
    s->inverse = fov_arena_take(arena, rows, sizeof(float));
    s->delta = fov_arena_take(arena, rows, sizeof(float));
}

size_t fov_dense_backward_workspace(const fov_setting *setting, const fov_attention_size *size) {
    (void)setting;
    fov_arena all = {0}, one = {0};
    shared h;
    scratch s;
    carve_shared(&all, size->texts, fov_mul(size->heads, size->tokens), &h);
    return fov_add(all.used, fov_mul(size->threads, carve(&one, size->head_size, &s)));
}

typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_gradient *g;
    size_t chunk, rows; /* rows of all texts */
    shared shared;
    unsigned char *scratch;
    size_t per_thread;
} job;

/* One task's (text, head): its gradients and its rows' facts. */
typedef struct head {
    fov_dense_head h;
    const float *dy;
    float *dq, *dk, *dv, *top, *inverse, *delta;
    scratch s;
} head;

static head head_of(const job *j, size_t text, size_t number, unsigned thread) {
    const size_t at = number * j->rows + j->p->q_offsets[text] - j->p->q_offsets[0];
    head t = {.h = fov_dense_head_of(j->p, text, number)};
    t.dy = j->g->dy + t.h.offset_y;
    t.dq = j->g->dq + t.h.offset_q;
    t.dk = j->g->dk + t.h.offset_k;
    t.dv = j->g->dv + t.h.offset_v;
    t.top = j->shared.top + at;
    t.inverse = j->shared.inverse + at;
    t.delta = j->shared.delta + at;
    fov_arena arena = {j->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->p->head_size, &t.s);
    return t;
}

/* y = x W^T for packed W, after the first time added to y. */
static void multiply(const job *j, const head *t, size_t n, size_t m, size_t k, const float *x, size_t ldx, const float *w,
                     float *y, size_t ldy, bool add) {
    fov_gemm g = {.n = n, .m = m, .k = k, .x = x, .ldx = ldx, .w = w, .residual = add ? y : NULL, .ldr = ldy, .y = y, .ldy = ldy};
    fov_gemm_block(j->run->kernels, &g, 0, n, 0, fov_panels(m), t->s.gemm);
}

/* Zero the columns of masked keys in panels [ceil(keys / 32)][d][32]. */
static void clear_columns(const head *t, size_t key, size_t keys, size_t d, float *packed) {
    for (size_t i = 0; t->h.key_mask && i < keys; i++) {
        if (t->h.key_mask[key + i]) continue;
        for (size_t c = 0; c < d; c++) packed[(i / FOV_PANEL * d + c) * FOV_PANEL + i % FOV_PANEL] = 0;
    }
}

static void pack_tile(const job *j, const head *t, size_t key, size_t keys) {
    const size_t d = j->p->head_size, ldk = j->p->ldk, ldv = j->p->ldv;
    const fov_kernels *kernels = j->run->kernels;
    kernels->pack_t(t->h.k + key * ldk, ldk, keys, d, t->s.k_t);
    kernels->pack_t(t->h.v + key * ldv, ldv, keys, d, t->s.v_t);
    kernels->pack_n(t->h.k + key * ldk, ldk, keys, d, t->s.k_n);
    clear_columns(t, key, keys, d, t->s.v_t);
    fov_dense_clear_masked(&t->h, FOV_TYPE_F32, key, keys, d, t->s.k_n);
}

static void score(const job *j, const head *t, size_t i, size_t n, size_t key, size_t keys) {
    multiply(j, t, n, keys, j->p->head_size, t->h.q + i * j->p->ldq, j->p->ldq, t->s.k_t, t->s.p, keys, false);
    fov_dense_mask(&t->h, i, n, key, keys, t->s.p, keys);
}

/* Maximum, 1 / sum of exp, and delta / sum of rows [i, i + n). */
static void row_facts(const job *j, const head *t, size_t i, size_t n) {
    const fov_attention *p = j->p;
    const size_t seen = fov_dense_seen_most(&t->h, i, n);
    for (size_t r = 0; r < n; r++) t->top[i + r] = -FLT_MAX, t->inverse[i + r] = 0;
    for (size_t key = 0; key < seen; key += FOV_DENSE_KEYS) {
        const size_t keys = fov_least(t->h.keys - key, FOV_DENSE_KEYS);
        j->run->kernels->pack_t(t->h.k + key * p->ldk, p->ldk, keys, p->head_size, t->s.k_t);
        score(j, t, i, n, key, keys);
        j->run->kernels->softmax_tile(t->s.p, keys, n, keys, p->scale, t->top + i, t->inverse + i, t->s.factor);
    }
    for (size_t r = i; r < i + n; r++) {
        double delta = 0;
        for (size_t c = 0; c < p->head_size; c++) delta += (double)t->dy[r * p->ldy + c] * (double)t->h.y[r * p->ldy + c];
        t->inverse[r] = t->inverse[r] == 0 ? 0 : 1 / t->inverse[r];
        t->delta[r] = (float)delta * t->inverse[r];
    }
}

/* dY / sum of rows [i, i + n). */
static void scale_dy(const job *j, const head *t, size_t i, size_t n) {
    const size_t d = j->p->head_size;
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < d; c++) t->s.dy[r * d + c] = t->dy[(i + r) * j->p->ldy + c] * t->inverse[i + r];
}

/* p = exp(S - maximum) and ds = p (dP - delta) of rows [i, i + n) and the packed tile; P / sum is what dY / sum makes of p. */
static void block_of(const job *j, const head *t, size_t i, size_t n, size_t key, size_t keys) {
    score(j, t, i, n, key, keys);
    for (size_t r = 0; r < n; r++) t->s.top[r] = t->top[i + r], t->s.sum[r] = 0; /* the maximum of all keys: it does not grow */
    j->run->kernels->softmax_tile(t->s.p, keys, n, keys, j->p->scale, t->s.top, t->s.sum, t->s.factor);
    multiply(j, t, n, keys, j->p->head_size, t->s.dy, j->p->head_size, t->s.v_t, t->s.ds, keys, false);
    for (size_t r = 0; r < n; r++) {
        const float delta = t->delta[i + r], *p = t->s.p + r * keys;
        float *ds = t->s.ds + r * keys;
        for (size_t k = 0; k < keys; k++) ds[k] = p[k] * (ds[k] - delta);
    }
}

static void query_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const size_t text = fov_dense_text_of(j->shared.first, p->texts, index), task = index - j->shared.first[text];
    const head t = head_of(j, text, task % p->heads, thread);
    const size_t d = p->head_size, i = task / p->heads * j->chunk, n = fov_least(t.h.queries - i, j->chunk);
    const size_t seen = fov_dense_seen_most(&t.h, i, n);
    row_facts(j, &t, i, n);
    scale_dy(j, &t, i, n);
    for (size_t r = i; r < i + n; r++)
        for (size_t c = 0; c < d; c++) t.dq[r * p->ldq + c] = 0;
    for (size_t key = 0; key < seen; key += FOV_DENSE_KEYS) {
        const size_t keys = fov_least(t.h.keys - key, FOV_DENSE_KEYS);
        pack_tile(j, &t, key, keys);
        block_of(j, &t, i, n, key, keys);
        multiply(j, &t, n, d, keys, t.s.ds, keys, t.s.k_n, t.dq + i * p->ldq, p->ldq, true);
    }
    for (size_t r = i; r < i + n; r++)
        for (size_t c = 0; c < d; c++) t.dq[r * p->ldq + c] *= p->scale;
}

/* [n, d] to [d, n] */
static void transpose(const float *x, size_t ldx, size_t n, size_t d, float *y) {
    for (size_t c = 0; c < d; c++)
        for (size_t r = 0; r < n; r++) y[c * n + r] = x[r * ldx + c];
}

static void key_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const size_t text = fov_dense_text_of(j->shared.first, p->texts, index), task = index - j->shared.first[text];
    const head t = head_of(j, text, task % p->heads, thread);
    const size_t d = p->head_size, key = task / p->heads * FOV_DENSE_KEYS, keys = fov_least(t.h.keys - key, FOV_DENSE_KEYS);
    const fov_kernels *kernels = j->run->kernels;
    for (size_t i = 0; i < d * keys; i++) t.s.dk_t[i] = t.s.dv_t[i] = 0;
    pack_tile(j, &t, key, keys);
    for (size_t i = 0; i < t.h.queries; i += FOV_DENSE_ROWS) {
        const size_t n = fov_least(t.h.queries - i, FOV_DENSE_ROWS);
        if (fov_dense_seen_most(&t.h, i, n) <= key) continue;
        scale_dy(j, &t, i, n);
        block_of(j, &t, i, n, key, keys);
        transpose(t.s.dy, d, n, d, t.s.dy_t);
        transpose(t.h.q + i * p->ldq, p->ldq, n, d, t.s.q_t);
        kernels->pack_n(t.s.p, keys, n, keys, t.s.packed);
        multiply(j, &t, d, keys, n, t.s.dy_t, n, t.s.packed, t.s.dv_t, keys, true);
        kernels->pack_n(t.s.ds, keys, n, keys, t.s.packed);
        multiply(j, &t, d, keys, n, t.s.q_t, n, t.s.packed, t.s.dk_t, keys, true);
    }
    for (size_t r = 0; r < keys; r++)
        for (size_t c = 0; c < d; c++) {
            t.dk[(key + r) * p->ldk + c] = t.s.dk_t[c * keys + r] * p->scale;
            t.dv[(key + r) * p->ldv + c] = t.s.dv_t[c * keys + r];
        }
}

void fov_dense_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient) {
    job j = {.run = run, .p = p, .g = gradient, .rows = p->q_offsets[p->texts] - p->q_offsets[0]};
    fov_arena all = {(unsigned char *)run->scratch, 0, SIZE_MAX, false}, one = {0};
    carve_shared(&all, p->texts, fov_mul(p->heads, j.rows), &j.shared);
    j.scratch = (unsigned char *)run->scratch + all.used;
    scratch s;
    j.per_thread = carve(&one, p->head_size, &s);
    j.chunk = FOV_DENSE_ROWS;
    fov_parallel(run->threads, fov_dense_number(p, p->q_offsets, j.chunk, j.shared.first), query_task, &j);
    fov_parallel(run->threads, fov_dense_number(p, p->k_offsets, FOV_DENSE_KEYS, j.shared.first), key_task, &j);
}
