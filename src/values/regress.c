/* regress.c: calibrated regression: the head's values from a few of the input's features, by least squares.
 *
 * For head t and level l of r_l features S (the first of the head's forward-selection order, regress_fit.c):
 *     H~[j] = mu W + b + (X[j, S] - mu_S) B_l,    B_l = C_SS^-1 C_S,: W
 * mu and C are the mean and covariance of X over calibration texts. Token j takes the level that minimises
 *     a_j^2 ||X[j] - mu||^2 / tr C  eps_t(l) w_t + lambda r_l / d,    a_j^2 = sum_i A[i, j]^2
 * with eps_t(l) the residual energy of the fit over the layer's mean at r = 0, and w_t the head's share of ||W_O||^2; the dense
 * projection has eps = 0 and costs lambda. Where only some query rows are computed, a_j^2 is brought to n rows: the last layer's
 * [CLS] row, alone, stands for all. Biased and deterministic.
 *
 * mu leaves X alone: it goes into the bias. The tokens of a chunk that chose the same level are a gemm, which reads the columns of
 * X where they stand, ascending within a level: nothing is gathered beforehand. One gemm per head and level over all tokens was
 * slower: each head then reads all of X, out of L3. */
#include <string.h>

#include "core/threads.h"
#include "kernels/gemm.h"
#include "values/project.h"

enum { P_LAMBDA };

static const fov_param_info params[] = {
    {"lambda", FOV_PARAM_FLOAT, 0, 1000, 0, .05, NULL, "price of a feature: larger is cheaper and less exact; 0 is exact"},
};

enum {
    LEVELS = FOV_PROFILE_LEVELS + 1, /* with the dense one */
    CHUNK = FOV_GEMM_ROWS            /* tokens whose rows of X stay in L2 while all heads gather from them */
};

typedef struct tables {
    float *mean;       /* [d] */
    uint32_t *columns; /* [heads][first[levels]]: the features of each level, ascending */
    float *error;      /* [heads][levels] eps_t(l) w_t */
    float *bias;       /* [heads][levels][e] */
    float *packed;     /* [heads]: level by level, [packed_size(e, r)] */
    size_t levels, top;
    size_t level[LEVELS]; /* the last is d: the dense one */
    size_t first[LEVELS]; /* of a level in a head's columns; first[levels] in all */
    size_t start[LEVELS]; /* of a level in a head's packed weights; start[levels] in all */
    fov_value_center center;
} tables;

static size_t carve_tables(fov_arena *arena, const fov_value_weights *w, tables *t) {
    t->mean = fov_arena_take(arena, w->width, sizeof(float));
    t->columns = fov_arena_take(arena, fov_mul(w->heads, t->first[t->levels]), sizeof(uint32_t));
    t->error = fov_arena_take(arena, fov_mul(w->heads, t->levels), sizeof(float));
    t->bias = fov_arena_take(arena, fov_mul(fov_mul(w->heads, t->levels), w->head_size), sizeof(float));
    t->packed = fov_arena_take(arena, fov_mul(w->heads, t->start[t->levels]), sizeof(float));
    return arena->used;
}

/* What binding needs for a while. */
typedef struct binding {
    double *mean;       /* [e] b + mu W of the head */
    uint32_t *position; /* [d] of a feature in the head's order; top where it is none of them */
    float *rows;        /* [top][e] weights of a level, by ascending feature */
} binding;

static size_t carve_binding(fov_arena *arena, const fov_value_weights *w, size_t top, binding *b) {
    b->mean = fov_arena_take(arena, w->head_size, sizeof *b->mean);
    b->position = fov_arena_take(arena, w->width, sizeof *b->position);
    b->rows = fov_arena_take(arena, fov_mul(top, w->head_size), sizeof *b->rows);
    return arena->used;
}

/* bias = b + mu W - mu_S B; the features of the level and their weights in ascending order, so that X is read straight on. */
static void bind_level(const fov_value_weights *w, const tables *t, const fov_kernels *kernels, size_t head, size_t l,
                       const float *weight, const binding *b) {
    const size_t e = w->head_size, r = t->level[l];
    uint32_t *columns = t->columns + head * t->first[t->levels] + t->first[l];
    float *bias = t->bias + (head * t->levels + l) * e;
    for (size_t i = 0, k = 0; i < w->width; i++) {
        if (b->position[i] >= r) continue;
        memcpy(b->rows + k * e, weight + b->position[i] * e, e * sizeof *weight);
        columns[k++] = (uint32_t)i;
    }
    for (size_t c = 0; c < e; c++) {
        double sum = b->mean[c];
        for (size_t k = 0; k < r; k++) sum -= (double)t->mean[columns[k]] * (double)b->rows[k * e + c];
        bias[c] = (float)sum;
    }
    kernels->pack_n(b->rows, e, r, e, t->packed + head * t->start[t->levels] + t->start[l]);
}

static void measure(tables *t, const fov_value_weights *w) {
    const fov_value_profile *p = w->profile;
    t->levels = p->levels;
    t->top = p->level[p->levels - 1];
    for (size_t l = 0; l < p->levels; l++) {
        t->level[l] = p->level[l];
        t->first[l + 1] = t->first[l] + p->level[l];
        t->start[l + 1] = t->start[l] + fov_packed_size(w->head_size, p->level[l]);
    }
    t->level[t->levels] = w->width;
}

static void bind_heads(tables *t, const fov_value_weights *w, const fov_kernels *kernels, const binding *b) {
    const fov_value_profile *p = w->profile;
    const size_t e = w->head_size;
    double base = 0;
    for (size_t h = 0; h < w->heads; h++) base += (double)p->regress_error[h * t->levels] / (double)w->heads;
    t->center = fov_value_center_of(p, w->width, t->mean);
    const float *weight = p->regress_weight;
    for (size_t h = 0; h < w->heads; h++) {
        fov_value_mean(w, h, b->mean);
        for (size_t i = 0; i < w->width; i++) b->position[i] = (uint32_t)t->top;
        for (size_t k = 0; k < t->top; k++) b->position[p->order[h * t->top + k]] = (uint32_t)k;
        for (size_t l = 0; l < t->levels; weight += t->level[l++] * e) {
            double error = base > 0 ? (double)p->regress_error[h * t->levels + l] / base : 0;
            t->error[h * t->levels + l] = (float)(error * (double)p->share[h]);
            bind_level(w, t, kernels, h, l, weight, b);
        }
    }
}

static fov_status bind(const fov_setting *setting, const fov_value_weights *w, const fov_allocator *allocator, void **bound,
                       fov_error *error) {
    fov_status status = fov_value_need_profile(w, setting, error);
    if (status) return status;
    const fov_kernels *kernels = fov_kernels_get(error);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    tables t = {0};
    measure(&t, w);
    fov_arena arena = {0};
    fov_arena_take(&arena, 1, sizeof t);
    const size_t bytes = carve_tables(&arena, w, &t);
    binding b;
    fov_arena scratch = {0};
    const size_t scratch_bytes = carve_binding(&scratch, w, t.top, &b);
    void *block;
    status = fov_alloc_both(allocator, bytes, scratch_bytes, bound, &block);
    if (status) return status;
    scratch = (fov_arena){block, 0, scratch_bytes, false};
    carve_binding(&scratch, w, t.top, &b);
    arena = (fov_arena){*bound, 0, bytes, false};
    tables *kept = fov_arena_take(&arena, 1, sizeof *kept);
    carve_tables(&arena, w, &t);
    bind_heads(&t, w, kernels, &b);
    *kept = t;
    fov_release(allocator, block);
    return FOV_OK;
}

/* ---- forward ---- */

typedef struct plan {
    float *distance;  /* [N] ||x - mu||^2 / tr C, for importance brought to n rows */
    uint32_t *choice; /* [heads][N] */
    uint32_t *rows;   /* [heads][N] grouped by level within each chunk */
    fov_gemm *gemms;  /* [chunks][heads][LEVELS] */
} plan;

static size_t carve_plan(fov_arena *arena, const fov_values_size *s, plan *p) {
    const size_t cells = fov_mul(s->heads, s->tokens), groups = fov_mul(s->heads, fov_mul(s->tokens / CHUNK + 1, LEVELS));
    p->distance = fov_arena_take(arena, s->tokens, sizeof *p->distance);
    p->choice = fov_arena_take(arena, cells, sizeof *p->choice);
    p->rows = fov_arena_take(arena, cells, sizeof *p->rows);
    p->gemms = fov_arena_take(arena, groups, sizeof *p->gemms);
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
    size_t first, tokens, stride; /* rows of this call; stride: of importance */
    float price[LEVELS];          /* lambda r / d */
} job;

static fov_gemm level_gemm(const job *j, size_t head, size_t l, const uint32_t *rows, size_t n) {
    const fov_value_weights *w = j->run->weights;
    const tables *t = j->t;
    if (l == t->levels) return fov_value_gemm(w, j->v, head, rows, n);
    return (fov_gemm){.n = n,
                      .m = w->head_size,
                      .k = t->level[l],
                      .x = j->v->x,
                      .ldx = j->v->ldx,
                      .x_rows = rows,
                      .x_columns = t->columns + head * t->first[t->levels] + t->first[l],
                      .w = t->packed + head * t->start[t->levels] + t->start[l],
                      .bias = t->bias + (head * t->levels + l) * w->head_size,
                      .y = j->v->v + head * w->head_size,
                      .ldy = j->v->ldv,
                      .y_rows = rows};
}

/* Levels of a chunk's tokens for a head, and the tokens grouped by level, ascending. */
static void plan_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t heads = j->run->weights->heads, chunk = index / heads, head = index % heads;
    const size_t begin = chunk * CHUNK, end = begin + CHUNK < j->tokens ? begin + CHUNK : j->tokens;
    const float *error = j->t->error + head * j->t->levels, *energy = j->v->col_energy + head * j->stride + j->first;
    float s[CHUNK] = {0};
    uint32_t *choice = j->plan.choice + head * j->tokens + begin;
    uint32_t *rows = j->plan.rows + head * j->tokens + begin, count[LEVELS] = {0}, start[LEVELS] = {0};
    for (size_t i = begin; i < end; i++) s[i - begin] = energy[i] * j->plan.distance[i];
    fov_value_choose(error, j->price, j->t->levels, s, end - begin, choice);
    for (size_t i = 0; i < end - begin; i++) count[choice[i]]++;
    for (size_t l = 0; l + 1 < LEVELS; l++) start[l + 1] = start[l] + count[l];
    for (size_t l = 0; l < LEVELS; l++)
        j->plan.gemms[index * LEVELS + l] = l <= j->t->levels ? level_gemm(j, head, l, rows + start[l], count[l]) : (fov_gemm){0};
    for (size_t i = begin; i < end; i++) rows[start[choice[i - begin]]++] = (uint32_t)(j->first + i);
}

static void account(const job *j, size_t groups) {
    const fov_value_weights *w = j->run->weights;
    float *work = j->v->work ? j->v->work + j->first : NULL;
    double features = 0;
    for (size_t g = 0; g < groups * LEVELS; g++) features += (double)j->plan.gemms[g].n * (double)j->plan.gemms[g].k;
    *j->run->multiply_adds += features * (double)w->head_size + (double)j->tokens * (double)w->width; /* and the distances */
    for (size_t h = 0; j->v->head_work && h < w->heads; h++)
        for (size_t i = 0; i < j->tokens; i++)
            j->v->head_work[h] += (float)j->t->level[j->plan.choice[h * j->tokens + i]] / (float)w->width;
    for (size_t i = 0; work && i < j->tokens; i++) {
        size_t used = 0;
        for (size_t h = 0; h < w->heads; h++) used += j->t->level[j->plan.choice[h * j->tokens + i]];
        work[i] = (float)used / (float)(w->width * w->heads);
    }
}

static void forward(const fov_values_run *run, const fov_values *v) {
    const fov_value_weights *w = run->weights;
    job j = {.run = run, .v = v, .t = run->bound, .first = v->offsets[0], .stride = v->offsets[v->texts]};
    const fov_values_size size = fov_value_size(run, v);
    j.tokens = size.tokens;
    fov_arena arena = {run->scratch, 0, SIZE_MAX, false};
    carve_plan(&arena, &size, &j.plan);
    for (size_t l = 0; l <= j.t->levels; l++)
        j.price[l] = (float)(run->setting->values[P_LAMBDA] * (double)j.t->level[l] / (double)w->width);

    fov_value_distances(&j.t->center, v, w->width, run->threads, j.plan.distance);
    for (size_t b = 0; b < v->texts; b++) {
        const float scale = fov_value_rows_scale(v, b);
        for (size_t i = v->offsets[b] - j.first; i < v->offsets[b + 1] - j.first; i++) j.plan.distance[i] *= scale;
    }
    const size_t groups = (j.tokens + CHUNK - 1) / CHUNK * w->heads;
    fov_parallel(run->threads, groups, plan_task, &j);
    fov_gemm_run_all(run->kernels, j.plan.gemms, groups * LEVELS, run->threads, run->gemm_scratch);
    account(&j, groups);
}

static bool certify(const fov_value_profile *p, size_t heads, size_t level, fov_certificate *c) {
    if (level >= p->levels) return false;
    *c = (fov_certificate){p->level[level], fov_value_error_share(p->regress_error, heads, p->levels, level),
                           fov_value_error_share(p->regress_held, heads, p->levels, level)};
    return true;
}

const fov_values_row fov_values_regress = {
    .info = {.name = "regress",
             .place = FOV_PLACE_VALUES,
             .help = "calibrated regression on few features, more where attention looks",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_NEEDS_IMPORTANCE,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .needs_energy = true,
    .needs_profile = fov_setting_always,
    .bind = bind,
    .certify = certify,
    .workspace = workspace,
    .forward = forward,
};
