/* fastmax.c: Fastmax attention, Y = f(Q K^T) V over its row sums, f(x) = 1 + x or 1 + x + x^2 / 2 (Gerami, Hoover, Dulepet and
 * Duraiswami, "FAST: Factorizable Attention for Speeding up Transformers", arXiv 2402.07901), text by text and head by head.
 *
 * Two forms give the same result up to rounding: all pairs, in blocks of rows and keys, and the moments of fastmax_moments.c, whose
 * cost is linear in T. A text's own size decides. Causal moments: blocks of keys in order; a query reads the moments of earlier
 * blocks and joins the pairs of its own block. Memory is linear in T. Queries in ascending order of position need one walk over
 * the keys; each descent starts another. */
#include <math.h>
#include <string.h>

#include "attention/fastmax.h"
#include "attention/fastmax_stream.h"
#include "core/threads.h"

enum { FORM_AUTO, FORM_PAIRS, FORM_MOMENTS };

static const float least_share = 0x1p-20f; /* of a row sum in its number of keys: below, p = 1 is rounding alone */

fov_fastmax fov_fastmax_of(const fov_setting *setting, size_t head_size) {
    fov_fastmax f = {.d = head_size,
                     .block = (size_t)fov_setting_get(setting, "block"),
                     .p = (int)fov_setting_get(setting, "p"),
                     .normalize = (int)fov_setting_get(setting, "normalize")};
    f.features = fov_add(1, f.d);
    if (f.p == 2) f.features = fov_add(f.features, fov_mul(f.d, fov_add(f.d, 1)) / 2);
    return f;
}

/* Arrays of `blocks` blocks of keys, listed in s->keys. */
static void carve_keys(fov_arena *arena, const fov_fastmax *f, fov_fastmax_scratch *s) {
    const size_t all = fov_mul(s->blocks, f->block), k_size = fov_packed_size(f->block, f->d),
                 v_size = fov_packed_size(f->d, f->block);
    s->keys = fov_arena_take(arena, s->blocks, sizeof *s->keys);
    uint32_t *position = fov_arena_take(arena, all, sizeof *position);
    float *rows = fov_arena_take(arena, fov_mul(all, f->d), sizeof *rows);
    float *values = fov_arena_take(arena, fov_mul(f->block, f->d), sizeof *values);
    float *packed_k = fov_arena_take(arena, fov_mul(s->blocks, k_size), sizeof *packed_k);
    float *packed_v = fov_arena_take(arena, fov_mul(s->blocks, v_size), sizeof *packed_v);
    if (!arena->block || arena->overflow) return;
    for (size_t i = 0; i < s->blocks; i++)
        s->keys[i] = (fov_fastmax_keys){.position = position + i * f->block,
                                        .rows = rows + i * f->block * f->d,
                                        .values = values,
                                        .packed_k = packed_k + i * k_size,
                                        .packed_v = packed_v + i * v_size};
}

size_t fov_fastmax_carve(fov_arena *arena, const fov_fastmax *f, size_t longest, fov_fastmax_scratch *s) {
    const size_t blocks = fov_add(longest, f->block - 1) / f->block, rows = FOV_FASTMAX_ROWS;
    const size_t by_rows = fov_mul(rows, f->features), by_keys = fov_mul(FOV_FASTMAX_FEATURES, f->block);
    s->blocks = blocks ? blocks : 1;
    carve_keys(arena, f, s);
    s->rows.q = fov_arena_take(arena, fov_mul(rows, f->d), sizeof(float));
    s->rows.sums = fov_arena_take(arena, fov_mul(rows, f->d), sizeof(float));
    s->rows.g = fov_arena_take(arena, rows, sizeof(float));
    s->rows.seen = fov_arena_take(arena, rows, sizeof(float));
    s->rows.position = fov_arena_take(arena, rows, sizeof(size_t));
    s->moments.m = fov_arena_take(arena, fov_packed_size(f->d, f->features), sizeof(float));
    s->moments.z = fov_arena_take(arena, f->features, sizeof(float));
    s->features = fov_arena_take(arena, by_rows > by_keys ? by_rows : by_keys, sizeof(float));
    s->transposed = fov_arena_take(arena, fov_mul(f->d, f->block), sizeof(float));
    s->scores = fov_arena_take(arena, fov_mul(rows, f->block), sizeof(float));
    s->packed_x = fov_arena_take(arena, fov_packed_size(f->d, f->block > f->d ? f->block : f->d), sizeof(float));
    s->gram = fov_arena_take(arena, fov_mul(f->d, f->d), sizeof(float));
    s->products = fov_arena_take(arena, fov_mul(rows, f->d), sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    return arena->used;
}

static double pairs_cost(double queries, double keys, size_t head_size, bool causal) {
    return (causal ? 1 : 2) * queries * keys * (double)head_size;
}

static double moments_cost(const fov_fastmax *f, double queries, double keys) {
    return (queries + keys) * (double)f->features * (double)f->d;
}

bool fov_fastmax_factorised(const fov_setting *setting, double queries, double keys, size_t head_size, bool causal) {
    const int form = (int)fov_setting_get(setting, "form");
    const fov_fastmax f = fov_fastmax_of(setting, head_size);
    if (form != FORM_AUTO) return form == FORM_MOMENTS;
    return moments_cost(&f, queries, keys) < pairs_cost(queries, keys, head_size, causal);
}

/* Keys of a block that the row may see. */
static size_t visible(const fov_fastmax_keys *keys, size_t last) {
    size_t n = keys->n;
    if (last == SIZE_MAX) return 0;
    while (n && keys->position[n - 1] > last) n--;
    return n;
}

void fov_fastmax_add_pairs(const fov_fastmax_task *t, const fov_fastmax_keys *keys) {
    const fov_fastmax_rows *r = &t->s.rows;
    const size_t d = t->f.d, ld = t->f.block;
    if (!keys->n) return;
    float *scores = t->s.scores;
    const fov_gemm qk = {.n = r->n, .m = keys->n, .k = d, .x = r->q, .ldx = d, .w = keys->packed_k, .y = scores, .ldy = ld};
    fov_gemm_block(t->kernels, &qk, 0, r->n, 0, fov_panels(keys->n), t->s.gemm);
    for (size_t i = 0; i < r->n; i++) {
        float *row = scores + i * ld;
        const size_t n = t->h.causal ? visible(keys, r->position[i]) : keys->n;
        if (t->f.p == 2)
            for (size_t j = 0; j < n; j++) row[j] = 1 + row[j] * (1 + .5f * row[j]);
        else
            for (size_t j = 0; j < n; j++) row[j] += 1;
        for (size_t j = n; j < keys->n; j++) row[j] = 0;
        r->g[i] += fov_fastmax_dot(row, NULL, n);
        r->seen[i] += (float)n;
    }
    const fov_gemm av = {.n = r->n,
                         .m = d,
                         .k = keys->n,
                         .x = scores,
                         .ldx = ld,
                         .w = keys->packed_v,
                         .residual = r->sums,
                         .ldr = d,
                         .y = r->sums,
                         .ldy = d};
    fov_gemm_block(t->kernels, &av, 0, r->n, 0, fov_panels(d), t->s.gemm);
}

bool fov_fastmax_lost(float g, float keys) {
    return fabsf(g) < least_share * keys;
}

float fov_fastmax_guarded(float g, float keys) {
    return fov_fastmax_lost(g, keys) ? copysignf(least_share * keys, g) : g;
}

static void add_moments(const fov_fastmax_task *t, const fov_fastmax_keys *keys) {
    fov_fastmax_moments_add(&t->f, t->kernels, keys->rows, NULL, keys->packed_v, keys->n, &t->s);
}

void fov_fastmax_read_moments(const fov_fastmax_task *t) {
    const fov_fastmax_rows *r = &t->s.rows;
    fov_fastmax_moments_read(&t->f, t->kernels, r->q, r->n, r->sums, r->g, &t->s);
    for (size_t i = 0; i < r->n; i++) r->seen[i] = t->s.moments.z[0];
}

static void write_rows(const fov_fastmax_task *t, size_t o) {
    const fov_fastmax_rows *r = &t->s.rows;
    for (size_t i = 0; i < r->n; i++) {
        const float by = r->seen[i] > 0 ? 1 / fov_fastmax_guarded(r->g[i], r->seen[i]) : 0;
        float *y = t->h.y + (o + i) * t->h.ldy;
        for (size_t c = 0; c < t->f.d; c++) y[c] = r->seen[i] > 0 ? r->sums[i * t->f.d + c] * by : 0;
    }
}

static void run_pairs(fov_fastmax_task *t) {
    size_t blocks = 0;
    for (size_t first = 0; first < t->h.keys; first = t->s.keys[blocks++].end) fov_fastmax_load_keys(t, first, &t->s.keys[blocks]);
    for (size_t o = 0; o < t->h.outputs; o += t->s.rows.n) {
        fov_fastmax_load_rows(t, o, 0, SIZE_MAX);
        for (size_t b = 0; b < blocks; b++) fov_fastmax_add_pairs(t, &t->s.keys[b]);
        write_rows(t, o);
    }
}

static void run_moments(fov_fastmax_task *t) {
    fov_fastmax_keys *keys = t->s.keys;
    fov_fastmax_moments_clear(&t->f, &t->s.moments);
    for (size_t first = 0; first < t->h.keys; first = keys->end) {
        fov_fastmax_load_keys(t, first, keys);
        add_moments(t, keys);
    }
    for (size_t o = 0; o < t->h.outputs; o += t->s.rows.n) {
        fov_fastmax_load_rows(t, o, 0, SIZE_MAX);
        fov_fastmax_read_moments(t);
        write_rows(t, o);
    }
}

/* Blocks of keys in order, each with the rows whose last key is in it. */
static void run_causal_moments(fov_fastmax_task *t) {
    fov_fastmax_keys *keys = t->s.keys;
    keys->first = SIZE_MAX; /* none loaded */
    for (size_t o = 0; o < t->h.outputs; o += t->s.rows.n) {
        const size_t last = fov_fastmax_last_key(&t->h, o);
        if (last != SIZE_MAX && last < keys->first) {
            fov_fastmax_moments_clear(&t->f, &t->s.moments);
            fov_fastmax_load_keys(t, 0, keys);
        }
        while (last != SIZE_MAX && last >= keys->end) {
            add_moments(t, keys);
            fov_fastmax_load_keys(t, keys->end, keys);
        }
        const bool none = last == SIZE_MAX;
        fov_fastmax_load_rows(t, o, none ? SIZE_MAX : keys->first, none ? SIZE_MAX : keys->end - 1);
        if (!none) {
            fov_fastmax_read_moments(t);
            fov_fastmax_add_pairs(t, keys);
        }
        write_rows(t, o);
    }
}

/* ---- the row ---- */

typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    fov_fastmax f;
    size_t per_thread, longest; /* bytes; keys */
} job;

static void forward_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    fov_fastmax_task t = {
        .f = j->f, .h = fov_fastmax_head_of(&j->f, j->p, index / j->p->heads, index % j->p->heads), .kernels = j->run->kernels};
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    fov_fastmax_carve(&arena, &j->f, j->longest, &t.s);
    if (!fov_fastmax_factorised(j->run->setting, (double)t.h.outputs, (double)t.h.keys, t.f.d, t.h.causal))
        run_pairs(&t);
    else if (t.h.causal)
        run_causal_moments(&t);
    else
        run_moments(&t);
}

static void forward(const fov_attention_run *run, const fov_attention *p) {
    job j = {.run = run, .p = p, .f = fov_fastmax_of(run->setting, p->head_size), .longest = fov_longest(p->k_offsets, p->texts)};
    fov_fastmax_scratch s;
    fov_arena arena = {0};
    j.per_thread = fov_fastmax_carve(&arena, &j.f, j.longest, &s);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), forward_task, &j);
}

static size_t workspace(const fov_setting *setting, const fov_attention_size *size) {
    const fov_fastmax f = fov_fastmax_of(setting, size->head_size);
    fov_fastmax_scratch s;
    fov_arena arena = {0};
    return fov_mul(size->threads, fov_fastmax_carve(&arena, &f, size->longest, &s));
}

static double cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size) {
    const fov_fastmax f = fov_fastmax_of(setting, head_size);
    const double q = (double)queries, k = (double)keys;
    return fov_fastmax_factorised(setting, q, k, head_size, false) ? moments_cost(&f, q, k) : pairs_cost(q, k, head_size, false);
}

static const fov_param_info params[] = {
    {"p", FOV_PARAM_INT, 1, 2, 0, 2, NULL, "order of the polynomial that stands for exp"},
    {"normalize", FOV_PARAM_CHOICE, 0, 2, 0, FOV_FASTMAX_STANDARDIZE, "none|l2max|standardize",
     "rows of q and k: as they are, over the text's largest norm, or to mean 0 and deviation 1"},
    {"form", FOV_PARAM_CHOICE, 0, 2, 0, FORM_AUTO, "auto|pairs|moments",
     "auto: the cheaper for the text's length; pairs is quadratic in it, moments linear"},
    {"block", FOV_PARAM_INT, 1, 4096, 0, 256, NULL, "keys at a time: speed and memory"},
};

const fov_attention_row fov_attention_fastmax = {
    .info = {.name = "fastmax",
             .place = FOV_PLACE_ATTENTION,
             .help = "a polynomial of order p in place of exp: linear in the length of a text",
             .citation = "Gerami et al., FAST: Factorizable Attention for Speeding up Transformers, arXiv 2402.07901, 2024",
             .flags = FOV_METHOD_HAS_BACKWARD | FOV_METHOD_CAUSAL,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .can_be_causal = fov_fastmax_streams,
    .workspace = workspace,
    .forward = forward,
    .cost = cost,
    .backward_workspace = fov_fastmax_backward_workspace,
    .backward = fov_fastmax_backward,
};
