/* fastmax_backward.c: gradients of Fastmax attention by q, k and v, in memory linear in T (section 2.4 of the algorithm).
 *
 * With h = dy / g and delta = h . y of a query, and v and 1 of a key, a pair's score has the gradient
 *     e_ij = f'(x_ij) (h_i . v_j - delta_i 1),      dq_i = sum_j e_ij k_j,   dk_j = sum_i e_ij q_i,   dv_j = sum_i f(x_ij) h_i.
 * Queries and keys are two sides of one formula: rows x, values w and a share s each, e = f'(x.x') (w.w' - s s'). So one pass, run
 * twice, serves both, by pairs or by the moments of the other side. dq is linear in 1 / g: the first pass finds g on its way. */
#include <math.h>
#include <string.h>

#include "attention/fastmax.h"
#include "core/threads.h"

typedef struct side {
    size_t n;
    float *x, *w, *s;  /* [n][D], [n][D], [n] */
    float *dx;         /* [n][D] */
    uint32_t *reach;   /* [n] of a query: how many keys it sees; of a key: its number among the keys that are there */
    float *sums, *own; /* of f: [n] times s of the other side (queries: g), or [n][D] times its w (keys: dv); else NULL */
} side;

typedef struct work {
    fov_fastmax f;
    fov_fastmax_scratch s;
    const fov_kernels *kernels;
    side q, k;
    bool causal;
    float *x_t, *x_n, *w_t, *w_n; /* the other side's block, packed */
    float *scores, *slopes;       /* [ROWS][block] */
    float *rows, *transposed;     /* moments [F][D] by rows, and packed */
    float *gradient;              /* [ROWS][F] */
} work;

static void carve_side(fov_arena *arena, size_t n, size_t d, side *a) {
    a->x = fov_arena_take(arena, fov_mul(n, d), sizeof(float));
    a->w = fov_arena_take(arena, fov_mul(n, d), sizeof(float));
    a->dx = fov_arena_take(arena, fov_mul(n, d), sizeof(float));
    a->s = fov_arena_take(arena, n, sizeof(float));
    a->reach = fov_arena_take(arena, n, sizeof(uint32_t));
}

static size_t carve(fov_arena *arena, size_t longest, work *w) {
    const fov_fastmax *f = &w->f;
    const size_t tile = fov_mul(FOV_FASTMAX_ROWS, f->block);
    fov_fastmax_carve(arena, f, 0, &w->s);
    carve_side(arena, longest, f->d, &w->q);
    carve_side(arena, longest, f->d, &w->k);
    w->q.sums = fov_arena_take(arena, longest, sizeof(float));
    w->k.own = fov_arena_take(arena, fov_mul(longest, f->d), sizeof(float));
    w->x_t = fov_arena_take(arena, fov_packed_size(f->block, f->d), sizeof(float));
    w->x_n = fov_arena_take(arena, fov_packed_size(f->d, f->block), sizeof(float));
    w->w_t = fov_arena_take(arena, fov_packed_size(f->block, f->d), sizeof(float));
    w->w_n = fov_arena_take(arena, fov_packed_size(f->d, f->block), sizeof(float));
    w->scores = fov_arena_take(arena, tile, sizeof(float));
    w->slopes = fov_arena_take(arena, tile, sizeof(float));
    w->rows = fov_arena_take(arena, fov_mul(f->features, f->d), sizeof(float));
    w->transposed = fov_arena_take(arena, fov_packed_size(f->features, f->d), sizeof(float));
    w->gradient = fov_arena_take(arena, fov_mul(FOV_FASTMAX_ROWS, f->features), sizeof(float));
    return arena->used;
}

/* ---- pairs ---- */

/* y = x w (+ y). */
static void multiply(const work *w, const float *x, size_t ldx, size_t n, size_t k, const float *packed, size_t m, float *y,
                     size_t ldy, bool add) {
    const fov_gemm g = {
        .n = n, .m = m, .k = k, .x = x, .ldx = ldx, .w = packed, .residual = add ? y : NULL, .ldr = ldy, .y = y, .ldy = ldy};
    fov_gemm_block(w->kernels, &g, 0, n, 0, fov_panels(m), w->s.gemm);
}

static void pack_block(const work *w, const side *b, size_t j, size_t n) {
    const size_t d = w->f.d;
    w->kernels->pack_t(b->x + j * d, d, n, d, w->x_t);
    w->kernels->pack_n(b->x + j * d, d, n, d, w->x_n);
    w->kernels->pack_t(b->w + j * d, d, n, d, w->w_t);
    w->kernels->pack_n(b->w + j * d, d, n, d, w->w_n);
}

static bool joined(const work *w, const side *a, size_t i, const side *b, size_t j) {
    if (!w->causal) return true;
    return a == &w->q ? b->reach[j] < a->reach[i] : a->reach[i] < b->reach[j];
}

/* scores = f, slopes = f' (w.w' - s s') where the pair is joined, else 0; from the scores and from w.w' in slopes. */
static void evaluate(const work *w, const side *a, size_t i0, size_t n, const side *b, size_t j0, size_t m) {
    const float half = w->f.p == 2 ? .5f : 0;
    for (size_t i = 0; i < n; i++) {
        float *x = w->scores + i * w->f.block, *e = w->slopes + i * w->f.block;
        const float share = a->s[i0 + i];
        for (size_t j = 0; j < m; j++) {
            e[j] = (1 + 2 * half * x[j]) * (e[j] - share * b->s[j0 + j]);
            x[j] = 1 + x[j] * (1 + half * x[j]);
        }
        for (size_t j = 0; w->causal && j < m; j++)
            if (!joined(w, a, i0 + i, b, j0 + j)) x[j] = e[j] = 0;
    }
}

/* Rows [i0, i1) of side a += what they have with the packed block [j0, j0 + m) of side b. */
static void pass_pairs(const work *w, const side *a, size_t i0, size_t i1, const side *b, size_t j0, size_t m) {
    const size_t d = w->f.d, ld = w->f.block;
    for (size_t i = i0; i < i1; i += FOV_FASTMAX_ROWS) {
        const size_t n = i1 - i < FOV_FASTMAX_ROWS ? i1 - i : FOV_FASTMAX_ROWS;
        multiply(w, a->x + i * d, d, n, d, w->x_t, m, w->scores, ld, false);
        multiply(w, a->w + i * d, d, n, d, w->w_t, m, w->slopes, ld, false);
        evaluate(w, a, i, n, b, j0, m);
        multiply(w, w->slopes, ld, n, m, w->x_n, d, a->dx + i * d, d, true);
        if (a->own) multiply(w, w->scores, ld, n, m, w->w_n, d, a->own + i * d, d, true);
        for (size_t r = 0; a->sums && r < n; r++) a->sums[i + r] += fov_fastmax_dot(w->scores + r * ld, NULL, m);
    }
}

static void all_pairs(const work *w, const side *a, const side *b) {
    for (size_t j = 0; j < b->n; j += w->f.block) {
        const size_t m = b->n - j < w->f.block ? b->n - j : w->f.block;
        pack_block(w, b, j, m);
        pass_pairs(w, a, 0, a->n, b, j, m);
    }
}

/* ---- moments ---- */

static void add_moments(const work *w, const side *b, size_t j0, size_t j1) {
    for (size_t j = j0; j < j1; j += w->f.block) {
        const size_t m = j1 - j < w->f.block ? j1 - j : w->f.block;
        w->kernels->pack_n(b->w + j * w->f.d, w->f.d, m, w->f.d, w->w_n);
        fov_fastmax_moments_add(&w->f, w->kernels, b->x + j * w->f.d, b == &w->k ? NULL : b->s + j, w->w_n, m, &w->s);
    }
}

static void transpose_moments(const work *w) {
    const size_t d = w->f.d, features = w->f.features;
    for (size_t c = 0; c < d; c += FOV_PANEL) {
        const size_t width = d - c < FOV_PANEL ? d - c : FOV_PANEL;
        for (size_t i = 0; i < features; i++)
            memcpy(w->rows + i * d + c, w->s.moments.m + c * features + i * FOV_PANEL, width * sizeof(float));
    }
    w->kernels->pack_t(w->rows, d, features, d, w->transposed);
}

/* Rows [i0, i1) of side a += what they have with all that is in the moments; the gradient by phi(x) is m w - s z. */
static void pass_moments(const work *w, const side *a, size_t i0, size_t i1) {
    const size_t d = w->f.d, features = w->f.features;
    float *own = w->s.rows.sums, *sums = w->s.rows.g;
    for (size_t i = i0; i < i1; i += FOV_FASTMAX_ROWS) {
        const size_t n = i1 - i < FOV_FASTMAX_ROWS ? i1 - i : FOV_FASTMAX_ROWS;
        multiply(w, a->w + i * d, d, n, d, w->transposed, features, w->gradient, features, false);
        fov_fastmax_moments_read(&w->f, w->kernels, a->x + i * d, n, a->own ? own : NULL, a->sums ? sums : NULL, &w->s);
        for (size_t r = 0; r < n; r++) {
            float *gradient = w->gradient + r * features;
            for (size_t c = 0; c < features; c++) gradient[c] -= a->s[i + r] * w->s.moments.z[c];
            fov_fastmax_pull(&w->f, a->x + (i + r) * d, gradient, a->dx + (i + r) * d);
            if (a->sums) a->sums[i + r] += sums[r];
            for (size_t c = 0; a->own && c < d; c++) a->own[(i + r) * d + c] += own[r * d + c];
        }
    }
}

static void all_moments(const work *w, const side *a, const side *b) {
    fov_fastmax_moments_clear(&w->f, &w->s.moments);
    add_moments(w, b, 0, b->n);
    transpose_moments(w);
    pass_moments(w, a, 0, a->n);
}

/* Queries in ascending order: blocks of keys forward, each read by the queries that end in it, then added. */
static void causal_queries(const work *w) {
    fov_fastmax_moments_clear(&w->f, &w->s.moments);
    size_t i = 0;
    while (i < w->q.n && !w->q.reach[i]) i++;
    for (size_t j = 0; j < w->k.n; j += w->f.block) {
        const size_t m = w->k.n - j < w->f.block ? w->k.n - j : w->f.block, i0 = i;
        while (i < w->q.n && w->q.reach[i] <= j + m) i++;
        if (i > i0) {
            transpose_moments(w);
            pass_moments(w, &w->q, i0, i);
            pack_block(w, &w->k, j, m);
            pass_pairs(w, &w->q, i0, i, &w->k, j, m);
        }
        add_moments(w, &w->k, j, j + m);
    }
}

/* Backward: each block of keys reads the queries that end after it. */
static void causal_keys(const work *w) {
    fov_fastmax_moments_clear(&w->f, &w->s.moments);
    size_t i1 = w->q.n;
    for (size_t block = (w->k.n + w->f.block - 1) / w->f.block; block-- > 0;) {
        const size_t j = block * w->f.block, m = w->k.n - j < w->f.block ? w->k.n - j : w->f.block;
        size_t i0 = i1;
        while (i0 && w->q.reach[i0 - 1] > j) i0--;
        transpose_moments(w);
        pass_moments(w, &w->k, j, j + m);
        for (size_t i = i0; i < i1; i += w->f.block) {
            const size_t n = i1 - i < w->f.block ? i1 - i : w->f.block;
            pack_block(w, &w->q, i, n);
            pass_pairs(w, &w->k, j, j + m, &w->q, i, n);
        }
        add_moments(w, &w->q, i0, i1);
        i1 = i0;
    }
}

/* ---- one (text, head) ---- */

/* Keys that are there, and their tokens (in k.reach, for a moment). */
static void load_keys(work *w, const fov_fastmax_head *h) {
    const size_t d = w->f.d;
    size_t n = 0;
    for (size_t j = 0; j < h->keys; j++) {
        if (h->mask && !h->mask[j]) continue;
        fov_fastmax_normalize(&w->f, h->k + j * h->ldk, h->k_max, 1, w->k.x + n * d);
        memcpy(w->k.w + n * d, h->v + j * h->ldv, d * sizeof(float));
        w->k.s[n] = 1;
        w->k.reach[n++] = (uint32_t)j;
    }
    w->k.n = n;
    memset(w->k.dx, 0, n * d * sizeof(float));
    memset(w->k.own, 0, n * d * sizeof(float));
}

/* First key at or after token j. */
static size_t rank(const uint32_t *tokens, size_t n, size_t j) {
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (tokens[middle] < j)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* w = sum of dy and s = sum of dy . y over a query's outputs. */
static void load_queries(work *w, const fov_fastmax_head *h, const float *dy) {
    const size_t d = w->f.d;
    fov_fastmax_head by_query = *h;
    by_query.y_query = NULL;
    w->q.n = h->queries;
    for (size_t i = 0; i < h->queries; i++) {
        const size_t last = fov_fastmax_last_key(&by_query, i);
        w->q.reach[i] = last == SIZE_MAX ? 0 : (uint32_t)rank(w->k.reach, w->k.n, last + 1);
        fov_fastmax_normalize(&w->f, h->q + i * h->ldq, h->q_max, h->factor, w->q.x + i * d);
        w->q.s[i] = w->q.sums[i] = 0;
    }
    memset(w->q.dx, 0, h->queries * d * sizeof(float));
    memset(w->q.w, 0, h->queries * d * sizeof(float));
    for (size_t o = 0; o < h->outputs; o++) {
        const size_t i = h->y_query ? h->y_query[o] : o;
        w->q.s[i] += fov_fastmax_dot(dy + o * h->ldy, h->y + o * h->ldy, d);
        for (size_t c = 0; c < d; c++) w->q.w[i * d + c] += dy[o * h->ldy + c];
    }
    for (size_t j = 0; j < w->k.n; j++) w->k.reach[j] = (uint32_t)j;
}

/* What was made of dy becomes what h = dy / g makes. A row whose g is all rounding passes no gradient. */
static void divide(work *w) {
    const size_t d = w->f.d;
    for (size_t i = 0; i < w->q.n; i++) {
        const float keys = (float)w->q.reach[i], g = w->q.sums[i];
        const float by = keys > 0 && !fov_fastmax_lost(g, keys) ? 1 / g : 0;
        for (size_t c = 0; c < d; c++) {
            w->q.w[i * d + c] *= by;
            w->q.dx[i * d + c] *= by;
        }
        w->q.s[i] *= by;
    }
}

static void run_pass(const work *w, const side *a, const side *b, bool moments) {
    if (!moments)
        all_pairs(w, a, b);
    else if (!w->causal)
        all_moments(w, a, b);
    else if (a == &w->q)
        causal_queries(w);
    else
        causal_keys(w);
}

/* The moments walk needs queries in ascending order. */
static bool ascending(const side *q) {
    for (size_t i = 1; i < q->n; i++)
        if (q->reach[i] < q->reach[i - 1]) return false;
    return true;
}

typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_gradient *gradient;
    fov_fastmax f;
    size_t per_thread, longest; /* bytes; rows */
} job;

static void write_gradients(const work *w, const job *j, const fov_fastmax_head *h, size_t text, size_t head) {
    const fov_attention *p = j->p;
    const size_t d = w->f.d, q = p->q_offsets[text], k = p->k_offsets[text];
    float *dq = j->gradient->dq + fov_attention_start(p->q_strides, text, q, p->ldq, head, d);
    float *dk = j->gradient->dk + fov_attention_start(p->k_strides, text, k, p->ldk, head, d);
    float *dv = j->gradient->dv + fov_attention_start(p->v_strides, text, k, p->ldv, head, d);
    for (size_t i = 0; i < h->queries; i++) memcpy(dq + i * h->ldq, w->q.dx + i * d, d * sizeof(float));
    for (size_t i = 0, n = 0; i < h->keys; i++) {
        const bool there = !h->mask || h->mask[i];
        for (size_t c = 0; c < d; c++) {
            dk[i * h->ldk + c] = there ? w->k.dx[n * d + c] : 0;
            dv[i * h->ldv + c] = there ? w->k.own[n * d + c] : 0;
        }
        n += there;
    }
    fov_fastmax_unnormalize(&w->f, h->q, h->ldq, h->queries, NULL, h->q_max, h->factor, dq, h->ldq);
    fov_fastmax_unnormalize(&w->f, h->k, h->ldk, h->keys, h->mask, h->k_max, 1, dk, h->ldk);
}

static void backward_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const size_t text = index / p->heads, head = index % p->heads;
    const fov_fastmax_head h = fov_fastmax_head_of(&j->f, p, text, head);
    work w = {.f = j->f, .kernels = j->run->kernels, .causal = p->causal};
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->longest, &w);
    load_keys(&w, &h);
    load_queries(&w, &h, j->gradient->dy + fov_attention_start(p->y_strides, text, p->y_offsets[text], p->ldy, head, j->f.d));
    const bool moments = fov_fastmax_factorised(j->run->setting, (double)h.queries, (double)h.keys, j->f.d, p->causal) &&
                         (!p->causal || ascending(&w.q));
    run_pass(&w, &w.q, &w.k, moments);
    divide(&w);
    run_pass(&w, &w.k, &w.q, moments);
    write_gradients(&w, j, &h, text, head);
}

void fov_fastmax_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient) {
    work w = {.f = fov_fastmax_of(run->setting, p->head_size)};
    job j = {.run = run, .p = p, .gradient = gradient, .f = w.f};
    const size_t keys = fov_longest(p->k_offsets, p->texts), queries = fov_longest(p->q_offsets, p->texts);
    j.longest = keys > queries ? keys : queries;
    fov_arena arena = {0};
    j.per_thread = carve(&arena, j.longest, &w);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), backward_task, &j);
}

size_t fov_fastmax_backward_workspace(const fov_setting *setting, const fov_attention_size *size) {
    work w = {.f = fov_fastmax_of(setting, size->head_size)};
    fov_arena arena = {0};
    return fov_mul(size->threads, carve(&arena, size->longest, &w));
}
