/* poisson.c: calibrated Poisson sampling of the input's features: unbiased, centred, nested.
 *
 * For head t, with mu and C the calibrated mean and covariance of X:
 *     p_i ~ sqrt(C_ii) ||W_i||,    lambda_i(r) = min(1, c p_i) with c such that sum_i lambda_i(r) = r
 *     H~[j] = mu W + b + sum_{U_i < lambda_i(r_j)} (X[j, i] - mu_i) / lambda_i(r_j) W_i
 * (Horvitz and Thompson 1952: unbiased for any r, as U_i is uniform.) The features in descending order of p have
 * U = frac(u + rank 0.618...), u one uniform draw per (seed, text, layer, head): every stretch of ranks is evenly sampled. As r
 * grows features only come in, so all tokens of a text and head share one order. The mean square error of Y for a given budget is
 * least at r_j = clamp(kappa d sqrt(sum_i A[i, j]^2) ||X[j] - mu|| / sqrt(tr C), 1, d)      (Neyman 1934); r_j = d is exact.
 *
 * Tokens are sorted by r and cut in groups of a register tile; a group is a small gemm over the features that any of them uses,
 * with (X - mu) / lambda in its rows, and zeros where a token does not use a feature. */
#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "core/threads.h"
#include "kernels/gemm.h"
#include "values/project.h"

enum { P_KAPPA };

static const fov_param_info params[] = {
    {"kappa", FOV_PARAM_FLOAT, 0, 1e6, 1, 2, NULL, "budget: larger is more exact and dearer"},
};

typedef struct head_table {
    uint32_t *feature; /* [used] in descending order of p; those without weights are left out */
    double *p;         /* [used] sum 1 */
    double *certain;   /* [used] r from which the feature is always taken */
    double *tail;      /* [used] sum of p from here on */
    float *bias;       /* [e] b + mu W */
    size_t used;
} head_table;

typedef struct tables {
    float *mean;       /* [d] */
    head_table *heads; /* [heads] */
    fov_value_center center;
} tables;

static size_t carve_tables(fov_arena *arena, const fov_value_weights *w, tables *t) {
    t->mean = fov_arena_take(arena, w->width, sizeof(float));
    t->heads = fov_arena_take(arena, w->heads, sizeof(head_table));
    for (size_t h = 0; h < w->heads; h++) {
        head_table head = {.used = 0};
        head.feature = fov_arena_take(arena, w->width, sizeof(uint32_t));
        head.p = fov_arena_take(arena, w->width, sizeof(double));
        head.certain = fov_arena_take(arena, w->width, sizeof(double));
        head.tail = fov_arena_take(arena, w->width, sizeof(double));
        head.bias = fov_arena_take(arena, w->head_size, sizeof(float));
        if (t->heads) t->heads[h] = head;
    }
    return arena->used;
}

/* mass[i] = sqrt(C_ii) ||W_i||; what was constant in calibration may vary later, so it keeps a little. */
static double find_masses(const fov_value_weights *w, size_t head, double *mass) {
    double top = 0, total = 0;
    for (size_t i = 0; i < w->width; i++) {
        double norm = 0;
        for (size_t c = 0; c < w->head_size; c++)
            norm += (double)fov_value_weight(w, head, i, c) * (double)fov_value_weight(w, head, i, c);
        mass[i] = norm > 0 ? sqrt(norm * fmax(fov_profile_variance(w->profile, i), 0)) : -1;
        top = fmax(top, mass[i]);
    }
    for (size_t i = 0; i < w->width; i++) {
        if (mass[i] >= 0 && mass[i] < 1e-4 * top) mass[i] = 1e-4 * top;
        if (mass[i] == 0) mass[i] = 1; /* nothing varied: all alike */
        if (mass[i] > 0) total += mass[i];
    }
    return total;
}

static void bind_head(const fov_value_weights *w, size_t head, head_table *t, double *mass, double *bias) {
    const double total = find_masses(w, head, mass);
    for (size_t i = 0; i < w->width; i++) { /* insertion by descending mass, lower feature first */
        if (mass[i] < 0) continue;
        size_t at = t->used++;
        for (; at && mass[t->feature[at - 1]] < mass[i]; at--) t->feature[at] = t->feature[at - 1];
        t->feature[at] = (uint32_t)i;
    }
    double tail = 0;
    for (size_t k = t->used; k-- > 0;) {
        t->p[k] = mass[t->feature[k]] / total;
        t->tail[k] = tail += t->p[k];
        t->certain[k] = (double)k + tail / t->p[k];
    }
    fov_value_mean(w, head, bias);
    for (size_t c = 0; c < w->head_size; c++) t->bias[c] = (float)bias[c];
}

static fov_status bind(const fov_setting *setting, const fov_value_weights *w, const fov_allocator *allocator, void **bound,
                       fov_error *error) {
    fov_status status = fov_value_need_profile(w, setting, error);
    if (status) return status;
    tables t = {0};
    fov_arena arena = {0};
    fov_arena_take(&arena, 1, sizeof t);
    const size_t bytes = carve_tables(&arena, w, &t);
    void *scratch;
    status = fov_alloc_both(allocator, bytes, fov_mul(fov_add(w->width, w->head_size), sizeof(double)), bound, &scratch);
    if (status) return status;
    double *mass = scratch;
    arena = (fov_arena){*bound, 0, bytes, false};
    tables *kept = fov_arena_take(&arena, 1, sizeof *kept);
    carve_tables(&arena, w, &t);
    for (size_t h = 0; h < w->heads; h++) bind_head(w, h, &t.heads[h], mass, mass + w->width);
    t.center = fov_value_center_of(w->profile, w->width, t.mean);
    *kept = t;
    fov_release(allocator, mass);
    return FOV_OK;
}

/* ---- forward ---- */

enum { GROUP = 12, BUCKETS = 128 };

typedef struct token {
    double c; /* of lambda = min(1, c p); infinite: exact */
    uint32_t row, count;
} token;

typedef struct lane { /* of one thread */
    token *tokens;    /* [longest] */
    uint32_t *rows;   /* [longest] */
    double *entry;    /* [d] c from which a feature is used, in descending order of p */
    uint32_t *list;   /* [d] ranks in use, by entry */
    double *from;     /* [d] entry of the list's features, */
    float *inverse;   /* [d] 1 / p, */
    float *center;    /* [d] mean, */
    uint32_t *column; /* [d] and number */
    float *w;         /* [panels][d][32] their weights */
    float *x;         /* [GROUP][d] */
} lane;

typedef struct plan {
    float *distance;  /* [N] */
    uint32_t *counts; /* [heads][N] features used */
    size_t longest, panels;
    unsigned char *lanes; /* [threads] */
    size_t lane_bytes;
} plan;

static size_t carve_lane(fov_arena *arena, size_t longest, size_t d, size_t panels, lane *l) {
    l->tokens = fov_arena_take(arena, longest, sizeof *l->tokens);
    l->rows = fov_arena_take(arena, longest, sizeof *l->rows);
    l->entry = fov_arena_take(arena, d, sizeof *l->entry);
    l->list = fov_arena_take(arena, d, sizeof *l->list);
    l->from = fov_arena_take(arena, d, sizeof *l->from);
    l->inverse = fov_arena_take(arena, d, sizeof *l->inverse);
    l->center = fov_arena_take(arena, d, sizeof *l->center);
    l->column = fov_arena_take(arena, d, sizeof *l->column);
    l->w = fov_arena_take(arena, fov_mul(panels * FOV_PANEL, d), sizeof *l->w);
    l->x = fov_arena_take(arena, fov_mul(GROUP, d), sizeof *l->x);
    return arena->used;
}

static size_t carve_plan(fov_arena *arena, const fov_values_size *s, plan *p) {
    fov_arena one = {0};
    lane l;
    p->longest = s->longest;
    p->panels = fov_panels(s->head_size);
    p->lane_bytes = carve_lane(&one, s->longest, s->width, p->panels, &l);
    p->distance = fov_arena_take(arena, s->tokens, sizeof *p->distance);
    p->counts = fov_arena_take(arena, fov_mul(s->heads, s->tokens), sizeof *p->counts);
    p->lanes = fov_arena_take(arena, fov_mul(s->threads, p->lane_bytes), 1);
    return arena->used;
}

static size_t workspace(const fov_values_size *size) {
    plan p;
    fov_arena arena = {0};
    return carve_plan(&arena, size, &p);
}

typedef struct job {
    const fov_values_run *run;
    const fov_values *v;
    const tables *t;
    plan plan;
    size_t first, tokens, stride;
    double kappa;
} job;

/* c of sum_i min(1, c p_i) = r < used. */
static double factor_of(const head_table *t, double r) {
    size_t low = 0, high = t->used; /* features below low are certain */
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (t->certain[middle] <= r)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->used ? (r - (double)low) / t->tail[low] : INFINITY;
}

static bool before(const token *a, const token *b) {
    return a->c > b->c || (a->c >= b->c && a->row < b->row);
}

/* Shell sort. */
static void sort_tokens(token *tokens, size_t n) {
    static const size_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (size_t i = gaps[g]; i < n; i++) {
            const token now = tokens[i];
            size_t at = i;
            for (; at >= gaps[g] && before(&now, &tokens[at - gaps[g]]); at -= gaps[g]) tokens[at] = tokens[at - gaps[g]];
            tokens[at] = now;
        }
}

/* The text's tokens by descending c, row ascending among equals; the exact ones come first. */
static void list_tokens(const job *j, size_t text, size_t head, const head_table *t, token *tokens) {
    const size_t begin = j->v->offsets[text], n = j->v->offsets[text + 1] - begin, d = j->run->weights->width;
    const double scale = (double)fov_value_rows_scale(j->v, text);
    for (size_t i = 0; i < n; i++) {
        const double energy = (double)j->v->col_energy[head * j->stride + begin + i] * scale;
        const double r = j->kappa * (double)d * sqrt(energy * (double)j->plan.distance[begin - j->first + i]);
        token now = {INFINITY, (uint32_t)(begin + i), (uint32_t)d};
        if (r < (double)t->used) now.c = factor_of(t, r < 1 ? 1 : r); /* not so for a NaN: exact, and so NaN */
        tokens[i] = now;
    }
    sort_tokens(tokens, n);
}

/* Ranks that enter below c, nearly in order of entry (by bucket); how many come before the end of each bucket. */
static size_t list_features(const head_table *t, double u, double c, lane *l, uint32_t end[BUCKETS]) {
    const double golden = 0.61803398874989484820, to_bucket = BUCKETS / c;
    uint32_t start[BUCKETS] = {0};
    for (size_t k = 0; k < t->used; k++) {
        const double at = u + (double)k * golden;
        l->entry[k] = (at - floor(at)) / t->p[k];
        if (l->entry[k] < c) start[(size_t)fmin(l->entry[k] * to_bucket, BUCKETS - 1)]++;
    }
    uint32_t count = 0;
    for (size_t b = 0; b < BUCKETS; b++) {
        const uint32_t here = start[b];
        start[b] = count;
        end[b] = count += here;
    }
    for (size_t k = 0; k < t->used; k++)
        if (l->entry[k] < c) l->list[start[(size_t)fmin(l->entry[k] * to_bucket, BUCKETS - 1)]++] = (uint32_t)k;
    return count;
}

static void gather_weights(const job *j, size_t head, const head_table *t, size_t count, const lane *l) {
    const fov_value_weights *w = j->run->weights;
    const float *packed = w->packed + head * fov_packed_size(w->head_size, w->width);
    for (size_t k = 0; k < count; k++) {
        const uint32_t rank = l->list[k];
        l->from[k] = l->entry[rank];
        l->inverse[k] = (float)(1 / t->p[rank]);
        l->column[k] = t->feature[rank];
        l->center[k] = j->t->mean[t->feature[rank]];
    }
    for (size_t p = 0; p < j->plan.panels; p++)
        for (size_t k = 0; k < count; k++)
            memcpy(l->w + (p * count + k) * FOV_PANEL, packed + (p * w->width + t->feature[l->list[k]]) * FOV_PANEL,
                   FOV_PANEL * sizeof *packed);
}

/* (x - mu) / lambda over the first `k` features of the list, 0 for those the token does not use. Returns how many it does. */
static uint32_t make_row(const job *j, const lane *l, const token *of, size_t k, float *to) {
    const float *x = j->v->x + of->row * j->v->ldx, scale = (float)(1 / of->c);
    uint32_t used = 0;
    for (size_t i = 0; i < k; i++) {
        const bool in = l->from[i] < of->c;
        const float inverse = l->inverse[i] * scale, weight = inverse > 1 ? inverse : 1; /* 1 / lambda */
        const float value = (x[l->column[i]] - l->center[i]) * weight;
        to[i] = in ? value : 0;
        used += in;
    }
    return used;
}

/* Tokens [begin, end) of the sorted list, all exact or all sampled. */
static void run_gemm(const job *j, size_t head, const lane *l, unsigned thread, fov_gemm *g, size_t panel_stride) {
    float *scratch = j->run->gemm_scratch + thread * fov_gemm_scratch();
    const size_t e = j->run->weights->head_size;
    const float *bias = j->t->heads[head].bias, *w = l->w;
    float *y = j->v->v + head * e;
    for (size_t c = 0; c < e; c += FOV_PANEL, w += panel_stride) {
        g->m = e - c < FOV_PANEL ? e - c : FOV_PANEL;
        g->w = w;
        g->bias = bias + c;
        g->y = y + c;
        fov_gemm_block(j->run->kernels, g, 0, g->n, 0, 1, scratch);
    }
}

static void text_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_value_weights *w = j->run->weights;
    const size_t text = index / w->heads, head = index % w->heads, d = w->width;
    const size_t begin = j->v->offsets[text], n = j->v->offsets[text + 1] - begin;
    const head_table *t = &j->t->heads[head];
    uint32_t *counts = j->plan.counts + head * j->tokens + (begin - j->first), end[BUCKETS], bits[4];
    lane l;
    fov_arena arena = {j->plan.lanes + thread * j->plan.lane_bytes, 0, SIZE_MAX, false};
    carve_lane(&arena, j->plan.longest, d, j->plan.panels, &l);
    list_tokens(j, text, head, t, l.tokens);
    size_t at = 0;
    while (at < n && isinf(l.tokens[at].c)) at++;
    for (size_t i = 0; i < at; i++) counts[l.tokens[i].row - begin] = (uint32_t)d;
    for (size_t i = 0; i < n; i++) l.rows[i] = l.tokens[i].row;
    const fov_gemm dense = fov_value_gemm(w, j->v, head, l.rows, at);
    if (at) fov_gemm_block(j->run->kernels, &dense, 0, at, 0, j->plan.panels, j->run->gemm_scratch + thread * fov_gemm_scratch());
    if (at == n) return;

    fov_rng rng = fov_rng_stream(j->v->seed, j->v->hashes[text], j->v->layer, (uint32_t)head, 0);
    fov_rng_next4(&rng, bits);
    const double u = (double)(((uint64_t)bits[0] << 32 | bits[1]) >> 11) * 0x1p-53, top = l.tokens[at].c;
    const size_t count = list_features(t, u, top, &l, end);
    gather_weights(j, head, t, count, &l);
    while (at < n) {
        const double c = l.tokens[at].c;
        const size_t k = end[(size_t)fmin(c * (BUCKETS / top), BUCKETS - 1)];
        fov_gemm g = {.k = k, .x = l.x, .ldx = d, .ldy = j->v->ldv, .y_rows = l.rows + at};
        while (at < n && g.n < GROUP && l.tokens[at].c >= .75 * c) {
            counts[l.tokens[at].row - begin] = make_row(j, &l, &l.tokens[at], k, l.x + g.n * d);
            at++;
            g.n++;
        }
        run_gemm(j, head, &l, thread, &g, count * FOV_PANEL);
    }
}

static void account(const job *j) {
    const fov_value_weights *w = j->run->weights;
    float *work = j->v->work ? j->v->work + j->first : NULL;
    double features = 0;
    for (size_t i = 0; work && i < j->tokens; i++) work[i] = 0;
    for (size_t h = 0; h < w->heads; h++)
        for (size_t i = 0; i < j->tokens; i++) {
            const uint32_t count = j->plan.counts[h * j->tokens + i];
            features += count;
            if (work) work[i] += (float)count / (float)(w->width * w->heads);
            if (j->v->head_work) j->v->head_work[h] += (float)count / (float)w->width;
        }
    *j->run->multiply_adds += features * (double)w->head_size + (double)j->tokens * (double)w->width; /* and the distances */
}

static void forward(const fov_values_run *run, const fov_values *v) {
    const fov_value_weights *w = run->weights;
    job j = {.run = run, .v = v, .t = run->bound, .first = v->offsets[0], .stride = v->offsets[v->texts]};
    j.kappa = run->setting->values[P_KAPPA];
    const fov_values_size size = fov_value_size(run, v);
    j.tokens = size.tokens;
    fov_arena arena = {run->scratch, 0, SIZE_MAX, false};
    carve_plan(&arena, &size, &j.plan);
    fov_value_distances(&j.t->center, v, w->width, run->threads, j.plan.distance);
    fov_parallel(run->threads, v->texts * w->heads, text_task, &j);
    account(&j);
}

const fov_values_row fov_values_poisson = {
    .info = {.name = "poisson",
             .place = FOV_PLACE_VALUES,
             .help = "calibrated Poisson sampling of the features of X: unbiased, more where attention looks",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_NEEDS_IMPORTANCE | FOV_METHOD_RANDOM,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .needs_energy = true,
    .f32_only = true,
    .needs_profile = fov_setting_always,
    .bind = bind,
    .workspace = workspace,
    .forward = forward,
};
