/* topk_backward.c: gradients of top-k attention without a cache: the selection and its weights are made again, chunk by chunk, and
 * taken as constant. With g = dy_i and the kept keys j of query i:
 *   dA_j = g . V_j      dS_j = scale a_j (dA_j - sum_l a_l dA_l)
 *   dq_i = sum_j dS_j K_j      dk_j += dS_j q_i      dv_j += a_j g
 * A task is one (text, head): dk and dv are sums over its queries, in their order. */
#include "attention/topk.h"
#include "core/threads.h"

enum { LANES = 16 };

static float dot(const float *a, const float *b, size_t n) {
    float lanes[LANES] = {0}, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) lanes[l] += a[i + l] * b[i + l];
    for (; i < n; i++) rest += a[i] * b[i];
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0] + rest;
}

static void add_scaled(float *restrict y, float a, const float *restrict x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void clear_rows(float *x, size_t rows, size_t ld, size_t columns) {
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < columns; c++) x[i * ld + c] = 0;
}

typedef struct gradients {
    float *dq, *dk, *dv;
    const float *dy;
} gradients;

/* Output o, for query i, with row r of the chosen. */
static void backward_row(const fov_topk *t, const fov_topk_view *h, const gradients *d, size_t o, size_t i, size_t r,
                         const fov_topk_scratch *s) {
    const fov_attention *p = t->p;
    const float *a = s->value + r * t->room, *g = d->dy + o * p->ldy, *q = h->q + i * p->ldq;
    const uint32_t *key = s->index + r * t->room;
    size_t n = s->count[r], size = p->head_size;
    float mean = 0;
    for (size_t j = 0; j < n; j++) {
        s->slope[j] = dot(g, h->v + key[j] * p->ldv, size);
        mean += a[j] * s->slope[j];
    }
    for (size_t j = 0; j < n; j++) s->slope[j] = p->scale * a[j] * (s->slope[j] - mean);
    t->run->kernels->gather(s->slope, key, n, h->k, p->ldk, size, s->row);
    add_scaled(d->dq + i * p->ldq, 1, s->row, size);
    for (size_t j = 0; j < n; j++) {
        add_scaled(d->dk + key[j] * p->ldk, s->slope[j], q, size);
        add_scaled(d->dv + key[j] * p->ldv, a[j], g, size);
    }
}

static void backward_task(void *context, size_t task, unsigned thread) {
    const fov_topk *t = context;
    const fov_attention *p = t->p;
    fov_topk_view h = fov_topk_view_of(p, task / p->heads, task % p->heads);
    fov_topk_scratch s = fov_topk_scratch_of(t, thread);
    gradients d = {t->gradient->dq + h.q_start, t->gradient->dk + h.k_start, t->gradient->dv + h.v_start,
                   t->gradient->dy + h.y_start};
    clear_rows(d.dq, h.queries, p->ldq, p->head_size);
    clear_rows(d.dk, h.keys, p->ldk, p->head_size);
    clear_rows(d.dv, h.keys, p->ldv, p->head_size);
    for (size_t first = 0; first < h.outputs; first += t->rows) {
        size_t n = h.outputs - first < t->rows ? h.outputs - first : t->rows;
        const uint32_t *queries = h.y_query ? h.y_query + first : NULL;
        fov_topk_choose(t, &h, first, queries, n, &s);
        for (size_t r = 0; r < n; r++) backward_row(t, &h, &d, first + r, queries ? queries[r] : first + r, r, &s);
    }
}

void fov_topk_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient) {
    fov_topk t = fov_topk_of(run, p);
    t.gradient = gradient;
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), backward_task, &t);
}
