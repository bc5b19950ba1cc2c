/* test_window.c: windowed attention with global tokens against a double reference that follows Longformer's definition (global
 * projections of every token, nothing folded), on ragged and masked problems, on every tier; and bit for bit what the encoder
 * relies on. Whatever no problem owns is NaN (inputs, scratch) or a canary (outputs). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attention/attention.h"
#include "support/random.h"
#include "values/values.h"

enum { MAX_TEXTS = 5, MAX_LENGTH = 300, MAX_WIDTH = 40, MAX_HEADS = 3, MAX_C = MAX_HEADS * 64, GUARD = 64, MODES = 5 };
enum { ALL_ROWS, IN_PLACE, POSITIONS, LISTED_OUTPUTS, CAUSAL }; /* modes */

static const float canary = -12345.75f;
static const double unit = 0x1p-24; /* rounding of one f32 operation */

typedef struct problem {
    fov_attention p;
    fov_attention_global global;
    fov_setting setting;
    size_t q_offsets[MAX_TEXTS + 1], k_offsets[MAX_TEXTS + 1], y_offsets[MAX_TEXTS + 1];
    uint32_t *y_query, *q_position;
    uint8_t *mask;
    float *q, *k, *v, *x, *y;
    float *wq, *wk, *wv, *bq, *bk, *bv;    /* global projections [C, d], as a checkpoint has them */
    float *packed_q, *packed_k, *packed_v; /* as the engine has them */
    size_t half, globals, longest, q_floats, y_floats;
    size_t starts[MAX_TEXTS], cells;
} problem;

static float *nan_block(size_t floats) {
    float *block = aligned_alloc(64, (floats * sizeof *block + 127) / 64 * 64);
    assert_non_null(block);
    for (size_t i = 0; i < floats; i++) block[i] = NAN;
    return block;
}

static float *random_rows(test_rng *rng, size_t first, size_t last, size_t columns, size_t ld, float range) {
    float *block = nan_block(last * ld + 1);
    for (size_t i = first; i < last; i++)
        for (size_t c = 0; c < columns; c++) block[i * ld + c] = range * test_float(rng);
    return block;
}

static void make_offsets(test_rng *rng, problem *t, int mode) {
    static const size_t lengths[] = {1, 2, 31, 63, 64, 65, 129, 300};
    for (size_t b = 0; b < t->p.texts; b++) {
        const bool edge = test_between(rng, 0, 1) == 0;
        const size_t keys = edge ? lengths[test_between(rng, 0, 7)] : test_between(rng, 1, MAX_LENGTH);
        size_t queries = keys;
        if (mode == POSITIONS) queries = test_between(rng, 1, keys);
        if (mode == CAUSAL) queries = test_between(rng, 1, keys + 3);
        const size_t outputs = mode == LISTED_OUTPUTS ? test_between(rng, 0, 80) : queries;
        t->k_offsets[b + 1] = t->k_offsets[b] + keys;
        t->q_offsets[b + 1] = t->q_offsets[b] + queries;
        t->y_offsets[b + 1] = t->y_offsets[b] + outputs;
        t->starts[b] = t->cells;
        t->cells += fov_attention_window.weight_floats(&t->setting, t->globals, queries, keys);
        if (keys > t->longest) t->longest = keys;
        if (queries > t->longest) t->longest = queries;
    }
}

static void make_global(test_rng *rng, problem *t) {
    const size_t c = t->p.heads * t->p.head_size, d = test_between(rng, 1, MAX_WIDTH), h = t->p.heads, e = t->p.head_size;
    const fov_kernels *kernels = fov_kernels_named("ref");
    const float range = 1.5f / sqrtf((float)d);
    t->global.width = d;
    t->global.ldx = d + test_between(rng, 0, 3);
    t->x = random_rows(rng, t->k_offsets[0], t->k_offsets[t->p.texts], d, t->global.ldx, 2);
    float **blocks[] = {&t->wq, &t->wk, &t->wv};
    for (size_t i = 0; i < 3; i++) *blocks[i] = random_rows(rng, 0, c, d, d, range);
    float **biases[] = {&t->bq, &t->bk, &t->bv};
    for (size_t i = 0; i < 3; i++) *biases[i] = random_rows(rng, 0, 1, c, c, 1);
    t->packed_q = nan_block(fov_packed_size(c, d));
    t->packed_k = nan_block(fov_packed_size(c, d));
    t->packed_v = nan_block(h * fov_packed_size(e, d));
    kernels->pack_t(t->wq, d, c, d, t->packed_q);
    kernels->pack_t(t->wk, d, c, d, t->packed_k);
    for (size_t i = 0; i < h; i++) kernels->pack_t(t->wv + i * e * d, d, e, d, t->packed_v + i * fov_packed_size(e, d));
    t->global = (fov_attention_global){t->x, t->global.ldx, d, t->packed_q, t->bq, t->packed_k, t->bk, t->packed_v, t->bv};
    t->p.layer.globals = t->globals;
    t->p.layer.global = &t->global;
}

static void make_lists(test_rng *rng, problem *t, int mode) {
    const fov_attention *p = &t->p;
    if (mode == POSITIONS) { /* ascending, with gaps */
        t->q_position = malloc(t->q_offsets[p->texts] * sizeof *t->q_position);
        assert_non_null(t->q_position);
        for (size_t b = 0; b < p->texts; b++) {
            size_t keys = t->k_offsets[b + 1] - t->k_offsets[b], n = t->q_offsets[b + 1] - t->q_offsets[b], at = 0;
            for (size_t i = 0; i < n; i++) {
                at += test_between(rng, 0, (keys - (n - i) - at) / 4);
                t->q_position[t->q_offsets[b] + i] = (uint32_t)at++;
            }
        }
    }
    if (mode == LISTED_OUTPUTS) {
        t->y_query = malloc((t->y_offsets[p->texts] + 1) * sizeof *t->y_query);
        assert_non_null(t->y_query);
        for (size_t b = 0; b < p->texts; b++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
                t->y_query[o] = (uint32_t)test_between(rng, 0, t->q_offsets[b + 1] - t->q_offsets[b] - 1);
    }
    if (test_between(rng, 0, 1)) return;
    t->mask = malloc(t->k_offsets[p->texts]);
    assert_non_null(t->mask);
    const size_t share = test_between(rng, 0, 4); /* 0: nothing is there */
    size_t text = 0;
    for (size_t i = 0; i < t->k_offsets[p->texts]; i++) {
        t->mask[i] = share && test_between(rng, 0, share) > 0;
        if (i < t->k_offsets[0] || t->mask[i]) continue;
        for (size_t c = 0; c < p->heads * p->head_size; c++) t->k[i * p->ldk + c] = t->v[i * p->ldv + c] = NAN;
        while (i >= t->k_offsets[text + 1]) text++;
        if (!t->x || i - t->k_offsets[text] < t->globals) continue; /* a global token's query needs its x */
        for (size_t c = 0; c < t->global.width; c++) t->x[i * t->global.ldx + c] = NAN;
    }
}

static void problem_make(problem *t, uint64_t seed, int mode) {
    static const size_t sizes[] = {1, 7, 32, 33, 64}, windows[] = {1, 2, 5, 16, 63, 64, 66, 100, 128, 256, 1000};
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    memset(t, 0, sizeof *t);
    fov_attention *p = &t->p;
    const size_t w = windows[test_between(&rng, 0, 10)];
    t->setting = (fov_setting){.info = &fov_attention_window.info, .values = {(double)w}};
    t->half = w / 2;
    t->globals = test_between(&rng, 0, 2);
    p->texts = test_between(&rng, 1, MAX_TEXTS);
    p->heads = test_between(&rng, 1, MAX_HEADS);
    p->head_size = sizes[test_between(&rng, 0, 4)];
    p->causal = mode == CAUSAL;
    t->k_offsets[0] = test_between(&rng, 0, 9);
    t->q_offsets[0] = mode == POSITIONS ? test_between(&rng, 0, 9) : t->k_offsets[0];
    t->y_offsets[0] = mode == LISTED_OUTPUTS ? test_between(&rng, 0, 9) : t->q_offsets[0];
    make_offsets(&rng, t, mode);
    const size_t width = p->heads * p->head_size;
    p->ldq = width + test_between(&rng, 0, 5);
    p->ldk = width + test_between(&rng, 0, 5);
    p->ldv = width + test_between(&rng, 0, 5);
    p->ldy = mode == IN_PLACE ? p->ldq : width + test_between(&rng, 0, 5);
    p->q_offsets = t->q_offsets;
    p->k_offsets = t->k_offsets;
    p->y_offsets = t->y_offsets;
    t->q = random_rows(&rng, t->q_offsets[0], t->q_offsets[p->texts], width, p->ldq, 3);
    t->k = random_rows(&rng, t->k_offsets[0], t->k_offsets[p->texts], width, p->ldk, 3);
    t->v = random_rows(&rng, t->k_offsets[0], t->k_offsets[p->texts], width, p->ldv, 2);
    p->scale = 1 / sqrtf((float)p->head_size);
    t->q_floats = t->q_offsets[p->texts] * p->ldq;
    t->y_floats = t->y_offsets[p->texts] * p->ldy;
    t->y = nan_block(t->y_floats + GUARD);
    if (t->globals) make_global(&rng, t);
    make_lists(&rng, t, mode);
    p->q = mode == IN_PLACE ? t->y : t->q;
    p->k = t->k;
    p->v = t->v;
    p->y = t->y;
    p->y_query = t->y_query;
    p->q_position = t->q_position;
    p->key_mask = t->mask;
}

static void problem_free(problem *t) {
    void *blocks[] = {t->q,  t->k,  t->v,    t->x,       t->y,          t->wq,       t->wk,       t->wv,      t->bq,
                      t->bk, t->bv, t->mask, t->y_query, t->q_position, t->packed_q, t->packed_k, t->packed_v};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

/* ---- running, with exactly the workspace asked for ---- */

typedef struct stored {
    float *weights, *col_max, *col_energy;
    size_t cells, keys; /* floats of each, guards apart */
} stored;

static float *guarded(size_t floats) {
    float *block = nan_block(floats + GUARD);
    for (size_t i = 0; i < GUARD; i++) block[floats + i] = canary;
    return block;
}

static void check_guard(const float *block, size_t floats) {
    for (size_t i = 0; i < GUARD; i++)
        if (block[floats + i] != canary) fail_msg("an array of %zu floats is overrun at + %zu", floats, i);
}

static stored stored_make(const problem *t) {
    const size_t cells = t->cells * t->p.heads, keys = t->p.heads * t->k_offsets[t->p.texts];
    return (stored){guarded(cells), guarded(keys), guarded(keys), cells, keys};
}

static void stored_free(stored *s) {
    check_guard(s->weights, s->cells);
    check_guard(s->col_max, s->keys);
    check_guard(s->col_energy, s->keys);
    free(s->weights);
    free(s->col_max);
    free(s->col_energy);
}

/* forward, or weights and apply when s is given. */
static void run_problem(problem *t, const fov_kernels *kernels, unsigned threads, const stored *s) {
    const fov_attention *p = &t->p;
    const fov_attention_size size = {.longest = t->longest,
                                     .texts = p->texts,
                                     .tokens = t->k_offsets[p->texts] - t->k_offsets[0],
                                     .heads = p->heads,
                                     .head_size = p->head_size,
                                     .threads = threads,
                                     .globals = t->globals,
                                     .width = t->global.width};
    const size_t bytes = fov_attention_window.workspace(&t->setting, &size);
    assert_int_equal(bytes % 64, 0);
    unsigned char *block = aligned_alloc(64, bytes + 64);
    assert_non_null(block);
    memset(block, 0xFF, bytes); /* NaN: scratch read before it is written shows */
    memset(block + bytes, 0xC5, 64);
    for (size_t i = 0; i < t->y_floats + GUARD; i++) t->y[i] = canary;
    if (p->q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
    const fov_attention_run run = {kernels, &t->setting, threads, (float *)(void *)block};
    if (s) {
        const fov_attention_weight_set set = {s->weights, t->starts, s->col_max, s->col_energy};
        fov_attention_window.weights(&run, p, &set);
        fov_attention_window.apply(&run, p, &set);
    } else {
        fov_attention_window.forward(&run, p);
    }
    for (size_t i = 0; i < 64; i++)
        if (block[bytes + i] != 0xC5) fail_msg("a workspace of %zu bytes is overrun at + %zu", bytes, i);
    free(block);
    check_guard(t->y, t->y_floats);
}

/* ---- the reference ---- */

static size_t keys_of(const problem *t, size_t text) {
    return t->k_offsets[text + 1] - t->k_offsets[text];
}

static long position_of(const problem *t, size_t text, size_t query) {
    if (t->q_position) return (long)t->q_position[t->q_offsets[text] + query];
    if (!t->p.causal) return (long)query;
    return (long)query + (long)keys_of(t, text) - (long)(t->q_offsets[text + 1] - t->q_offsets[text]);
}

/* a = softmax over what is not hidden of the given scores; no key: zeros. */
static void softmax(double *a, const bool *hidden, size_t keys) {
    double peak = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++)
        if (!hidden[j]) peak = fmax(peak, a[j]);
    for (size_t j = 0; j < keys; j++) sum += a[j] = hidden[j] ? 0 : exp(a[j] - peak);
    for (size_t j = 0; j < keys && sum > 0; j++) a[j] /= sum;
}

/* Local weights of a query. *slack: how far an f32 computation may be off, relative to a weight: the scores' rounding, (D + 2) u
 * per product sum, counts twice (numerator and sum); exp and the division some more. */
static void local_weights(const problem *t, size_t text, size_t head, size_t query, double *a, double *slack) {
    const fov_attention *p = &t->p;
    const size_t d = p->head_size, keys = keys_of(t, text);
    const long i = position_of(t, text, query);
    const float *q = t->q + (t->q_offsets[text] + query) * p->ldq + head * d;
    bool hidden[MAX_LENGTH];
    double largest = 0;
    for (size_t j = 0; j < keys; j++) {
        const long key = (long)j, far = labs(key - i);
        hidden[j] = (far > (long)t->half && j >= t->globals) || (p->causal && key > i);
        hidden[j] = hidden[j] || (t->mask && !t->mask[t->k_offsets[text] + j]);
        const float *k = t->k + (t->k_offsets[text] + j) * p->ldk + head * d;
        double dot = 0, size = 0;
        for (size_t c = 0; c < d && !hidden[j]; c++) {
            dot += (double)q[c] * (double)k[c];
            size += fabs((double)q[c] * (double)k[c]);
        }
        a[j] = dot * (double)p->scale;
        largest = fmax(largest, size * (double)p->scale);
    }
    softmax(a, hidden, keys);
    *slack = unit * (2 * (double)(d + 2) * largest + (double)keys + 16);
}

/* (W x + b)[r] of a row of x; *size: the same of absolute values. */
static double projected(const problem *t, const float *w, const float *b, size_t row, size_t r, double *size) {
    const float *x = t->x + row * t->global.ldx;
    double sum = (double)b[r];
    *size = fabs(sum);
    for (size_t c = 0; c < t->global.width; c++) {
        const double term = (double)w[r * t->global.width + c] * (double)x[c];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void check_near(double got, double want, double tolerance, const char *what, size_t text, size_t head, size_t row) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, head %zu, row %zu: %.9g, not %.9g (tolerance %.3g)", what, text, head, row, got, want, tolerance);
}

/* Output of a global token, as defined: every token is projected. Slack: sums of d, then D (or keys), then d terms. */
static void check_global(const problem *t, size_t text, size_t head, size_t token, const float *y) {
    const fov_attention *p = &t->p;
    const size_t e = p->head_size, keys = keys_of(t, text), first = t->k_offsets[text], d = t->global.width;
    double a[MAX_LENGTH], largest = 0;
    bool hidden[MAX_LENGTH];
    for (size_t j = 0; j < keys; j++) {
        double dot = 0, size = 0;
        hidden[j] = (p->causal && j > token) || (t->mask && !t->mask[first + j]);
        for (size_t c = 0; c < e && !hidden[j]; c++) {
            double q_size, k_size;
            const double q = projected(t, t->wq, t->bq, first + token, head * e + c, &q_size);
            dot += q * projected(t, t->wk, t->bk, first + j, head * e + c, &k_size);
            size += q_size * k_size;
        }
        a[j] = dot * (double)p->scale;
        largest = fmax(largest, size * (double)p->scale);
    }
    softmax(a, hidden, keys);
    const double slack = unit * (2 * (double)(2 * d + e + 4) * largest + (double)keys + 16);
    for (size_t c = 0; c < e; c++) {
        double sum = 0, size = 0;
        for (size_t j = 0; j < keys; j++) {
            double v_size;
            if (hidden[j]) continue;
            sum += a[j] * projected(t, t->wv, t->bv, first + j, head * e + c, &v_size);
            size += a[j] * v_size;
        }
        check_near((double)y[c], sum, size * (slack + unit * (double)(keys + d)), "global y", text, head, token);
    }
}

static void check_outputs(const problem *t) {
    const fov_attention *p = &t->p;
    const size_t d = p->head_size;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                double a[MAX_LENGTH], slack;
                const size_t keys = keys_of(t, b), query = p->y_query ? p->y_query[o] : o - t->y_offsets[b];
                const long i = position_of(t, b, query);
                if (i >= 0 && (size_t)i < t->globals) {
                    check_global(t, b, h, (size_t)i, t->y + o * p->ldy + h * d);
                    continue;
                }
                local_weights(t, b, h, query, a, &slack);
                for (size_t c = 0; c < d; c++) {
                    double y = 0, size = 0;
                    for (size_t j = 0; j < keys; j++) {
                        if (!(a[j] > 0)) continue;
                        const double v = (double)t->v[(t->k_offsets[b] + j) * p->ldv + h * d + c];
                        y += a[j] * v;
                        size += a[j] * fabs(v);
                    }
                    check_near((double)t->y[o * p->ldy + h * d + c], y, size * (slack + unit * (double)keys), "y", b, h, o);
                }
            }
}

/* Rows and columns that no output owns still hold what was there. */
static void check_untouched(const problem *t) {
    const fov_attention *p = &t->p;
    const bool in_place = p->q == t->y;
    for (size_t i = 0; i < t->y_floats; i++) {
        if (i / p->ldy >= t->y_offsets[0] && i % p->ldy < p->heads * p->head_size) continue;
        const bool same = in_place ? isnan(t->y[i]) : t->y[i] == canary;
        if (!same) fail_msg("float %zu in row %zu is outside every output, but was written", i % p->ldy, i / p->ldy);
    }
}

/* Importance counts the local weights of every query row, those of global tokens too. */
static void check_importance(const problem *t, const stored *s) {
    const fov_attention *p = &t->p;
    const size_t total = t->k_offsets[p->texts];
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++) {
            double most[MAX_LENGTH] = {0}, energy[MAX_LENGTH] = {0}, a[MAX_LENGTH], slack, worst = 0;
            const size_t queries = t->q_offsets[b + 1] - t->q_offsets[b];
            for (size_t i = 0; i < queries; i++) {
                local_weights(t, b, h, i, a, &slack);
                worst = fmax(worst, slack);
                for (size_t j = 0; j < keys_of(t, b); j++) {
                    most[j] = fmax(most[j], a[j]);
                    energy[j] += a[j] * a[j];
                }
            }
            for (size_t j = 0; j < keys_of(t, b); j++) {
                const size_t at = h * total + t->k_offsets[b] + j;
                check_near((double)s->col_max[at], most[j], most[j] * worst, "col_max", b, h, j);
                check_near((double)s->col_energy[at], energy[j], energy[j] * (2 * worst + unit * (double)(queries + 2)) + 0x1p-126,
                           "col_energy", b, h, j);
            }
        }
}

/* ---- tests ---- */

static const fov_kernels *tier(size_t i) {
    const char *name = fov_kernels_names()[i];
    return name ? fov_kernels_named(name) : NULL;
}

#define FOR_EACH_TIER(kernels)                                                                                                     \
    for (size_t tier_ = 0; fov_kernels_names()[tier_]; tier_++)                                                                    \
        for (const fov_kernels *kernels = tier(tier_); kernels; kernels = NULL)

enum { SEEDS = 8 };

static float *copy_of(const float *from, size_t floats) {
    float *copy = malloc((floats + 1) * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, from, floats * sizeof *copy);
    return copy;
}

static void test_reference(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            problem t;
            problem_make(&t, seed * MODES + (uint64_t)mode, mode);
            run_problem(&t, kernels, 1, NULL);
            check_outputs(&t);
            check_untouched(&t);
            stored s = stored_make(&t);
            float *y = copy_of(t.y, t.y_floats);
            run_problem(&t, kernels, 1, &s);
            check_importance(&t, &s);
            check_untouched(&t);
            /* The two ways make the same bits: an estimator in its exact limit must not be told from exact values. */
            assert_memory_equal(t.y, y, t.y_floats * sizeof *y);
            free(y);
            stored_free(&s);
            problem_free(&t);
        }
}

static void test_threads(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        problem t;
        problem_make(&t, 100 + (uint64_t)mode, mode);
        stored s = stored_make(&t), r = stored_make(&t);
        run_problem(&t, kernels, 1, &s);
        float *y = copy_of(t.y, t.y_floats);
        run_problem(&t, kernels, 5, &r);
        assert_memory_equal(t.y, y, t.y_floats * sizeof *y);
        const size_t keys = t.k_offsets[t.p.texts], first = t.k_offsets[0];
        for (size_t h = 0; h < t.p.heads; h++) {
            assert_memory_equal(s.col_max + h * keys + first, r.col_max + h * keys + first, (keys - first) * sizeof(float));
            assert_memory_equal(s.col_energy + h * keys + first, r.col_energy + h * keys + first, (keys - first) * sizeof(float));
        }
        free(y);
        stored_free(&s);
        stored_free(&r);
        problem_free(&t);
    }
}

/* A text alone, as a slice of the batch's offsets, gives the batch's bits. */
static void test_alone(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        if (mode == IN_PLACE) continue; /* a run overwrites the other texts' queries */
        problem t;
        problem_make(&t, 200 + (uint64_t)mode, mode);
        run_problem(&t, kernels, 1, NULL);
        float *y = copy_of(t.y, t.y_floats);
        for (size_t b = 0; b < t.p.texts; b++) {
            problem one = t;
            one.p.texts = 1;
            one.p.q_offsets = t.q_offsets + b;
            one.p.k_offsets = t.k_offsets + b;
            one.p.y_offsets = t.y_offsets + b;
            memcpy(one.k_offsets, t.k_offsets + b, 2 * sizeof *t.k_offsets);
            run_problem(&one, kernels, 2, NULL);
            for (size_t o = t.y_offsets[b]; o < t.y_offsets[b + 1]; o++)
                assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, t.p.heads * t.p.head_size * sizeof *y);
        }
        free(y);
        problem_free(&t);
    }
}

/* The bits of a row depend on its position alone: a few queries by q_position give what all queries give. */
static void test_subset(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 300; seed < 304; seed++) {
        problem t;
        problem_make(&t, seed, ALL_ROWS);
        run_problem(&t, kernels, 1, NULL);
        float *all = copy_of(t.y, t.y_floats);
        size_t offsets[MAX_TEXTS + 1] = {0};
        uint32_t positions[MAX_TEXTS * 2];
        float *q = nan_block(MAX_TEXTS * 2 * t.p.ldq);
        problem few = t;
        for (size_t b = 0; b < t.p.texts; b++) { /* the first and the last token */
            const size_t keys = keys_of(&t, b), n = keys > 1 ? 2 : 1;
            for (size_t i = 0; i < n; i++) {
                positions[offsets[b] + i] = (uint32_t)(i ? keys - 1 : 0);
                memcpy(q + (offsets[b] + i) * t.p.ldq, t.q + (t.q_offsets[b] + positions[offsets[b] + i]) * t.p.ldq,
                       t.p.ldq * sizeof *q);
            }
            offsets[b + 1] = offsets[b] + n;
        }
        few.p.q = q;
        few.p.q_offsets = few.p.y_offsets = offsets;
        few.p.q_position = positions;
        memcpy(few.y_offsets, offsets, sizeof offsets);
        run_problem(&few, kernels, 1, NULL);
        for (size_t b = 0; b < t.p.texts; b++)
            for (size_t o = offsets[b]; o < offsets[b + 1]; o++)
                assert_memory_equal(t.y + o * t.p.ldy, all + (t.k_offsets[b] + positions[o]) * t.p.ldy,
                                    t.p.heads * t.p.head_size * sizeof *q);
        free(q);
        free(all);
        problem_free(&t);
    }
}

/* NaN in one text stays in that text. */
static void test_nan(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 400; seed < 404; seed++) {
        problem t;
        problem_make(&t, seed, ALL_ROWS);
        run_problem(&t, kernels, 1, NULL);
        float *y = copy_of(t.y, t.y_floats);
        const size_t sick = t.p.texts - 1, row = t.k_offsets[sick];
        t.k[row * t.p.ldk] = NAN;
        if (t.mask) t.mask[row] = 1;
        run_problem(&t, kernels, 2, NULL);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[sick]; o++)
            assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, t.p.heads * t.p.head_size * sizeof *y);
        if (!t.globals) assert_true(isnan(t.y[row * t.p.ldy]));
        free(y);
        problem_free(&t);
    }
}

/* ---- with Monte-Carlo values ---- */

enum { VALUE_WIDTH = 24 };

typedef struct projection {
    float *x, *w, *b, *packed, *work;
} projection;

/* weights -> importance -> mca -> apply, as the encoder does; t->v becomes what mca made. */
static void run_mca(problem *t, const fov_kernels *kernels, const projection *j, const char *method, const stored *s) {
    const fov_attention *p = &t->p;
    const size_t n = t->k_offsets[p->texts], d = VALUE_WIDTH;
    size_t count;
    const fov_method_info *const *infos = fov_values_infos(&count);
    fov_setting setting;
    void *bound;
    uint64_t hashes[MAX_TEXTS] = {11, 12, 13, 14, 15};
    double done = 0;
    assert_int_equal(fov_setting_parse(&setting, infos, count, method, NULL), FOV_OK);
    const fov_value_weights w = {d, p->heads, p->head_size, j->packed, j->b, NULL};
    const fov_values_size size = {n, p->texts, t->longest, d, p->heads, p->head_size, 2};
    void *scratch = nan_block(fov_values_mca.workspace(&size) / sizeof(float) + 16);
    float *gemm = nan_block(2 * fov_gemm_scratch());
    assert_int_equal(fov_values_mca.bind(&setting, &w, fov_allocator_or_default(NULL), &bound, NULL), FOV_OK);
    run_problem(t, kernels, 2, s); /* for the importance */
    const fov_values_run run = {kernels, &setting, &w, bound, 2, scratch, gemm, &done};
    const fov_values values = {.texts = p->texts,
                               .offsets = t->k_offsets,
                               .hashes = hashes,
                               .x = j->x,
                               .ldx = d,
                               .v = t->v,
                               .ldv = p->ldv,
                               .col_max = s->col_max,
                               .col_energy = s->col_energy,
                               .work = j->work};
    fov_values_mca.forward(&run, &values);
    run_problem(t, kernels, 2, s);
    fov_release(fov_allocator_or_default(NULL), bound);
    free(scratch);
    free(gemm);
}

/* Eq. 9 in double, from the reference's importance: the share of the projection between what max (1 -+ 1e-4) gives. */
static void check_work(const problem *t, const projection *j, double alpha) {
    const fov_attention *p = &t->p;
    for (size_t b = 0; b < p->texts; b++) {
        double low[MAX_LENGTH] = {0}, high[MAX_LENGTH] = {0}, a[MAX_LENGTH], slack;
        const size_t keys = keys_of(t, b);
        for (size_t h = 0; h < p->heads; h++) {
            double most[MAX_LENGTH] = {0};
            for (size_t i = 0; i < keys; i++) {
                local_weights(t, b, h, i, a, &slack);
                for (size_t k = 0; k < keys; k++) most[k] = fmax(most[k], a[k]);
            }
            for (size_t k = 0; k < keys; k++) {
                const double r = (double)keys * most[k] / alpha, share = 1 / (double)(VALUE_WIDTH * p->heads);
                low[k] += share * fmin(fmax(ceil(r * r * .9998), 1), VALUE_WIDTH);
                high[k] += share * fmin(fmax(ceil(r * r * 1.0002), 1), VALUE_WIDTH);
            }
        }
        for (size_t k = 0; k < keys; k++) {
            const double work = (double)j->work[t->k_offsets[b] + k];
            if (!(work >= low[k] - 1e-5 && work <= high[k] + 1e-5))
                fail_msg("token %zu of text %zu: %.6g of the projection, not %.6g to %.6g", k, b, work, low[k], high[k]);
        }
    }
}

static void check_exact_values(const problem *t, const projection *j) {
    const fov_attention *p = &t->p;
    for (size_t i = t->k_offsets[0]; i < t->k_offsets[p->texts]; i++)
        for (size_t c = 0; c < p->heads * p->head_size; c++) {
            double sum = (double)j->b[c], size = fabs(sum);
            for (size_t k = 0; k < VALUE_WIDTH; k++) {
                const double term = (double)j->x[i * VALUE_WIDTH + k] * (double)j->w[c * VALUE_WIDTH + k];
                sum += term;
                size += fabs(term);
            }
            check_near((double)t->v[i * p->ldv + c], sum, size * unit * (VALUE_WIDTH + 2), "v", 0, c, i);
        }
}

/* Window with mca: r from the local weights, Y = A V~ for the V~ that mca made, global rows exact whatever V~ is. */
static void test_mca(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 500; seed < 506; seed++) {
        problem t;
        problem_make(&t, seed, ALL_ROWS);
        test_rng rng = {seed};
        const size_t c = t.p.heads * t.p.head_size, n = t.k_offsets[t.p.texts], e = t.p.head_size;
        projection j = {random_rows(&rng, 0, n, VALUE_WIDTH, VALUE_WIDTH, 1), random_rows(&rng, 0, c, VALUE_WIDTH, VALUE_WIDTH, 1),
                        random_rows(&rng, 0, 1, c, c, 1), nan_block(t.p.heads * fov_packed_size(e, VALUE_WIDTH)), nan_block(n)};
        for (size_t h = 0; h < t.p.heads; h++)
            kernels->pack_t(j.w + h * e * VALUE_WIDTH, VALUE_WIDTH, e, VALUE_WIDTH, j.packed + h * fov_packed_size(e, VALUE_WIDTH));
        stored s = stored_make(&t);
        run_mca(&t, kernels, &j, "mca:alpha=1", &s);
        check_work(&t, &j, 1);
        check_outputs(&t);
        run_mca(&t, kernels, &j, "mca:alpha=1e-9", &s);
        if (!t.mask) check_exact_values(&t, &j); /* a key that is not there has no importance, so one draw */
        check_outputs(&t);
        stored_free(&s);
        float *blocks[] = {j.x, j.w, j.b, j.packed, j.work};
        for (size_t i = 0; i < 5; i++) free(blocks[i]);
        problem_free(&t);
    }
}

/* Memory of stored weights is linear in T; a window over everything is no larger than the dense matrix. */
static void test_floats(void **state) {
    (void)state;
    const fov_setting narrow = {.info = &fov_attention_window.info, .values = {256}};
    const size_t at_1k = fov_attention_weight_floats(&narrow, 1, 1024, 1024);
    assert_int_equal(fov_attention_weight_floats(&narrow, 1, 4096, 4096), 4 * at_1k);
    assert_int_equal(at_1k, 1024 * (1 + 64 + 256));
    assert_int_equal(fov_attention_weight_floats(&narrow, 0, 100, 100), 100 * 100);
    const fov_setting dense = {.info = &fov_attention_dense.info};
    assert_int_equal(fov_attention_weight_floats(&dense, 0, 70, 300), 70 * 300);
}

/* The exact count of a small case: blocks of 64 queries, each with its columns. */
static void test_cost(void **state) {
    (void)state;
    const fov_setting setting = {.info = &fov_attention_window.info, .values = {64}};
    /* queries 0..63 see keys 0..95, 64..127 see 32..159, 128..149 see 96..149 */
    const double cells = 64 * 96 + 64 * (150 - 32) + 22 * (150 - 96);
    assert_true(fov_attention_window.cost(&setting, 150, 150, 7) == 2 * cells * 7);
    assert_true(fov_attention_window.cost(&setting, 10, 10, 7) == fov_attention_dense.cost(&setting, 10, 10, 7));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_threads), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_subset),    cmocka_unit_test(test_nan),     cmocka_unit_test(test_floats),
        cmocka_unit_test(test_mca),       cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
