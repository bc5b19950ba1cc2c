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
enum { ROWS = FOV_WINDOW_ROWS };

static const fov_param_info params[] = {
    {"w", FOV_PARAM_INT, 1, 1000000, 0, 256, NULL, "window: keys at most w / 2 (rounded down) before and after the query"},
};

fov_window_span fov_window_span_of(const fov_window_band *band, size_t position) {
    const size_t start = position / ROWS * ROWS, half = band->half;
    const size_t lo = start > half ? (start - half) / FOV_PANEL * FOV_PANEL : 0;
    if (lo >= band->keys) return (fov_window_span){0, 0};
    const size_t end = start + ROWS + (band->causal ? 0 : half);
    return (fov_window_span){lo, end < band->keys ? end : band->keys};
}

/* A row of stored weights has as many floats. */
static size_t stride(size_t half, size_t globals, size_t keys) {
    const size_t widest = ROWS + 2 * half + (FOV_PANEL - half % FOV_PANEL) % FOV_PANEL;
    return globals + (widest < keys ? widest : keys);
}

size_t fov_window_columns(const fov_window_band *band) {
    return stride(band->half, band->globals, band->keys);
}

size_t fov_window_half(const fov_setting *setting) {
    return (size_t)setting->values[P_W] / 2;
}

static size_t weight_floats(const fov_setting *setting, size_t globals, size_t queries, size_t keys) {
    return fov_mul(queries, stride(fov_window_half(setting), globals, keys));
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
    const size_t columns = stride(fov_window_half(setting), size->globals, size->longest);
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
    job j = {.run = run, .p = p, .w = w, .half = fov_window_half(run->setting), .globals = fov_window_globals(p)};
    j.longest = fov_longest(p->k_offsets, p->texts);
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
    fov_window_band band;
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
    h.band = (fov_window_band){j->half, h.globals, h.keys, p->causal, h.mask};
    h.stride = stride(j->half, j->globals, h.keys);
    fov_arena arena = {(unsigned char *)j->run->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->longest, p->head_size, stride(j->half, j->globals, j->longest), &h.s);
    return h;
}

static fov_window_span span_at(const head_view *h, size_t position) {
    return fov_window_span_of(&h->band, position);
}

size_t fov_window_run(const fov_attention *p, size_t text, size_t first, size_t count,
                      size_t (*position)(const fov_attention *, size_t, size_t)) {
    const size_t block = position(p, text, first) / ROWS;
    size_t n = 1;
    while (n < ROWS && first + n < count && position(p, text, first + n) / ROWS == block) n++;
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

void fov_window_hide(const fov_window_band *band, size_t position, fov_window_span b, float *s) {
    const size_t g = band->globals, half = band->half;
    const bool causal = band->causal, nowhere = position == FOV_WINDOW_NOWHERE;
    for (size_t k = 0; k < g; k++)
        if (nowhere || (causal && k > position) || (band->mask && !band->mask[k])) s[k] = -INFINITY;
    size_t first = position > half ? position - half : 0, last = position + (causal ? 0 : half);
    if (first < g) first = g;
    s += g;
    for (size_t k = b.lo; k < b.hi; k++)
        if (nowhere || k < first || k > last || (band->mask && !band->mask[k])) s[k - b.lo] = -INFINITY;
}

/* Weights of n queries of one block: rows query.. of the text, or those listed. */
static void weigh(const head_view *h, size_t query, const uint32_t *list, size_t n, fov_window_span b, float *a, float *col_max,
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
    fov_gemm_block(kernels, &g, 0, n, 0, fov_panels(g.m), h->s.gemm);
    g.m = b.hi - b.lo;
    g.w = h->s.packed_k + b.lo * p->head_size;
    g.y = a + h->globals;
    fov_gemm_block(kernels, &g, 0, n, 0, fov_panels(g.m), h->s.gemm);
    for (size_t i = 0; i < n; i++)
        fov_window_hide(&h->band, fov_window_position(p, h->text, list ? list[i] : query + i), b, a + i * h->stride);
    kernels->softmax(a, h->stride, n, h->globals + b.hi - b.lo, p->scale, col_max, col_energy);
}

/* y[i] = a[rows[i]] V for n rows of one block. V is [panel][key][32], so each panel of columns is a gemm over a range of keys. */
static void value_rows(const head_view *h, const float *a, const uint32_t *rows, size_t n, fov_window_span b, float *y) {
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
        if (band) fov_gemm_block(h->j->run->kernels, &g, 0, n, 0, 1, h->s.gemm);
        g.k = h->globals;
        g.x = a;
        g.w = h->s.packed_v + c * h->packed;
        g.residual = band ? g.y : NULL;
        g.ldr = p->ldy;
        if (h->globals) fov_gemm_block(h->j->run->kernels, &g, 0, n, 0, 1, h->s.gemm);
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
        n = fov_window_run(p, h.text, o, h.outputs, fov_window_output);
        if (all_global(&h, o, n)) continue;
        /* y may be q: a block's queries are read before its outputs are written. */
        const fov_window_span b = span_at(&h, fov_window_output(p, h.text, o));
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
static void merge(const head_view *h, fov_window_span b, float *col_max, float *col_energy) {
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
        n = fov_window_run(p, h.text, i, h.queries, fov_window_position);
        const fov_window_span b = span_at(&h, fov_window_position(p, text, i));
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
        n = fov_window_run(p, h.text, o, h.outputs, fov_window_output);
        if (all_global(&h, o, n)) continue;
        const fov_window_span b = span_at(&h, fov_window_output(p, h.text, o));
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
    const fov_window_band band = {.half = fov_window_half(setting), .keys = keys};
    double cells = 0;
    for (size_t i = 0; i < queries; i += ROWS) {
        const fov_window_span b = fov_window_span_of(&band, i);
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
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE | FOV_METHOD_HAS_BACKWARD | FOV_METHOD_CAUSAL,
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
    .backward_workspace = fov_window_backward_workspace,
    .backward = fov_window_backward,
};
