/* mca.c: Monte-Carlo values (Kim & Ko, "Fast Monte-Carlo Approximation of the Attention Mechanism", AAAI 2022).
 *
 * For head t and token j of a text of n tokens:
 *   p(i)  = ||W[i]||^2 / ||W||_F^2                                     eq. 6, the head's own slice of Wv
 *      or ~ sqrt(E X_i^2) ||W[i]||                                     p=calibrated: the least variance of any fixed p
 *   r_j   = clamp(ceil((n max_i A[i, j] / alpha)^2), 1, d)             eq. 9
 *   H~[j] = b + 1/r_j sum_{k < r_j} X[j, s_k] / p(s_k) W[s_k]          eq. 5; exact where r_j = d
 *
 * Shared draws: one sequence s per (text, layer, head), token j uses its first r_j draws. p does not depend on the input, so the
 * rows W[i] / p(i) are scaled once, at bind time, and a batch only reads them by index: no gather per text. Tokens are sorted by r,
 * so that the rows of a register tile share almost all of their draws. Tried and dropped: nothing yet measured as worth a line. */
#include <math.h>
#include <string.h>

#include "core/threads.h"
#include "kernels/gemm.h"
#include "values/alias.h"
#include "values/project.h"

enum { P_ALPHA, P_LENGTH, P_DRAWS, P_P };

static const fov_param_info params[] = {
    {"alpha", FOV_PARAM_FLOAT, 0, 1, 1, .03, NULL, "error coefficient of eq. 9: smaller is more exact and dearer"},
    {"length", FOV_PARAM_LENGTH, 0, 65536, 0, 0, NULL, "n of eq. 9: real length of the text, or padded:N, the paper's convention"},
    {"draws", FOV_PARAM_CHOICE, 0, 1, 0, 0, "shared|independent", "one sequence per text and head, or one per token (slower)"},
    {"p", FOV_PARAM_CHOICE, 0, 1, 0, 0, "weights|calibrated",
     "eq. 6, or sqrt(E X_i^2) ||W_i||: the least variance (needs a profile)"},
};

/* ---- bind: alias table of p and scaled rows, per head ---- */

typedef struct tables {
    uint32_t *threshold, *alias; /* [heads][d] fov_alias */
    float *scaled;               /* [heads][d][e]: W[i] / p(i) */
} tables;

static size_t carve_tables(fov_arena *arena, const fov_value_weights *w, tables *t) {
    size_t cells = fov_mul(w->heads, w->width);
    t->threshold = fov_arena_take(arena, cells, sizeof *t->threshold);
    t->alias = fov_arena_take(arena, cells, sizeof *t->alias);
    t->scaled = fov_arena_take(arena, fov_mul(cells, w->head_size), sizeof *t->scaled);
    return arena->used;
}

static fov_alias alias_of(const tables *t, size_t head, size_t d) {
    return (fov_alias){d, t->threshold + head * d, t->alias + head * d};
}

/* p(i) but for a factor. */
static double mass_of(const fov_value_weights *w, size_t head, size_t i, bool calibrated) {
    double norm = 0;
    for (size_t c = 0; c < w->head_size; c++)
        norm += (double)fov_value_weight(w, head, i, c) * (double)fov_value_weight(w, head, i, c);
    if (!calibrated) return norm;
    const double mean = (double)w->profile->mean[i];
    return sqrt(norm * (fmax(fov_profile_variance(w->profile, i), 0) + mean * mean));
}

static void bind_head(const fov_value_weights *w, size_t head, bool calibrated, double *mass, uint32_t *stack, const tables *t) {
    size_t d = w->width, e = w->head_size;
    double total = 0, top = 0;
    for (size_t i = 0; i < d; i++) {
        mass[i] = mass_of(w, head, i, calibrated);
        top = fmax(top, mass[i]);
    }
    for (size_t i = 0; i < d; i++) {
        if (calibrated && mass[i] < 1e-6 * top && mass_of(w, head, i, false) > 0)
            mass[i] = 1e-6 * top; /* a feature that was constant in calibration may vary later: unbiased all the same */
        total += mass[i];
    }
    float *scaled = t->scaled + head * d * e;
    for (size_t i = 0; i < d; i++) {
        double inverse = mass[i] > 0 ? total / mass[i] : 0; /* rows of zeros are never drawn */
        for (size_t c = 0; c < e; c++) scaled[i * e + c] = (float)((double)fov_value_weight(w, head, i, c) * inverse);
    }
    fov_alias table = alias_of(t, head, d);
    fov_alias_make(&table, mass, stack);
}

static fov_status bind(const fov_setting *setting, const fov_value_weights *w, const fov_allocator *allocator, void **bound,
                       fov_error *error) {
    const bool calibrated = setting->values[P_P] > 0;
    fov_status status = calibrated ? fov_value_need_profile(w, setting, error) : FOV_OK;
    if (status) return status;
    tables t;
    fov_arena arena = {0};
    size_t bytes = carve_tables(&arena, w, &t), d = w->width;
    void *scratch;
    status = fov_alloc_both(allocator, bytes, fov_mul(d, sizeof(double) + sizeof(uint32_t)), bound, &scratch);
    if (status) return status;
    double *mass = scratch;
    arena = (fov_arena){*bound, 0, bytes, false};
    carve_tables(&arena, w, &t);
    for (size_t h = 0; h < w->heads; h++) bind_head(w, h, calibrated, mass, (uint32_t *)(mass + d), &t);
    fov_release(allocator, mass);
    return FOV_OK;
}

/* ---- forward ---- */

enum { BLOCK_TOKENS = 128 };

typedef struct plan {
    uint32_t *sampled;       /* [heads][N]: rows to sample, text by text, r descending */
    uint32_t *count;         /* [heads][N]: their r */
    float *scale;            /* [heads][N]: 1 / r */
    uint32_t *sampled_count; /* [heads][texts] */
    uint32_t *exact;         /* [heads][N]: rows to compute densely; text by text, then moved together */
    uint32_t *exact_count;   /* [heads][texts] */
    uint32_t *blocks;        /* [texts + 1]: first text of each block */
    uint32_t *whole;         /* [N]: rows that all heads compute densely, one gemm of X packed once */
    uint32_t *hits;          /* [N]: heads that do */
    fov_gemm *gemms;         /* [heads + 1]: the last is of `whole` */
    uint64_t *keys;          /* [threads][longest] sort keys */
    uint32_t *draws;         /* [threads][d + 4] */
} plan;

static size_t carve_plan(fov_arena *arena, const fov_values_size *s, plan *p) {
    size_t cells = fov_mul(s->heads, s->tokens), pairs = fov_mul(s->heads, s->texts);
    p->sampled = fov_arena_take(arena, cells, sizeof *p->sampled);
    p->count = fov_arena_take(arena, cells, sizeof *p->count);
    p->scale = fov_arena_take(arena, cells, sizeof *p->scale);
    p->exact = fov_arena_take(arena, cells, sizeof *p->exact);
    p->sampled_count = fov_arena_take(arena, pairs, sizeof *p->sampled_count);
    p->exact_count = fov_arena_take(arena, pairs, sizeof *p->exact_count);
    p->blocks = fov_arena_take(arena, fov_add(s->texts, 1), sizeof *p->blocks);
    p->whole = fov_arena_take(arena, s->tokens, sizeof *p->whole);
    p->hits = fov_arena_take(arena, s->tokens, sizeof *p->hits);
    p->gemms = fov_arena_take(arena, fov_add(s->heads, 1), sizeof *p->gemms);
    p->keys = fov_arena_take(arena, fov_mul(s->threads, s->longest), sizeof *p->keys);
    p->draws = fov_arena_take(arena, fov_mul(s->threads, fov_add(s->width, 4)), sizeof *p->draws);
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
    plan plan;
    tables tables;
    size_t tokens, longest;
    double alpha, padded;
    bool independent;
} job;

/* Shell sort, descending: the runs are a text's tokens, mostly under a few hundred. */
static void sort_descending(uint64_t *keys, size_t n) {
    static const size_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
        size_t gap = gaps[g];
        for (size_t i = gap; i < n; i++) {
            uint64_t key = keys[i];
            size_t k = i;
            for (; k >= gap && keys[k - gap] < key; k -= gap) keys[k] = keys[k - gap];
            keys[k] = key;
        }
    }
}

/* Eq. 9. */
static uint32_t draws_of(double n, float importance, double alpha, size_t d) {
    double r = n * (double)importance / alpha;
    r = ceil(r * r);
    if (!(r < (double)d)) return (uint32_t)d; /* NaN importance is computed exactly and stays NaN where it belongs */
    return r < 1 ? 1 : (uint32_t)r;
}

/* Plan one (text, head): counts, exact rows, sampled rows by descending r; then sample. */
static void sample_text(const job *j, size_t text, size_t head, unsigned thread) {
    const fov_value_weights *w = j->run->weights;
    size_t d = w->width, e = w->head_size;
    size_t first = j->v->offsets[text], n = j->v->offsets[text + 1] - first, at = head * j->tokens + first;
    uint32_t *exact = j->plan.exact + at, *rows = j->plan.sampled + at, *count = j->plan.count + at;
    float *scale = j->plan.scale + at;
    uint64_t *keys = j->plan.keys + thread * j->longest;
    uint32_t *index = j->plan.draws + thread * (d + 4);
    double length = j->padded > 0 ? j->padded : (double)n;
    uint32_t exact_count = 0, sampled = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = draws_of(length, j->v->col_max[at + i], j->alpha, d);
        if (r >= d)
            exact[exact_count++] = (uint32_t)(first + i);
        else
            keys[sampled++] = (uint64_t)r << 32 | (uint32_t)~i; /* equal r: lower row first */
    }
    j->plan.exact_count[head * j->v->texts + text] = exact_count;
    j->plan.sampled_count[head * j->v->texts + text] = sampled;
    if (!sampled) return;
    sort_descending(keys, sampled);
    for (uint32_t k = 0; k < sampled; k++) {
        count[k] = (uint32_t)(keys[k] >> 32);
        rows[k] = (uint32_t)first + ~(uint32_t)keys[k];
        scale[k] = 1.f / (float)count[k];
    }
    fov_sampled s = {.n = sampled,
                     .e = e,
                     .x = j->v->x,
                     .ldx = j->v->ldx,
                     .rows = rows,
                     .count = count,
                     .index = index,
                     .w = j->tables.scaled + head * d * e,
                     .bias = w->bias ? w->bias + head * e : NULL,
                     .scale = scale,
                     .y = j->v->v + head * e,
                     .ldy = j->v->ldv};
    fov_alias table = alias_of(&j->tables, head, d);
    uint64_t hash = j->v->hashes[text];
    if (!j->independent) {
        fov_alias_draw(&table, fov_rng_stream(j->v->seed, hash, j->v->layer, (uint32_t)head, 0), count[0], index);
        j->run->kernels->sampled(&s);
        return;
    }
    for (uint32_t k = 0; k < sampled; k++) {
        uint32_t position = rows[k] - (uint32_t)first;
        fov_alias_draw(&table, fov_rng_stream(j->v->seed, hash, j->v->layer, (uint32_t)head, 1 + position), count[k], index);
        fov_sampled one = s;
        one.n = 1;
        one.rows = rows + k;
        one.count = count + k;
        one.scale = scale + k;
        j->run->kernels->sampled(&one);
    }
}

/* A block of texts and one head: the head's scaled rows (d e floats) and the block's X stay in the second-level cache. */
static void sample_task(void *context, size_t task, unsigned thread) {
    const job *j = context;
    size_t heads = j->run->weights->heads, block = task / heads;
    for (size_t text = j->plan.blocks[block]; text < j->plan.blocks[block + 1]; text++) sample_text(j, text, task % heads, thread);
}

/* Cut the texts in blocks of about BLOCK_TOKENS; returns how many. */
static size_t cut_blocks(const fov_values *v, uint32_t *blocks) {
    size_t count = 0, tokens = 0;
    blocks[0] = 0;
    for (size_t b = 0; b < v->texts; b++) {
        tokens += v->offsets[b + 1] - v->offsets[b];
        if (tokens < BLOCK_TOKENS && b + 1 < v->texts) continue;
        blocks[++count] = (uint32_t)b + 1;
        tokens = 0;
    }
    return count;
}

/* Move a head's exact rows, listed text by text with gaps, together. */
static size_t gather_exact(const job *j, size_t head) {
    uint32_t *list = j->plan.exact + head * j->tokens;
    size_t total = 0;
    for (size_t b = 0; b < j->v->texts; b++) {
        size_t n = j->plan.exact_count[head * j->v->texts + b];
        memmove(list + total, list + j->v->offsets[b], n * sizeof *list);
        total += n;
    }
    return total;
}

/* The gemms of the exact rows. Where the heads' panels are one matrix, rows that are exact in every head leave the heads' lists. */
static void plan_gemms(const job *j) {
    const fov_value_weights *w = j->run->weights;
    const size_t first = j->v->offsets[0];
    size_t whole = 0;
    memset(j->plan.hits + first, 0, (j->tokens - first) * sizeof *j->plan.hits);
    for (size_t h = 0; h < w->heads; h++) {
        const uint32_t *list = j->plan.exact + h * j->tokens;
        const size_t n = gather_exact(j, h);
        j->plan.gemms[h] = fov_value_gemm(w, j->v, h, list, n);
        for (size_t i = 0; i < n; i++) j->plan.hits[list[i]]++;
    }
    for (size_t i = first; w->head_size % FOV_PANEL == 0 && i < j->tokens; i++)
        if (j->plan.hits[i] == w->heads) j->plan.whole[whole++] = (uint32_t)i;
    for (size_t h = 0; h < w->heads && whole; h++) {
        uint32_t *list = j->plan.exact + h * j->tokens;
        size_t kept = 0;
        for (size_t i = 0; i < j->plan.gemms[h].n; i++)
            if (j->plan.hits[list[i]] < w->heads) list[kept++] = list[i];
        j->plan.gemms[h].n = kept;
    }
    j->plan.gemms[w->heads] = fov_value_gemm(w, j->v, 0, j->plan.whole, whole);
    j->plan.gemms[w->heads].m = w->heads * w->head_size;
}

static void account(const job *j) {
    const fov_value_weights *w = j->run->weights;
    float *work = j->v->work, *head_work = j->v->head_work;
    const fov_gemm *whole = &j->plan.gemms[w->heads];
    double draws = 0, exact = (double)(whole->n * w->heads), per_head = 1 / (double)w->heads;
    for (size_t i = j->v->offsets[0]; work && i < j->tokens; i++) work[i] = 0;
    for (size_t i = 0; work && i < whole->n; i++) work[whole->x_rows[i]] = 1;
    for (size_t h = 0; h < w->heads; h++) {
        const fov_gemm *g = &j->plan.gemms[h];
        exact += (double)g->n;
        if (head_work) head_work[h] += (float)(whole->n + g->n);
        for (size_t i = 0; work && i < g->n; i++) work[g->x_rows[i]] += (float)per_head;
        for (size_t b = 0; b < j->v->texts; b++) {
            size_t at = h * j->tokens + j->v->offsets[b];
            for (size_t k = 0; k < j->plan.sampled_count[h * j->v->texts + b]; k++) {
                draws += j->plan.count[at + k];
                if (head_work) head_work[h] += (float)j->plan.count[at + k] / (float)w->width;
                if (work) work[j->plan.sampled[at + k]] += (float)(per_head * j->plan.count[at + k] / (double)w->width);
            }
        }
    }
    *j->run->multiply_adds += (draws + exact * (double)w->width) * (double)w->head_size;
}

static void forward(const fov_values_run *run, const fov_values *v) {
    const fov_value_weights *w = run->weights;
    job j = {.run = run,
             .v = v,
             .tokens = v->offsets[v->texts],
             .alpha = run->setting->values[P_ALPHA],
             .padded = run->setting->values[P_LENGTH],
             .independent = run->setting->values[P_DRAWS] > 0};
    fov_values_size size = fov_value_size(run, v);
    size.tokens = j.tokens; /* rows before the first text too */
    j.longest = size.longest;
    fov_arena arena = {run->scratch, 0, SIZE_MAX, false};
    carve_plan(&arena, &size, &j.plan);
    arena = (fov_arena){(unsigned char *)run->bound, 0, SIZE_MAX, false};
    carve_tables(&arena, w, &j.tables);

    fov_parallel(run->threads, cut_blocks(v, j.plan.blocks) * w->heads, sample_task, &j);
    plan_gemms(&j);
    fov_gemm_run_all(run->kernels, j.plan.gemms, w->heads + 1, run->threads, run->gemm_scratch);
    account(&j);
}

static bool needs_profile(const fov_setting *setting) {
    return setting->values[P_P] > 0;
}

const fov_values_row fov_values_mca = {
    .info = {.name = "mca",
             .place = FOV_PLACE_VALUES,
             .help = "Monte-Carlo values: features of X sampled, more where attention looks",
             .citation = "Kim & Ko, Fast Monte-Carlo Approximation of the Attention Mechanism, AAAI 2022",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_NEEDS_IMPORTANCE | FOV_METHOD_RANDOM,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .needs_max = true,
    .needs_profile = needs_profile,
    .bind = bind,
    .workspace = workspace,
    .forward = forward,
};
