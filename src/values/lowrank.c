/* lowrank.c: calibrated low rank: the values of all heads of a layer through a few directions of the output.
 *
 * With V the orthonormal rows of lowrank_fit.c and V_k the first k of them,
 *     H~[j] = mu W + b + ((X[j] - mu) W V_k^T) V_k
 * in two gemms of the weights' type, [n, d] x [d, k] and [n, k] x [k, m]: k (d + m) multiply-adds in place of d m. Token j takes
 * the rank, one for the whole layer, that minimises
 *     a_j^2 ||X[j] - mu||^2 / tr C  eps(k) + lambda k (d + m) / (d m),    a_j^2 = mean over heads of sum_i A[i, j]^2
 * with eps(k) the energy that V_k leaves over that at k = 0; the dense projection has eps = 0 and costs lambda. Importance of few
 * query rows is brought to n rows as in regress.c. Biased and deterministic. */
#include "core/status.h"
#include "kernels/gemm.h"
#include "values/project.h"

enum { P_LAMBDA };

static const fov_param_info params[] = {
    {"lambda", FOV_PARAM_FLOAT, 0, 1000, 0, .1, NULL, "price of the dense projection: larger is cheaper, less exact; 0 is exact"},
};

enum { LEVELS = FOV_PROFILE_LEVELS + 1 }; /* with the dense one */

typedef struct tables {
    float *mean;           /* [d] */
    fov_linear down;       /* [top rank, d]: V W^T, bias - mu W V^T; a level takes the first of its outputs */
    fov_linear up[LEVELS]; /* [m, rank]: V_k^T, bias b + mu W */
    size_t levels;
    size_t rank[LEVELS];
    float error[LEVELS]; /* eps */
    float cost[LEVELS];  /* k (d + m) / (d m); 1 of the dense one */
    fov_value_center center;
} tables;

/* ---- bind ---- */

static size_t outputs_of(const fov_value_weights *w) {
    return w->heads * w->head_size;
}

static size_t top_of(const tables *t) {
    return t->rank[t->levels - 1];
}

static size_t carve_tables(fov_arena *arena, const fov_value_weights *w, tables *t) {
    t->mean = fov_arena_take(arena, w->width, sizeof(float));
    t->down = fov_linear_take(arena, top_of(t), w->width, w->type);
    for (size_t l = 0; l < t->levels; l++) t->up[l] = fov_linear_take(arena, outputs_of(w), t->rank[l], w->type);
    return arena->used;
}

/* What binding needs for a while. */
typedef struct binding {
    float *dense;   /* [d][m] W; later [m][rank] V_k^T */
    float *packed;  /* the first, as the gemm reads it */
    float *product; /* [top][d] V W^T */
    float *gemm;    /* its scratch */
    float *words;   /* of fov_pack_type */
    double *mean;   /* [e] */
} binding;

static size_t carve_binding(fov_arena *arena, const fov_value_weights *w, const tables *t, binding *b) {
    const size_t d = w->width, m = outputs_of(w), top = top_of(t);
    b->dense = fov_arena_take(arena, fov_mul(d, m), sizeof *b->dense);
    b->packed = fov_arena_take(arena, fov_packed_size(d, m), sizeof *b->packed);
    b->product = fov_arena_take(arena, fov_mul(top, d), sizeof *b->product);
    b->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof *b->gemm);
    b->words = fov_arena_take(arena, fov_mul(FOV_PANEL, d), sizeof *b->words);
    b->mean = fov_arena_take(arena, w->head_size, sizeof *b->mean);
    return arena->used;
}

static void measure(tables *t, const fov_value_weights *w) {
    const fov_value_profile *p = w->profile;
    const size_t m = outputs_of(w);
    t->levels = p->levels;
    for (size_t l = 0; l < p->levels; l++) {
        t->rank[l] = fov_profile_rank(p->level[l], m);
        t->cost[l] = (float)((double)t->rank[l] * (double)(w->width + m) / ((double)w->width * (double)m));
        t->error[l] = p->basis_error[0] > 0 ? p->basis_error[l] / p->basis_error[0] : 0;
    }
    t->cost[t->levels] = 1;
}

static void fill_down(const tables *t, const fov_value_weights *w, const fov_kernels *kernels, const binding *b) {
    const size_t d = w->width, e = w->head_size, m = outputs_of(w), top = top_of(t);
    for (size_t i = 0; i < d; i++)
        for (size_t c = 0; c < m; c++) b->dense[i * m + c] = fov_value_weight(w, c / e, i, c % e);
    kernels->pack_t(b->dense, m, d, m, b->packed);
    const fov_gemm g = {.n = top, .m = d, .k = m, .x = w->profile->basis, .ldx = m, .w = b->packed, .y = b->product, .ldy = d};
    fov_gemm_run(kernels, &g, 1, b->gemm);
    for (size_t k = 0; k < top; k++) {
        double sum = 0;
        for (size_t i = 0; i < d; i++) sum -= (double)t->mean[i] * (double)b->product[k * d + i];
        t->down.bias[k] = (float)sum;
    }
    fov_linear_pack(kernels, b->product, &t->down, b->words);
}

static void fill_up(const tables *t, const fov_value_weights *w, const fov_kernels *kernels, const binding *b) {
    const size_t e = w->head_size, m = outputs_of(w);
    for (size_t h = 0; h < w->heads; h++) {
        fov_value_mean(w, h, b->mean);
        for (size_t l = 0; l < t->levels; l++)
            for (size_t c = 0; c < e; c++) t->up[l].bias[h * e + c] = (float)b->mean[c];
    }
    for (size_t l = 0; l < t->levels; l++) {
        const size_t rank = t->rank[l];
        for (size_t c = 0; c < m; c++)
            for (size_t k = 0; k < rank; k++) b->dense[c * rank + k] = w->profile->basis[k * m + c];
        fov_linear_pack(kernels, b->dense, &t->up[l], b->words);
    }
}

static fov_status bind(const fov_setting *setting, const fov_value_weights *w, const fov_allocator *allocator, void **bound,
                       fov_error *error) {
    fov_status status = fov_value_need_profile(w, setting, error);
    if (status) return status;
    if (!w->profile->basis)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, w->profile->file,
                        "the profile has no part for 'lowrank': make it anew with 'foveate calibrate'");
    const fov_kernels *kernels = fov_kernels_get(error);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    tables t = {0};
    binding b;
    measure(&t, w);
    fov_arena arena = {0}, scratch = {0};
    fov_arena_take(&arena, 1, sizeof t);
    const size_t bytes = carve_tables(&arena, w, &t), scratch_bytes = carve_binding(&scratch, w, &t, &b);
    void *block;
    status = fov_alloc_both(allocator, bytes, scratch_bytes, bound, &block);
    if (status) return status;
    scratch = (fov_arena){block, 0, scratch_bytes, false};
    carve_binding(&scratch, w, &t, &b);
    arena = (fov_arena){*bound, 0, bytes, false};
    tables *kept = fov_arena_take(&arena, 1, sizeof *kept);
    carve_tables(&arena, w, &t);
    t.center = fov_value_center_of(w->profile, w->width, t.mean);
    fill_down(&t, w, kernels, &b);
    fill_up(&t, w, kernels, &b);
    *kept = t;
    fov_release(allocator, block);
    return FOV_OK;
}

/* ---- forward ---- */

typedef struct plan {
    float *energy;    /* [N] a_j^2 ||x - mu||^2 / tr C */
    uint32_t *choice; /* [N] */
    uint32_t *rows;   /* [N] grouped by level */
    float *middle;    /* group by group [rows of the level][rank] */
    fov_gemm *down;   /* [LEVELS] */
    fov_gemm *up;     /* [LEVELS + heads] */
} plan;

/* The top rank is at most half the width and all outputs: so workspace() need not know the tables. */
static size_t carve_plan(fov_arena *arena, const fov_values_size *s, plan *p) {
    const size_t top = fov_profile_rank(s->width, fov_mul(s->heads, s->head_size));
    p->energy = fov_arena_take(arena, s->tokens, sizeof *p->energy);
    p->choice = fov_arena_take(arena, s->tokens, sizeof *p->choice);
    p->rows = fov_arena_take(arena, s->tokens, sizeof *p->rows);
    p->middle = fov_arena_take(arena, fov_mul(s->tokens, top), sizeof *p->middle);
    p->down = fov_arena_take(arena, LEVELS, sizeof *p->down);
    p->up = fov_arena_take(arena, fov_add(LEVELS, s->heads), sizeof *p->up);
    return arena->used;
}

static size_t workspace(const fov_values_size *size) {
    plan p;
    fov_arena arena = {0};
    return carve_plan(&arena, size, &p);
}

/* What a token is worth: the mean of the heads' importance, brought to n rows, times its distance (which is in energy). */
static void weigh(const fov_values *v, size_t heads, plan *p) {
    const size_t first = v->offsets[0], stride = v->offsets[v->texts];
    for (size_t b = 0; b < v->texts; b++) {
        const float scale = fov_value_rows_scale(v, b) / (float)heads;
        for (size_t i = v->offsets[b]; i < v->offsets[b + 1]; i++) {
            float sum = 0;
            for (size_t h = 0; h < heads; h++) sum += v->col_energy[h * stride + i];
            p->energy[i - first] *= sum * scale;
        }
    }
}

/* The tokens of each level, ascending; count[l] of them. */
static void group(const plan *p, size_t first, size_t tokens, size_t count[LEVELS]) {
    size_t start[LEVELS] = {0};
    for (size_t i = 0; i < tokens; i++) count[p->choice[i]]++;
    for (size_t l = 0; l + 1 < LEVELS; l++) start[l + 1] = start[l] + count[l];
    for (size_t i = 0; i < tokens; i++) p->rows[start[p->choice[i]]++] = (uint32_t)(first + i);
}

/* Returns how many `up` are. */
static size_t list_gemms(const fov_values_run *run, const fov_values *v, const tables *t, const plan *p,
                         const size_t count[LEVELS]) {
    const fov_value_weights *w = run->weights;
    const uint32_t *rows = p->rows;
    float *middle = p->middle;
    for (size_t l = 0; l < t->levels; rows += count[l], l++) {
        fov_gemm *down = &p->down[l], *up = &p->up[l];
        *down = fov_linear_gemm(&t->down);
        *up = fov_linear_gemm(&t->up[l]);
        down->n = up->n = count[l];
        down->m = down->ldy = up->ldx = t->rank[l];
        down->x = v->x;
        down->ldx = v->ldx;
        down->x_rows = up->y_rows = rows;
        up->x = down->y = middle;
        fov_gemm_chain(run->kernels, down, up);
        up->y = v->v;
        up->ldy = v->ldv;
        middle += count[l] * t->rank[l];
    }
    return t->levels + fov_value_gemms(w, v, rows, count[t->levels], p->up + t->levels);
}

static void forward(const fov_values_run *run, const fov_values *v) {
    const fov_value_weights *w = run->weights;
    const tables *t = run->bound;
    const fov_values_size size = fov_value_size(run, v);
    const size_t first = v->offsets[0], tokens = size.tokens, d = w->width, m = outputs_of(w);
    fov_arena arena = {run->scratch, 0, SIZE_MAX, false};
    plan p;
    carve_plan(&arena, &size, &p);
    float price[LEVELS];
    for (size_t l = 0; l <= t->levels; l++) price[l] = (float)run->setting->values[P_LAMBDA] * t->cost[l];

    fov_value_distances(&t->center, v, d, run->threads, p.energy);
    weigh(v, w->heads, &p);
    fov_value_choose(t->error, price, t->levels, p.energy, tokens, p.choice);
    size_t count[LEVELS] = {0};
    group(&p, first, tokens, count);
    const size_t ups = list_gemms(run, v, t, &p, count);
    fov_gemm_run_all(run->kernels, p.down, t->levels, run->threads, run->gemm_scratch);
    fov_gemm_run_all(run->kernels, p.up, ups, run->threads, run->gemm_scratch);

    double done = (double)tokens * (double)d; /* the distances */
    for (size_t l = 0; l < t->levels; l++) done += (double)count[l] * (double)t->rank[l] * (double)(d + m);
    *run->multiply_adds += done + (double)count[t->levels] * (double)d * (double)m;
    for (size_t i = 0; v->work && i < tokens; i++) v->work[first + i] = t->cost[p.choice[i]];
    for (size_t h = 0; v->head_work && h < w->heads; h++)
        for (size_t i = 0; i < tokens; i++) v->head_work[h] += t->cost[p.choice[i]];
}

static bool certify(const fov_value_profile *p, size_t heads, size_t level, fov_certificate *c) {
    (void)heads; /* one rank for all */
    if (!p->basis || level >= p->levels) return false;
    *c = (fov_certificate){p->level[level] / 2, fov_value_error_share(p->basis_error, 1, p->levels, level),
                           fov_value_error_share(p->basis_held, 1, p->levels, level)};
    return true;
}

const fov_values_row fov_values_lowrank = {
    .info = {.name = "lowrank",
             .place = FOV_PLACE_VALUES,
             .help = "calibrated low rank, higher where attention looks",
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
