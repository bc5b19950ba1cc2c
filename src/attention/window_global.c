/* window_global.c: outputs of global tokens (Longformer, section 3.1): softmax(scale q_g . (Wk x_j + bk)) over all tokens j of the
 * text, times (Wv x_j + bv), with projections Wq, Wk, Wv of their own. Only g rows need them, so no token is projected:
 *     q_g . (Wk x_j + bk) = (Wk^T q_g) . x_j + const        the constant cancels in the softmax
 *     sum_j a_j (Wv x_j + bv) = Wv (sum_j a_j x_j) + bv     as sum_j a_j = 1
 * which costs 2 g H d multiply-adds a token and not 2 C d.
 *
 * TEXTS texts at a time go through q_g -> u = Wk^T q_g -> s = x u -> a = softmax(s) -> z = a x -> y = Wv z + bv. */
#include <math.h>
#include <string.h>

#include "attention/window.h"
#include "core/memory.h"
#include "core/threads.h"
#include "kernels/gemm.h"

enum { TEXTS = 16, KEYS = 128 };

typedef struct plan {
    uint32_t *rows;        /* [TEXTS * g] rows of x of the global tokens */
    size_t *chunks;        /* [TEXTS + 1] tasks of KEYS keys before each text */
    float *q;              /* [TEXTS][g][C] */
    float *u;              /* [TEXTS] packed [g H, d] */
    float *scores;         /* [N][g H] */
    float *weights;        /* [TEXTS] [g H][keys], one after the other */
    float *z;              /* [TEXTS][g H][d] */
    float *columns, *gemm; /* [threads][longest * FOV_PANEL], [threads][fov_gemm_scratch()] */
} plan;

static size_t carve(fov_arena *arena, const fov_attention_size *s, plan *p) {
    const size_t columns = fov_mul(s->globals, s->heads), cells = fov_mul(TEXTS, columns);
    p->rows = fov_arena_take(arena, fov_mul(TEXTS, s->globals), sizeof *p->rows);
    p->chunks = fov_arena_take(arena, TEXTS + 1, sizeof *p->chunks);
    p->q = fov_arena_take(arena, fov_mul(cells, s->head_size), sizeof(float));
    p->u = fov_arena_take(arena, fov_mul(TEXTS, fov_packed_size(columns, s->width)), sizeof(float));
    p->scores = fov_arena_take(arena, fov_mul(s->tokens, columns), sizeof(float));
    p->weights = fov_arena_take(arena, fov_mul(s->tokens, columns), sizeof(float));
    p->z = fov_arena_take(arena, fov_mul(cells, s->width), sizeof(float));
    p->columns = fov_arena_take(arena, fov_mul(s->threads, fov_mul(s->longest, FOV_PANEL)), sizeof(float));
    p->gemm = fov_arena_take(arena, fov_mul(s->threads, fov_gemm_scratch()), sizeof(float));
    return arena->used;
}

size_t fov_window_global_bytes(const fov_attention_size *size) {
    plan p;
    fov_arena arena = {0};
    return carve(&arena, size, &p);
}

typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_global *g;
    plan plan;
    size_t longest, columns;     /* columns: g H, column h g + i for head h and global token i */
    size_t first, texts, before; /* the texts of this round; `before`: their first key */
} job;

static size_t keys_of(const job *j, size_t t) {
    return j->p->k_offsets[j->first + t + 1] - j->p->k_offsets[j->first + t];
}

/* A text shorter than the globals has only its own. */
static size_t globals_of(const job *j, size_t t) {
    return keys_of(j, t) < j->p->layer.globals ? keys_of(j, t) : j->p->layer.globals;
}

static size_t row_of(const job *j, size_t t) {
    return j->p->k_offsets[j->first + t] - j->before;
}

static float *gemm_scratch(const job *j, unsigned thread) {
    return j->plan.gemm + thread * fov_gemm_scratch();
}

/* q_g of the round, one gemm. Texts without tokens leave their rows as they are: nobody reads them. */
static void project_queries(const job *j) {
    const size_t width = j->p->heads * j->p->head_size, g = j->p->layer.globals;
    for (size_t t = 0; t < j->texts; t++)
        for (size_t i = 0; i < g; i++) {
            const size_t keys = keys_of(j, t), last = keys ? keys - 1 : 0, first = keys ? j->p->k_offsets[j->first + t] : 0;
            j->plan.rows[t * g + i] = (uint32_t)(first + (i < last ? i : last));
        }
    const fov_gemm q = {.n = j->texts * g,
                        .m = width,
                        .k = j->g->width,
                        .x = j->g->x,
                        .ldx = j->g->ldx,
                        .x_rows = j->plan.rows,
                        .w = j->g->q,
                        .bias = j->g->q_bias,
                        .y = j->plan.q,
                        .ldy = width};
    fov_gemm_run(j->run->kernels, &q, j->run->threads, j->plan.gemm);
}

/* u[k] = sum over the head's rows r of q[r] Wk[r, k]: lanes of the panels that hold them; the other lanes count 0. */
static void fold(const job *j, const float *q, size_t head, float *u, size_t step) {
    enum { LANES = 8 };
    const size_t d = j->g->width, first = head * j->p->head_size, end = first + j->p->head_size;
    for (size_t k = 0; k < d; k++) u[k * step] = 0;
    for (size_t p = first / FOV_PANEL; p * FOV_PANEL < end; p++) {
        float lane[FOV_PANEL] = {0};
        for (size_t r = 0; r < FOV_PANEL; r++)
            if (p * FOV_PANEL + r >= first && p * FOV_PANEL + r < end) lane[r] = q[p * FOV_PANEL + r];
        const float *w = j->g->k + p * d * FOV_PANEL;
        for (size_t k = 0; k < d; k++) {
            float part[LANES] = {0}, sum = 0;
            for (size_t r = 0; r < FOV_PANEL; r += LANES)
                for (size_t l = 0; l < LANES; l++) part[l] += lane[r + l] * w[k * FOV_PANEL + r + l];
            for (size_t l = 0; l < LANES; l++) sum += part[l];
            u[k * step] += sum;
        }
    }
}

static float *packed_u(const job *j, size_t t) {
    return j->plan.u + t * fov_packed_size(j->columns, j->g->width);
}

static void fold_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t t = index / j->p->heads, head = index % j->p->heads, g = j->p->layer.globals, d = j->g->width;
    const size_t width = j->p->heads * j->p->head_size;
    float *u = packed_u(j, t);
    for (size_t i = 0; i < g; i++) {
        const size_t column = head * g + i;
        fold(j, j->plan.q + (t * g + i) * width, head, u + column / FOV_PANEL * d * FOV_PANEL + column % FOV_PANEL, FOV_PANEL);
    }
    if (head) return;
    for (size_t c = j->columns; c < fov_panels(j->columns) * FOV_PANEL; c++) /* padding of the last panel */
        for (size_t k = 0; k < d; k++) u[(c / FOV_PANEL * d + k) * FOV_PANEL + c % FOV_PANEL] = 0;
}

/* s = x u for KEYS keys of a text. */
static void score_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    size_t t = 0;
    while (j->plan.chunks[t + 1] <= index) t++;
    const size_t from = (index - j->plan.chunks[t]) * KEYS, left = keys_of(j, t) - from, n = left < KEYS ? left : KEYS;
    const fov_gemm s = {.n = n,
                        .m = j->columns,
                        .k = j->g->width,
                        .x = j->g->x + (j->p->k_offsets[j->first + t] + from) * j->g->ldx,
                        .ldx = j->g->ldx,
                        .w = packed_u(j, t),
                        .y = j->plan.scores + (row_of(j, t) + from) * j->columns,
                        .ldy = j->columns};
    fov_gemm_block(j->run->kernels, &s, 0, n, 0, fov_panels(s.m), gemm_scratch(j, thread));
}

static void softmax_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t t = index / j->p->heads, head = index % j->p->heads, g = j->p->layer.globals, keys = keys_of(j, t);
    const uint8_t *mask = j->p->key_mask ? j->p->key_mask + j->p->k_offsets[j->first + t] : NULL;
    const float *s = j->plan.scores + row_of(j, t) * j->columns + head * g;
    float *a = j->plan.weights + row_of(j, t) * j->columns + head * g * keys;
    for (size_t i = 0; i < g; i++)
        for (size_t k = 0; k < keys; k++) {
            const bool hidden = (mask && !mask[k]) || (j->p->causal && k > i);
            a[i * keys + k] = hidden ? -INFINITY : s[k * j->columns + i];
        }
    j->run->kernels->softmax(a, keys, g, keys, j->p->scale, NULL, NULL);
}

/* z = a x for 32 features of a text. */
static void gather_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const size_t panels = fov_panels(j->g->width), t = index / panels, c = index % panels * FOV_PANEL, keys = keys_of(j, t);
    const size_t left = j->g->width - c, m = left < FOV_PANEL ? left : FOV_PANEL, first = j->p->k_offsets[j->first + t];
    float *x = j->plan.columns + thread * j->longest * FOV_PANEL;
    if (!keys) return;
    j->run->kernels->pack_n(j->g->x + first * j->g->ldx + c, j->g->ldx, keys, m, x);
    for (size_t k = 0; j->p->key_mask && k < keys; k++)
        if (!j->p->key_mask[first + k]) memset(x + k * FOV_PANEL, 0, FOV_PANEL * sizeof *x);
    const fov_gemm z = {.n = j->columns,
                        .m = m,
                        .k = keys,
                        .x = j->plan.weights + row_of(j, t) * j->columns,
                        .ldx = keys,
                        .w = x,
                        .y = j->plan.z + t * j->columns * j->g->width + c,
                        .ldy = j->g->width};
    fov_gemm_block(j->run->kernels, &z, 0, z.n, 0, 1, gemm_scratch(j, thread));
}

/* A token that sees no key has zeros for an output, not the bias. */
static bool sees_any(const job *j, size_t t, size_t token) {
    const size_t keys = keys_of(j, t), end = j->p->causal && token + 1 < keys ? token + 1 : keys;
    const uint8_t *mask = j->p->key_mask ? j->p->key_mask + j->p->k_offsets[j->first + t] : NULL;
    for (size_t k = 0; k < end; k++)
        if (!mask || mask[k]) return true;
    return false;
}

static void output_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const size_t t = index / p->heads, text = j->first + t, head = index % p->heads, d = p->head_size;
    const size_t first = p->y_offsets[text], outputs = p->y_offsets[text + 1] - first;
    float *y = p->y + fov_attention_start(p->y_strides, text, first, p->ldy, head, p->head_size);
    for (size_t o = 0; o < outputs; o++) {
        const size_t token = fov_window_output(p, text, o);
        if (token >= globals_of(j, t)) continue;
        const fov_gemm v = {.n = 1,
                            .m = d,
                            .k = j->g->width,
                            .x = j->plan.z + (t * j->columns + head * p->layer.globals + token) * j->g->width,
                            .ldx = j->g->width,
                            .w = j->g->v + head * fov_packed_size(d, j->g->width),
                            .bias = j->g->v_bias ? j->g->v_bias + head * d : NULL,
                            .y = y + o * p->ldy,
                            .ldy = p->ldy};
        if (sees_any(j, t, token))
            fov_gemm_block(j->run->kernels, &v, 0, 1, 0, fov_panels(d), gemm_scratch(j, thread));
        else
            memset(v.y, 0, d * sizeof *v.y);
    }
}

void fov_window_global_run(const fov_attention_run *run, const fov_attention *p, void *scratch) {
    job j = {.run = run, .p = p, .g = p->layer.global, .columns = p->layer.globals * p->heads};
    j.longest = fov_longest(p->k_offsets, p->texts);
    const fov_attention_size size = {.longest = j.longest,
                                     .texts = p->texts,
                                     .tokens = p->k_offsets[p->texts] - p->k_offsets[0],
                                     .heads = p->heads,
                                     .head_size = p->head_size,
                                     .threads = run->threads,
                                     .globals = p->layer.globals,
                                     .width = j.g->width};
    fov_arena arena = {scratch, 0, SIZE_MAX, false};
    if (!j.longest) return;
    carve(&arena, &size, &j.plan);
    for (; j.first < p->texts; j.first += j.texts) {
        j.texts = p->texts - j.first < TEXTS ? p->texts - j.first : TEXTS;
        j.before = p->k_offsets[j.first];
        j.plan.chunks[0] = 0;
        for (size_t t = 0; t < j.texts; t++) j.plan.chunks[t + 1] = j.plan.chunks[t] + (keys_of(&j, t) + KEYS - 1) / KEYS;
        project_queries(&j);
        fov_parallel(run->threads, j.texts * p->heads, fold_task, &j);
        fov_parallel(run->threads, j.plan.chunks[j.texts], score_task, &j);
        fov_parallel(run->threads, j.texts * p->heads, softmax_task, &j);
        fov_parallel(run->threads, j.texts * fov_panels(j.g->width), gather_task, &j);
        fov_parallel(run->threads, j.texts * p->heads, output_task, &j);
    }
}

double fov_window_global_cost(const fov_setting *setting, const fov_attention *p) {
    (void)setting;
    const double globals = (double)fov_window_globals(p), width = (double)(p->heads * p->head_size);
    const double tokens = (double)(p->k_offsets[p->texts] - p->k_offsets[0]);
    if (!p->layer.global) return 0;
    return globals * (double)p->layer.global->width * (3 * (double)p->texts * width + 2 * tokens * (double)p->heads);
}
