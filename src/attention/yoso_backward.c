/* yoso_backward.c: gradients of YOSO, with those of the three normalisations and of the convolution.
 *
 * With g = dL/dY, s_ij = q^_i . k^_j:
 *     dV_j = sum_i w_ij g_i     dq^_i = sum_j (g_i . v_j) w'(s_ij) k^_j     dk^_j = sum_i (g_i . v_j) w'(s_ij) q^_i
 * exact: w' = tau (1 - acos(s) / pi)^(tau - 1) / (pi sqrt(1 - s^2)); surrogate: its lower bound tau w / 2 (Zeng et al. 2021,
 * section 3.3), which does not grow without limit at s = 1. The sampled form puts the share of collisions for w, and collisions
 * times w'/w for w': unbiased sums for Gaussian hashes and a given g. Rows without a direction (norm <= 1e-12) get gradient 0. */
#include <string.h>

#include "attention/yoso_buckets.h"
#include "core/threads.h"

typedef struct scratch {
    fov_yoso_copies copies;
    float *q, *q_norm, *k_norm;
    float *y, *dy;       /* [queries, D]: Y; dL/dO, then dL/dY */
    float *dq, *dk, *dv; /* by query and by key that is there */
    float *weights, *slopes;
    fov_yoso_buckets buckets;
} scratch;

typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_gradient *gradient;
    fov_yoso_settings s;
    size_t longest, per_thread;
} job;

static size_t carve(fov_arena *arena, const fov_yoso_settings *settings, size_t longest, size_t d, scratch *s) {
    size_t row = fov_mul(d, sizeof(float));
    float **rows[] = {&s->copies.k, &s->copies.v, &s->q, &s->y, &s->dy, &s->dq, &s->dk, &s->dv};
    float **columns[] = {&s->q_norm, &s->k_norm, &s->weights, &s->slopes};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) *rows[i] = fov_arena_take(arena, longest, row);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) *columns[i] = fov_arena_take(arena, longest, sizeof(float));
    s->copies.present = fov_arena_take(arena, longest, sizeof(uint32_t));
    s->copies.k_norm = s->k_norm;
    if (settings->m) fov_yoso_buckets_carve(arena, settings, longest, d, &s->buckets);
    return arena->used;
}

size_t fov_yoso_backward_workspace(const fov_setting *setting, const fov_attention_size *size) {
    fov_yoso_settings settings = fov_yoso_settings_of(setting);
    scratch none;
    fov_arena arena = {0};
    return fov_mul(size->threads, carve(&arena, &settings, size->longest, size->head_size, &none));
}

/* dy = dL/dO of every query: outputs of the same query add up. The convolution's gradient goes to dv on the way. */
static void gather(const job *j, const fov_yoso_head *h, const scratch *s) {
    size_t d = j->p->head_size;
    memset(s->dy, 0, h->queries * d * sizeof(float));
    for (size_t o = 0; o < h->outputs; o++) {
        const float *dy = j->gradient->dy + h->y_start + o * j->p->ldy;
        size_t query = fov_yoso_query(h, o);
        for (size_t c = 0; c < d; c++) s->dy[query * d + c] += dy[c];
        fov_yoso_convolve_back(j->p, h, query, dy, s->dv);
    }
}

/* In dy: from dL/dO to dL/dY = (dO - O (O . dO)) / |Y|; y holds Y. */
static void through_unit(float *y, float *dy, size_t d, double least) {
    double norm = (double)fov_yoso_unit(y, d, least), dot = 0;
    for (size_t c = 0; c < d; c++) dot += (double)y[c] * (double)dy[c];
    for (size_t c = 0; c < d; c++) dy[c] = norm <= least ? 0 : (float)(((double)dy[c] - (double)y[c] * dot) / norm);
}

static void expectation(const job *j, const fov_yoso_head *h, const scratch *s) {
    size_t d = j->p->head_size;
    for (size_t i = 0; i < h->queries; i++) {
        size_t n = fov_yoso_visible(j->p, h, i);
        const float *q = s->q + i * d;
        float *y = s->y + i * d, *g = s->dy + i * d, *dq = s->dq + i * d;
        for (size_t k = 0; k < n; k++) s->weights[k] = fov_yoso_dot(q, h->k + k * d, d);
        fov_yoso_weights(s->weights, n, j->s.tau, s->slopes, j->s.surrogate);
        for (size_t k = 0; k < n; k++) fov_yoso_add(y, s->weights[k], h->v + k * d, d);
        through_unit(y, g, d, 1e-12);
        for (size_t k = 0; k < n; k++) {
            float r = fov_yoso_dot(g, h->v + k * d, d) * s->slopes[k];
            fov_yoso_add(s->dv + k * d, s->weights[k], g, d);
            fov_yoso_add(dq, r, h->k + k * d, d);
            fov_yoso_add(s->dk + k * d, r, q, d);
        }
    }
}

static void sampled(const job *j, const fov_yoso_head *h, scratch *s) {
    size_t d = j->p->head_size;
    float share = 1 / (float)j->s.m;
    fov_yoso_pass pass = {
        .run = j->run, .p = j->p, .h = h, .q = s->q, .y = s->y, .g = NULL, .dq = s->dq, .dk = s->dk, .dv = s->dv, .share = share};
    fov_yoso_buckets_walk(&s->buckets, &pass);
    for (size_t i = 0; i < h->queries; i++) through_unit(s->y + i * d, s->dy + i * d, d, 1e-12);
    pass.g = s->dy;
    fov_yoso_buckets_walk(&s->buckets, &pass);
}

/* out = (dx - x (x . dx)) / norm, for x = row / norm. */
static void through_rows(const float *x, const float *dx, float norm, size_t d, float *out) {
    double dot = 0, n = (double)norm;
    for (size_t c = 0; c < d; c++) dot += (double)x[c] * (double)dx[c];
    for (size_t c = 0; c < d; c++) out[c] = n <= 1e-12 ? 0 : (float)(((double)dx[c] - (double)x[c] * dot) / n);
}

static void scatter(const job *j, const fov_yoso_head *h, const scratch *s) {
    const fov_attention *p = j->p;
    const fov_attention_gradient *to = j->gradient;
    size_t d = p->head_size;
    for (size_t i = 0; i < h->queries; i++)
        through_rows(s->q + i * d, s->dq + i * d, s->q_norm[i], d, to->dq + h->q_start + i * p->ldq);
    for (size_t i = 0, n = 0; i < h->all_keys; i++) {
        float *dk = to->dk + h->k_start + i * p->ldk, *dv = to->dv + h->v_start + i * p->ldv;
        if (n < h->keys && h->present[n] == i) {
            through_rows(h->k + n * d, s->dk + n * d, s->k_norm[n], d, dk);
            memcpy(dv, s->dv + n * d, d * sizeof *dv);
            n++;
        } else {
            memset(dk, 0, d * sizeof *dk);
            memset(dv, 0, d * sizeof *dv);
        }
    }
}

static void task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    size_t d = p->head_size;
    scratch s;
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, &j->s, j->longest, d, &s);
    fov_yoso_head h = fov_yoso_view(p, index / p->heads, index % p->heads);
    fov_yoso_copy(p, &h, &s.copies);
    fov_yoso_normalize(p->q + h.q_start, p->ldq, h.queries, d, s.q, s.q_norm);
    memset(s.y, 0, h.queries * d * sizeof(float));
    memset(s.dq, 0, h.queries * d * sizeof(float));
    memset(s.dk, 0, h.keys * d * sizeof(float));
    memset(s.dv, 0, h.keys * d * sizeof(float));
    gather(j, &h, &s);
    if (j->s.m)
        sampled(j, &h, &s);
    else
        expectation(j, &h, &s);
    scatter(j, &h, &s);
}

void fov_yoso_backward(const fov_attention_run *run, const fov_attention *p, const fov_attention_gradient *gradient) {
    job j = {run, p, gradient, fov_yoso_settings_of(run->setting), fov_yoso_longest(p), 0};
    scratch none;
    fov_arena arena = {0};
    j.per_thread = carve(&arena, &j.s, j.longest, p->head_size, &none);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), task, &j);
}
