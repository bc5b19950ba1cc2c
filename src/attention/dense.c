/* dense.c: exact softmax attention, Y = softmax(Q K^T / sqrt(D)) V (Vaswani et al. 2017), text by text and head by head.
 *
 * A task is one (text, head): K and V of the head are packed once, then blocks of query rows go scores -> softmax -> Y with the
 * gemm kernel. Memory is linear in T per thread: a block of rows of scores, never T x T. */
#include "attention/attention.h"
#include "core/memory.h"
#include "core/threads.h"

enum { ROWS = 56 }; /* query rows per block: four 14-row register tiles; 56 x 512 scores are 112 KB, inside L2 */

typedef struct scratch {
    float *packed_k, *packed_v, *scores, *gemm;
} scratch;

static size_t carve(fov_arena *arena, size_t longest, size_t head_size, scratch *s) {
    s->packed_k = fov_arena_take(arena, fov_packed_size(longest, head_size), sizeof(float));
    s->packed_v = fov_arena_take(arena, fov_packed_size(head_size, longest), sizeof(float));
    s->scores = fov_arena_take(arena, fov_mul(ROWS, longest), sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    return arena->used;
}

static size_t workspace(const fov_setting *setting, const fov_attention_size *size) {
    (void)setting;
    scratch s;
    fov_arena arena = {0};
    return fov_mul(size->threads, carve(&arena, size->longest, size->head_size, &s));
}

/* What the tasks of one call share. */
typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_weight_set *w;
    size_t per_thread; /* bytes */
    size_t longest;
} job;

static job job_of(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *w) {
    job j = {run, p, w, 0, 0};
    for (size_t b = 0; b < p->texts; b++) {
        size_t keys = p->k_offsets[b + 1] - p->k_offsets[b];
        if (keys > j.longest) j.longest = keys;
    }
    scratch s;
    fov_arena arena = {0};
    j.per_thread = carve(&arena, j.longest, p->head_size, &s);
    return j;
}

static scratch scratch_of(const job *j, unsigned thread) {
    scratch s;
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->longest, j->p->head_size, &s);
    return s;
}

/* One (text, head). */
typedef struct head_view {
    size_t queries, keys, outputs;
    const float *q, *k, *v;
    float *y;
    const uint32_t *y_query;
} head_view;

static size_t start_of(fov_attention_strides s, size_t text, size_t row, size_t ld, size_t head, size_t head_size) {
    return (s.text ? text * s.text : row * ld) + head * (s.head ? s.head : head_size);
}

static head_view view_of(const fov_attention *p, size_t text, size_t head) {
    size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = p->head_size;
    head_view view = {
        .queries = p->q_offsets[text + 1] - q,
        .keys = p->k_offsets[text + 1] - k,
        .outputs = p->y_offsets[text + 1] - y,
        .q = p->q + start_of(p->q_strides, text, q, p->ldq, head, d),
        .k = p->k + start_of(p->k_strides, text, k, p->ldk, head, d),
        .v = p->v ? p->v + start_of(p->v_strides, text, k, p->ldv, head, d) : NULL,
        .y = p->y ? p->y + start_of(p->y_strides, text, y, p->ldy, head, d) : NULL,
        .y_query = p->y_query ? p->y_query + y : NULL,
    };
    return view;
}

/* scores[i] = q[rows[i]] K^T for n query rows. */
static void score_rows(const job *j, const head_view *h, const float *q, const uint32_t *rows, size_t n, const scratch *s,
                       float *scores) {
    fov_gemm g = {.n = n,
                  .m = h->keys,
                  .k = j->p->head_size,
                  .x = q,
                  .ldx = j->p->ldq,
                  .x_rows = rows,
                  .w = s->packed_k,
                  .y = scores,
                  .ldy = h->keys};
    j->run->kernels->gemm_block(&g, 0, n, 0, fov_panels(g.m), s->gemm);
}

/* y[i] = a[rows[i]] V for n rows. */
static void value_rows(const job *j, const head_view *h, const float *a, const uint32_t *rows, size_t n, const scratch *s,
                       float *y) {
    fov_gemm g = {.n = n,
                  .m = j->p->head_size,
                  .k = h->keys,
                  .x = a,
                  .ldx = h->keys,
                  .x_rows = rows,
                  .w = s->packed_v,
                  .y = y,
                  .ldy = j->p->ldy};
    j->run->kernels->gemm_block(&g, 0, n, 0, fov_panels(g.m), s->gemm);
}

static void forward_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const fov_kernels *kernels = j->run->kernels;
    head_view h = view_of(p, index / p->heads, index % p->heads);
    scratch s = scratch_of(j, thread);
    kernels->pack_t(h.k, p->ldk, h.keys, p->head_size, s.packed_k);
    kernels->pack_n(h.v, p->ldv, h.keys, p->head_size, s.packed_v);
    for (size_t o = 0; o < h.outputs; o += ROWS) {
        size_t n = h.outputs - o < ROWS ? h.outputs - o : ROWS;
        /* y may be q: a block's queries are read before its outputs are written. */
        score_rows(j, &h, h.y_query ? h.q : h.q + o * p->ldq, h.y_query ? h.y_query + o : NULL, n, &s, s.scores);
        kernels->softmax(s.scores, h.keys, n, h.keys, p->scale, NULL, NULL);
        value_rows(j, &h, s.scores, NULL, n, &s, h.y + o * p->ldy);
    }
}

static void forward(const fov_attention_run *run, const fov_attention *p) {
    job j = job_of(run, p, NULL);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), forward_task, &j);
}

static float *weights_of(const job *j, size_t text, size_t head, const head_view *h) {
    return j->w->weights + j->p->heads * j->w->starts[text] + head * h->queries * h->keys;
}

static void weights_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    size_t text = index / p->heads, head = index % p->heads, keys = p->k_offsets[p->texts];
    head_view h = view_of(p, text, head);
    scratch s = scratch_of(j, thread);
    float *col_max = j->w->col_max ? j->w->col_max + head * keys + p->k_offsets[text] : NULL;
    float *col_energy = j->w->col_energy ? j->w->col_energy + head * keys + p->k_offsets[text] : NULL;
    for (size_t i = 0; col_max && i < h.keys; i++) col_max[i] = 0;
    for (size_t i = 0; col_energy && i < h.keys; i++) col_energy[i] = 0;
    float *a = weights_of(j, text, head, &h);
    j->run->kernels->pack_t(h.k, p->ldk, h.keys, p->head_size, s.packed_k);
    for (size_t i = 0; i < h.queries; i += ROWS) {
        size_t n = h.queries - i < ROWS ? h.queries - i : ROWS;
        score_rows(j, &h, h.q + i * p->ldq, NULL, n, &s, a + i * h.keys);
        j->run->kernels->softmax(a + i * h.keys, h.keys, n, h.keys, p->scale, col_max, col_energy);
    }
}

static void weights(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *out) {
    job j = job_of(run, p, out);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), weights_task, &j);
}

static void apply_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    head_view h = view_of(p, index / p->heads, index % p->heads);
    scratch s = scratch_of(j, thread);
    j->run->kernels->pack_n(h.v, p->ldv, h.keys, p->head_size, s.packed_v);
    value_rows(j, &h, weights_of(j, index / p->heads, index % p->heads, &h), h.y_query, h.outputs, &s, h.y);
}

static void apply(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *in) {
    job j = job_of(run, p, in);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), apply_task, &j);
}

static double cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size) {
    (void)setting;
    return 2 * (double)queries * (double)keys * (double)head_size;
}

const fov_attention_row fov_attention_dense = {
    .info = {.name = "dense",
             .place = FOV_PLACE_ATTENTION,
             .help = "exact softmax over all keys",
             .citation = "Vaswani et al., Attention is all you need, NeurIPS 2017",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE},
    .workspace = workspace,
    .forward = forward,
    .cost = cost,
    .weights = weights,
    .apply = apply,
};
