/* window.c: sliding-window attention with global tokens (Beltagy, Peters, Cohan, "Longformer: The Long-Document Transformer",
 * 2020). Query i sees the keys |i - j| <= w / 2 and the g leading (global) tokens, all with the local q, k and v; the global
 * tokens' own outputs come from projections of their own and all tokens: window_global.c.
 *
 * Queries fall into blocks of ROWS on a fixed grid of positions. A block's scores are one dense matrix of the columns
 *     [ 0 .. g ) and [ lo .. hi ),   lo = block start - w / 2, down to a panel; hi = block end + w / 2
 * in which what lies outside a row's own band is -infinity. So the columns of a row depend on its position alone, and its bits
 * neither on the other rows nor on whether the weights are stored. Stored weights keep this layout: queries rows of
 * stride() floats; memory is linear in T. K and V of a head are packed once; no overlapping chunks are copied. */
#include "attention/window.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "core/threads.h"

enum { P_W };
enum { ROWS = 64 }; /* two panels, so that with w a multiple of 64 a block computes w + 64 columns for the w + 1 that a row needs */

static const fov_param_info params[] = {
    {"w", FOV_PARAM_INT, 1, 1000000, 0, 256, NULL, "window: keys at most w / 2 (rounded down) before and after the query"},
};

typedef struct span {
    size_t lo, hi;
} span;

/* Keys of the band of a block of positions. */
static span span_of(size_t half, bool causal, size_t position, size_t keys) {
    const size_t start = position / ROWS * ROWS, lo = start > half ? (start - half) / FOV_PANEL * FOV_PANEL : 0;
    if (lo >= keys) return (span){0, 0};
    const size_t end = start + ROWS + (causal ? 0 : half);
    return (span){lo, end < keys ? end : keys};
}

/* Columns of the widest block: floats of a row of stored weights. */
static size_t stride(size_t half, size_t globals, size_t keys) {
    const size_t widest = ROWS + 2 * half + (FOV_PANEL - half % FOV_PANEL) % FOV_PANEL;
    return globals + (widest < keys ? widest : keys);
}

static size_t half_of(const fov_setting *setting) {
    return (size_t)setting->values[P_W] / 2;
}

static size_t weight_floats(const fov_setting *setting, size_t globals, size_t queries, size_t keys) {
    return fov_mul(queries, stride(half_of(setting), globals, keys));
}

/* ---- memory ---- */

typedef struct scratch {
    float *packed_k, *packed_v, *scores, *col_max, *col_energy, *gemm;
} scratch;

static size_t carve(fov_arena *arena, size_t longest, size_t head_size, size_t columns, scratch *s) {
    s->packed_k = fov_arena_take(arena, fov_packed_size(longest, head_size), sizeof(float));
    s->packed_v = fov_arena_take(arena, fov_packed_size(head_size, longest), sizeof(float));
    s->scores = fov_arena_take(arena, fov_mul(ROWS, columns), sizeof(float));
    s->col_max = fov_arena_take(arena, columns, sizeof(float));
    s->col_energy = fov_arena_take(arena, columns, sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    return arena->used;
}

static size_t workspace(const fov_setting *setting, const fov_attention_size *size) {
    scratch s;
    fov_arena arena = {0};
    const size_t columns = stride(half_of(setting), size->globals, size->longest);
    const size_t band = fov_mul(size->threads, carve(&arena, size->longest, size->head_size, columns, &s));
    const size_t global = size->globals ? fov_window_global_bytes(size) : 0;
    return band > global ? band : global; /* one after the other */
}

/* What the tasks of one call share. */
typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_weight_set *w;
    size_t half, globals, longest;
    size_t per_thread; /* bytes */
} job;

static job job_of(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *w) {
    job j = {.run = run, .p = p, .w = w, .half = half_of(run->setting), .globals = fov_window_globals(p)};
    for (size_t b = 0; b < p->texts; b++) {
        const size_t keys = p->k_offsets[b + 1] - p->k_offsets[b];
        if (keys > j.longest) j.longest = keys;
    }
    scratch s;
    fov_arena arena = {0};
    j.per_thread = carve(&arena, j.longest, p->head_size, stride(j.half, j.globals, j.longest), &s);
    return j;
}

/* ---- one text and head ---- */

typedef struct head_view {
    const job *j;
    scratch s;
    size_t text, keys, queries, outputs;
    size_t globals, stride;
    size_t packed; /* keys packed: those that the outputs need */
    const float *q, *k, *v;
    float *y;
    const uint32_t *y_query;
    const uint8_t *mask;
} head_view;

static head_view view_of(const job *j, size_t text, size_t head, unsigned thread) {
    const fov_attention *p = j->p;
    const size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text];
    head_view h = {
        .j = j,
        .text = text,
        .queries = p->q_offsets[text + 1] - q,
        .keys = p->k_offsets[text + 1] - k,
        .outputs = p->y_offsets[text + 1] - y,
        .q = p->q + fov_attention_start(p->q_strides, text, q, p->ldq, head, p->head_size),
        .k = p->k + fov_attention_start(p->k_strides, text, k, p->ldk, head, p->head_size),
        .v = p->v ? p->v + fov_attention_start(p->v_strides, text, k, p->ldv, head, p->head_size) : NULL,
        .y = p->y ? p->y + fov_attention_start(p->y_strides, text, y, p->ldy, head, p->head_size) : NULL,
        .y_query = p->y_query ? p->y_query + y : NULL,
        .mask = p->key_mask ? p->key_mask + k : NULL,
    };
    h.globals = j->globals < h.keys ? j->globals : h.keys;
    h.stride = stride(j->half, j->globals, h.keys);
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->longest, p->head_size, stride(j->half, j->globals, j->longest), &h.s);
    return h;
}

static span span_at(const head_view *h, size_t position) {
    return span_of(h->j->half, h->j->p->causal, position, h->keys);
}

/* Rows first, first + 1, ... of one block of positions: how many, at most ROWS. */
static size_t run_length(const head_view *h, size_t first, size_t count,
                         size_t (*position)(const fov_attention *, size_t, size_t)) {
    const size_t block = position(h->j->p, h->text, first) / ROWS;
    size_t n = 1;
    while (n < ROWS && first + n < count && position(h->j->p, h->text, first + n) / ROWS == block) n++;
    return n;
}

/* Whether no output of [first, first + n) is a local one: window_global.c makes the others. */
static bool all_global(const head_view *h, size_t first, size_t n) {
    for (size_t o = first; o < first + n; o++)
        if (fov_window_output(h->j->p, h->text, o) >= h->globals) return false;
    return true;
}

/* Keys [0, extent) serve every local output. */
static size_t extent(const head_view *h) {
    size_t most = 0;
    for (size_t o = 0; o < h->outputs; o++) {
        const size_t position = fov_window_output(h->j->p, h->text, o), hi = span_at(h, position).hi;
        if (position < h->globals) continue;
        if (most < h->globals) most = h->globals;
        if (most < hi) most = hi;
    }
    return most;
}

static void pack_values(const head_view *h) {
    const size_t d = h->j->p->head_size;
    h->j->run->kernels->pack_n(h->v, h->j->p->ldv, h->packed, d, h->s.packed_v);
    for (size_t k = 0; h->mask && k < h->packed; k++) /* a key that is not there may hold anything: 0 NaN is NaN */
        for (size_t p = 0; !h->mask[k] && p < fov_panels(d); p++)
            memset(h->s.packed_v + (p * h->packed + k) * FOV_PANEL, 0, FOV_PANEL * sizeof(float));
}

static void mask_row(const head_view *h, size_t position, span b, float *s) {
    const size_t g = h->globals, half = h->j->half;
    const bool causal = h->j->p->causal, nowhere = position == FOV_WINDOW_NOWHERE;
    for (size_t k = 0; k < g; k++)
        if (nowhere || (causal && k > position) || (h->mask && !h->mask[k])) s[k] = -INFINITY;
    size_t first = position > half ? position - half : 0, last = position + (causal ? 0 : half);
    if (first < g) first = g;
    s += g;
    for (size_t k = b.lo; k < b.hi; k++)
        if (nowhere || k < first || k > last || (h->mask && !h->mask[k])) s[k - b.lo] = -INFINITY;
}

/* Weights of n queries of one block: rows query.. of the text, or those listed. */
static void weigh(const head_view *h, size_t query, const uint32_t *list, size_t n, span b, float *a, float *col_max,
                  float *col_energy) {
    const fov_attention *p = h->j->p;
    fov_gemm g = {.n = n,
                  .m = h->globals,
                  .k = p->head_size,
                  .x = list ? h->q : h->q + query * p->ldq,
                  .ldx = p->ldq,
                  .x_rows = list,
                  .w = h->s.packed_k,
                  .y = a,
                  .ldy = h->stride};
    const fov_kernels *kernels = h->j->run->kernels;
    kernels->gemm_block(&g, 0, n, 0, fov_panels(g.m), h->s.gemm);
    g.m = b.hi - b.lo;
    g.w = h->s.packed_k + b.lo * p->head_size;
    g.y = a + h->globals;
    kernels->gemm_block(&g, 0, n, 0, fov_panels(g.m), h->s.gemm);
    for (size_t i = 0; i < n; i++) mask_row(h, fov_window_position(p, h->text, list ? list[i] : query + i), b, a + i * h->stride);
    kernels->softmax(a, h->stride, n, h->globals + b.hi - b.lo, p->scale, col_max, col_energy);
}

/* y[i] = a[rows[i]] V for n rows of one block. V is [panel][key][32], so each panel of columns is a gemm over a range of keys. */
static void value_rows(const head_view *h, const float *a, const uint32_t *rows, size_t n, span b, float *y) {
    const fov_attention *p = h->j->p;
    const size_t d = p->head_size, band = b.hi - b.lo;
    for (size_t i = 0; !band && !h->globals && i < n; i++) memset(y + i * p->ldy, 0, d * sizeof *y);
    for (size_t c = 0; c < d; c += FOV_PANEL) {
        fov_gemm g = {.n = n,
                      .m = d - c < FOV_PANEL ? d - c : FOV_PANEL,
                      .k = band,
                      .x = a + h->globals,
                      .ldx = h->stride,
                      .x_rows = rows,
                      .w = h->s.packed_v + c * h->packed + b.lo * FOV_PANEL,
                      .y = y + c,
                      .ldy = p->ldy};
        if (band) h->j->run->kernels->gemm_block(&g, 0, n, 0, 1, h->s.gemm);
        g.k = h->globals;
        g.x = a;
        g.w = h->s.packed_v + c * h->packed;
        g.residual = band ? g.y : NULL;
        g.ldr = p->ldy;
        if (h->globals) h->j->run->kernels->gemm_block(&g, 0, n, 0, 1, h->s.gemm);
    }
}

/* ---- forward ---- */

static void forward_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    head_view h = view_of(j, index / p->heads, index % p->heads, thread);
    h.packed = extent(&h);
    j->run->kernels->pack_t(h.k, p->ldk, h.packed, p->head_size, h.s.packed_k);
    pack_values(&h);
    for (size_t o = 0, n; o < h.outputs; o += n) {
        n = run_length(&h, o, h.outputs, fov_window_output);
        if (all_global(&h, o, n)) continue;
        /* y may be q: a block's queries are read before its outputs are written. */
        const span b = span_at(&h, fov_window_output(p, h.text, o));
        weigh(&h, o, h.y_query ? h.y_query + o : NULL, n, b, h.s.scores, NULL, NULL);
        value_rows(&h, h.s.scores, NULL, n, b, h.y + o * p->ldy);
    }
}

static void forward(const fov_attention_run *run, const fov_attention *p) {
    job j = job_of(run, p, NULL);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), forward_task, &j);
    if (j.globals) fov_window_global_run(run, p, run->scratch);
}

/* ---- stored weights ---- */

static float *weights_of(const head_view *h, size_t head) {
    const job *j = h->j;
    return j->w->weights + j->p->heads * j->w->starts[h->text] + head * h->queries * h->stride;
}

/* Importance of a block's columns into that of the text's keys. */
static void merge(const head_view *h, span b, float *col_max, float *col_energy) {
    for (size_t c = 0; c < h->globals + b.hi - b.lo; c++) {
        const size_t k = c < h->globals ? c : b.lo + c - h->globals;
        if (col_max && (h->s.col_max[c] > col_max[k] || isnan(h->s.col_max[c]))) col_max[k] = h->s.col_max[c]; /* NaN stays */
        if (col_energy) col_energy[k] += h->s.col_energy[c];
    }
}

/* Global tokens count with their local weights too, though those make no output. */
static void weights_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const size_t text = index / p->heads, head = index % p->heads, keys = p->k_offsets[p->texts];
    head_view h = view_of(j, text, head, thread);
    float *col_max = j->w->col_max ? j->w->col_max + head * keys + p->k_offsets[text] : NULL;
    float *col_energy = j->w->col_energy ? j->w->col_energy + head * keys + p->k_offsets[text] : NULL;
    if (col_max) memset(col_max, 0, h.keys * sizeof *col_max);
    if (col_energy) memset(col_energy, 0, h.keys * sizeof *col_energy);
    float *a = weights_of(&h, head);
    h.packed = h.keys;
    j->run->kernels->pack_t(h.k, p->ldk, h.packed, p->head_size, h.s.packed_k);
    for (size_t i = 0, n; i < h.queries; i += n) {
        n = run_length(&h, i, h.queries, fov_window_position);
        const span b = span_at(&h, fov_window_position(p, text, i));
        const size_t columns = h.globals + b.hi - b.lo;
        memset(h.s.col_max, 0, columns * sizeof *h.s.col_max);
        memset(h.s.col_energy, 0, columns * sizeof *h.s.col_energy);
        weigh(&h, i, NULL, n, b, a + i * h.stride, col_max ? h.s.col_max : NULL, col_energy ? h.s.col_energy : NULL);
        merge(&h, b, col_max, col_energy);
    }
}

static void weights(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *out) {
    job j = job_of(run, p, out);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), weights_task, &j);
}

static void apply_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    head_view h = view_of(j, index / p->heads, index % p->heads, thread);
    const float *a = weights_of(&h, index % p->heads);
    h.packed = extent(&h);
    pack_values(&h);
    for (size_t o = 0, n; o < h.outputs; o += n) {
        n = run_length(&h, o, h.outputs, fov_window_output);
        if (all_global(&h, o, n)) continue;
        const span b = span_at(&h, fov_window_output(p, h.text, o));
        value_rows(&h, h.y_query ? a : a + o * h.stride, h.y_query ? h.y_query + o : NULL, n, b, h.y + o * p->ldy);
    }
}

static void apply(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *in) {
    job j = job_of(run, p, in);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), apply_task, &j);
    if (j.globals) fov_window_global_run(run, p, run->scratch);
}

/* Columns computed, block by block, those outside a row's band included. */
static double cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size) {
    double cells = 0;
    for (size_t i = 0; i < queries; i += ROWS) {
        const span b = span_of(half_of(setting), false, i, keys);
        cells += (double)(queries - i < ROWS ? queries - i : ROWS) * (double)(b.hi - b.lo);
    }
    return 2 * cells * (double)head_size;
}

/* Global tokens' outputs come from window_global.c alone. */
static bool reads_local(const fov_setting *setting, const fov_attention *p) {
    (void)setting;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t o = 0; o < p->y_offsets[b + 1] - p->y_offsets[b]; o++)
            if (fov_window_output(p, b, o) >= fov_window_globals(p)) return true;
    return false;
}

const fov_attention_row fov_attention_window = {
    .info = {.name = "window",
             .place = FOV_PLACE_ATTENTION,
             .help = "exact softmax over a sliding window, and Longformer's global tokens",
             .citation = "Beltagy, Peters & Cohan, Longformer: The Long-Document Transformer, 2020",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .workspace = workspace,
    .forward = forward,
    .cost = cost,
    .layer_cost = fov_window_global_cost,
    .reads_local = reads_local,
    .weight_floats = weight_floats,
    .weights = weights,
    .apply = apply,
};
