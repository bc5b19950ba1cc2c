/* test_dense.c: dense attention against a double reference on ragged, strided, sliced problems, on every tier; and what the encoder
 * relies on bit for bit. Whatever no problem owns is NaN (inputs, scratch) or a canary (outputs). */
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

enum { MAX_TEXTS = 6, MAX_LENGTH = 512, GUARD = 64, MODES = 4 };
enum { ALL_ROWS, IN_PLACE, SOME_QUERIES, LISTED_OUTPUTS }; /* modes */

static const float canary = -12345.75f;
static const double unit = 0x1p-24; /* rounding of one f32 operation */

typedef struct problem {
    fov_attention p;
    size_t q_offsets[MAX_TEXTS + 1], k_offsets[MAX_TEXTS + 1], y_offsets[MAX_TEXTS + 1];
    uint32_t *y_query;
    float *q, *k, *v; /* the inputs, kept: p.q may be overwritten by p.y */
    float *y, *first; /* output block and, IN_PLACE, what it holds before a run */
    size_t q_floats, y_floats;
    size_t longest, starts[MAX_TEXTS], cells; /* of the stored weights of all texts, per head */
} problem;

static float *nan_block(size_t floats) {
    float *block = malloc((floats + 1) * sizeof *block);
    assert_non_null(block);
    for (size_t i = 0; i < floats; i++) block[i] = NAN;
    return block;
}

static float *random_rows(test_rng *rng, const size_t *offsets, size_t texts, size_t columns, size_t ld, float range) {
    float *block = nan_block(offsets[texts] * ld);
    for (size_t i = offsets[0]; i < offsets[texts]; i++)
        for (size_t c = 0; c < columns; c++) block[i * ld + c] = range * test_float(rng);
    return block;
}

static void make_offsets(test_rng *rng, problem *t, int mode) {
    static const size_t lengths[] = {1, 2, 57, 113, 384, 385, 511, 512};
    fov_attention *p = &t->p;
    t->k_offsets[0] = test_between(rng, 0, 9);
    t->q_offsets[0] = mode == SOME_QUERIES ? test_between(rng, 0, 9) : t->k_offsets[0];
    t->y_offsets[0] = mode == LISTED_OUTPUTS ? test_between(rng, 0, 9) : t->q_offsets[0];
    for (size_t b = 0; b < p->texts; b++) {
        bool edge = test_between(rng, 0, 2) == 0; /* the two ways give the same bits up to MAX_LENGTH keys */
        size_t keys = edge ? lengths[test_between(rng, 0, 7)] : test_between(rng, 1, 150);
        size_t queries = mode == SOME_QUERIES ? test_between(rng, 1, keys) : keys;
        size_t outputs = mode == LISTED_OUTPUTS ? test_between(rng, 0, 70) : queries;
        t->k_offsets[b + 1] = t->k_offsets[b] + keys;
        t->q_offsets[b + 1] = t->q_offsets[b] + queries;
        t->y_offsets[b + 1] = t->y_offsets[b] + outputs;
        t->starts[b] = t->cells;
        t->cells += queries * keys;
        if (keys > t->longest) t->longest = keys;
    }
}

static void problem_make(problem *t, uint64_t seed, int mode) {
    static const size_t sizes[] = {1, 7, 32, 33, 64};
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    memset(t, 0, sizeof *t);
    fov_attention *p = &t->p;
    p->texts = test_between(&rng, 1, MAX_TEXTS);
    p->heads = test_between(&rng, 1, 4);
    p->head_size = sizes[test_between(&rng, 0, 4)];
    make_offsets(&rng, t, mode);
    size_t width = p->heads * p->head_size;
    p->ldq = width + test_between(&rng, 0, 5);
    p->ldk = width + test_between(&rng, 0, 5);
    p->ldv = width + test_between(&rng, 0, 5);
    p->ldy = mode == IN_PLACE ? p->ldq : width + test_between(&rng, 0, 5);
    p->q_offsets = t->q_offsets;
    p->k_offsets = t->k_offsets;
    p->y_offsets = t->y_offsets;
    t->q = random_rows(&rng, t->q_offsets, p->texts, width, p->ldq, 3);
    t->k = random_rows(&rng, t->k_offsets, p->texts, width, p->ldk, 3);
    t->v = random_rows(&rng, t->k_offsets, p->texts, width, p->ldv, 2);
    p->scale = 1 / sqrtf((float)p->head_size);
    t->q_floats = t->q_offsets[p->texts] * p->ldq;
    t->y_floats = t->y_offsets[p->texts] * p->ldy;
    t->y = malloc((t->y_floats + GUARD) * sizeof *t->y);
    assert_non_null(t->y);
    p->q = mode == IN_PLACE ? t->y : t->q;
    p->k = t->k;
    p->v = t->v;
    p->y = t->y;
    if (mode != LISTED_OUTPUTS) return;
    t->y_query = malloc((t->y_offsets[p->texts] + 1) * sizeof *t->y_query);
    assert_non_null(t->y_query);
    for (size_t b = 0; b < p->texts; b++)
        for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
            t->y_query[o] = (uint32_t)test_between(&rng, 0, t->q_offsets[b + 1] - t->q_offsets[b] - 1);
    p->y_query = t->y_query;
}

static void problem_free(problem *t) {
    float *blocks[] = {t->q, t->k, t->v, t->y};
    for (size_t i = 0; i < 4; i++) free(blocks[i]);
    free(t->y_query);
}

static void reset_output(problem *t) {
    for (size_t i = 0; i < t->y_floats + GUARD; i++) t->y[i] = canary;
    if (t->p.q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
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

typedef struct workspace {
    unsigned char *block;
    size_t bytes;
} workspace;

static workspace workspace_make(const fov_attention *p, size_t longest, unsigned threads) {
    fov_attention_size size = {
        .longest = longest, .texts = p->texts, .heads = p->heads, .head_size = p->head_size, .threads = threads};
    workspace w = {NULL, fov_attention_dense.workspace(NULL, &size)};
    assert_int_equal(w.bytes % 64, 0);
    w.block = aligned_alloc(64, w.bytes + 64);
    assert_non_null(w.block);
    memset(w.block, 0xFF, w.bytes); /* NaN: scratch read before it is written shows */
    memset(w.block + w.bytes, 0xC5, 64);
    return w;
}

static void workspace_free(workspace *w) {
    for (size_t i = 0; i < 64; i++)
        if (w->block[w->bytes + i] != 0xC5) fail_msg("a workspace of %zu bytes is overrun at + %zu", w->bytes, i);
    free(w->block);
}

static void run_forward(problem *t, const fov_kernels *kernels, unsigned threads) {
    workspace w = workspace_make(&t->p, t->longest, threads);
    fov_attention_run run = {kernels, NULL, threads, (float *)(void *)w.block};
    reset_output(t);
    fov_attention_dense.forward(&run, &t->p);
    workspace_free(&w);
    check_guard(t->y, t->y_floats);
}

static stored stored_make(const problem *t) {
    size_t cells = t->cells * t->p.heads, keys = t->p.heads * t->k_offsets[t->p.texts];
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

static void run_stored(problem *t, const fov_kernels *kernels, unsigned threads, const stored *s) {
    workspace w = workspace_make(&t->p, t->longest, threads);
    fov_attention_run run = {kernels, NULL, threads, (float *)(void *)w.block};
    fov_attention_weight_set out = {s->weights, t->starts, s->col_max, s->col_energy};
    reset_output(t);
    fov_attention_dense.weights(&run, &t->p, &out);
    fov_attention_dense.apply(&run, &t->p, &out);
    workspace_free(&w);
    check_guard(t->y, t->y_floats);
}

/* ---- the reference ---- */

/* Weights of query i of a text and head, in double; *slack: how far an f32 computation may be off, relative to a weight: the
 * scores' rounding, (D + 2) u per product sum, counts twice (numerator and sum); exp and the division some more. */
static void reference_weights(const problem *t, size_t text, size_t head, size_t query, double *a, double *slack) {
    const fov_attention *p = &t->p;
    size_t d = p->head_size, keys = t->k_offsets[text + 1] - t->k_offsets[text];
    const float *q = t->q + (t->q_offsets[text] + query) * p->ldq + head * d;
    double peak = -INFINITY, sum = 0, largest = 0;
    for (size_t j = 0; j < keys; j++) {
        const float *k = t->k + (t->k_offsets[text] + j) * p->ldk + head * d;
        double dot = 0, size = 0;
        for (size_t c = 0; c < d; c++) {
            dot += (double)q[c] * (double)k[c];
            size += fabs((double)q[c] * (double)k[c]);
        }
        a[j] = dot * (double)p->scale;
        peak = fmax(peak, a[j]);
        largest = fmax(largest, size * (double)p->scale);
    }
    for (size_t j = 0; j < keys; j++) sum += a[j] = exp(a[j] - peak);
    for (size_t j = 0; j < keys; j++) a[j] /= sum;
    *slack = unit * (2 * (double)(d + 2) * largest + (double)keys + 16);
}

static void check_near(double got, double want, double tolerance, const char *what, size_t text, size_t head, size_t row) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, head %zu, row %zu: %.9g, not %.9g (tolerance %.3g)", what, text, head, row, got, want, tolerance);
}

static void check_outputs(const problem *t) {
    const fov_attention *p = &t->p;
    size_t d = p->head_size;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                double a[MAX_LENGTH], slack;
                size_t keys = t->k_offsets[b + 1] - t->k_offsets[b];
                reference_weights(t, b, h, p->y_query ? p->y_query[o] : o - t->y_offsets[b], a, &slack);
                for (size_t c = 0; c < d; c++) {
                    double y = 0, size = 0;
                    for (size_t j = 0; j < keys; j++) {
                        double v = (double)t->v[(t->k_offsets[b] + j) * p->ldv + h * d + c];
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
    bool in_place = p->q == t->y;
    for (size_t i = 0; i < t->y_floats; i++) {
        if (i / p->ldy >= t->y_offsets[0] && i % p->ldy < p->heads * p->head_size) continue;
        bool same = in_place ? isnan(t->y[i]) : t->y[i] == canary;
        if (!same) fail_msg("float %zu in row %zu is outside every output, but was written", i % p->ldy, i / p->ldy);
    }
}

static void check_stored(const problem *t, const stored *s) {
    const fov_attention *p = &t->p;
    size_t stride = t->k_offsets[p->texts];
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++) {
            size_t keys = t->k_offsets[b + 1] - t->k_offsets[b], queries = t->q_offsets[b + 1] - t->q_offsets[b];
            const float *a = s->weights + p->heads * t->starts[b] + h * queries * keys;
            double most[MAX_LENGTH] = {0}, energy[MAX_LENGTH] = {0}, want[MAX_LENGTH], slack;
            for (size_t i = 0; i < queries; i++) {
                reference_weights(t, b, h, i, want, &slack);
                for (size_t j = 0; j < keys; j++) {
                    double got = (double)a[i * keys + j];
                    check_near(got, want[j], want[j] * slack + 0x1p-126, "weight", b, h, i);
                    most[j] = fmax(most[j], got);
                    energy[j] += got * got;
                }
            }
            for (size_t j = 0; j < keys; j++) {
                size_t at = h * stride + t->k_offsets[b] + j;
                check_near((double)s->col_max[at], most[j], 0, "col_max", b, h, j);
                check_near((double)s->col_energy[at], energy[j], energy[j] * unit * (double)(queries + 2), "col_energy", b, h, j);
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

enum { SEEDS = 12 };

static void test_reference(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            problem t;
            problem_make(&t, seed * MODES + (uint64_t)mode, mode);
            run_forward(&t, kernels, 1);
            check_outputs(&t);
            check_untouched(&t);
            stored s = stored_make(&t);
            float *y = malloc((t.y_floats + 1) * sizeof *y);
            assert_non_null(y);
            memcpy(y, t.y, t.y_floats * sizeof *y);
            run_stored(&t, kernels, 1, &s);
            check_stored(&t, &s);
            check_untouched(&t);
            /* The two ways make the same bits: an estimator in its exact limit must not be told from exact values. */
            assert_memory_equal(t.y, y, t.y_floats * sizeof *y);
            free(y);
            stored_free(&s);
            problem_free(&t);
        }
}

static void check_same(const float *a, const float *b, size_t floats) {
    assert_memory_equal(a, b, floats * sizeof *a);
}

static void test_threads(void **state) {
    (void)state;
    static const unsigned counts[] = {2, 5};
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        problem t, u;
        problem_make(&t, 100 + (uint64_t)mode, mode);
        problem_make(&u, 100 + (uint64_t)mode, mode);
        for (size_t i = 0; i < 2; i++) {
            run_forward(&t, kernels, 1);
            run_forward(&u, kernels, counts[i]);
            check_same(t.y, u.y, t.y_floats);
            stored s = stored_make(&t), r = stored_make(&u);
            run_stored(&t, kernels, 1, &s);
            run_stored(&u, kernels, counts[i], &r);
            check_same(t.y, u.y, t.y_floats);
            check_same(s.weights, r.weights, s.cells);
            size_t keys = t.k_offsets[t.p.texts], first = t.k_offsets[0];
            for (size_t h = 0; h < t.p.heads; h++) {
                check_same(s.col_max + h * keys + first, r.col_max + h * keys + first, keys - first);
                check_same(s.col_energy + h * keys + first, r.col_energy + h * keys + first, keys - first);
            }
            stored_free(&s);
            stored_free(&r);
        }
        problem_free(&t);
        problem_free(&u);
    }
}

/* The problem of text b alone: the same arrays, a slice of the offsets. */
static problem slice_of(const problem *t, size_t b) {
    problem one = *t;
    one.p.texts = 1;
    one.p.q_offsets += b;
    one.p.k_offsets += b;
    one.p.y_offsets += b;
    one.longest = t->k_offsets[b + 1] - t->k_offsets[b];
    one.starts[0] = 0;
    one.cells = (t->q_offsets[b + 1] - t->q_offsets[b]) * one.longest;
    return one;
}

static void check_text(const problem *t, size_t b, const float *batch) {
    for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
        check_same(t->y + o * t->p.ldy, batch + o * t->p.ldy, t->p.heads * t->p.head_size);
}

/* Text b's weights and importance from a slice: importance rows are as long as the slice's last key offset. */
static void check_slice_stored(problem *t, size_t b, const fov_kernels *kernels, const stored *all) {
    problem one = slice_of(t, b);
    size_t first = t->k_offsets[b], last = t->k_offsets[b + 1], stride = t->k_offsets[t->p.texts], heads = t->p.heads;
    stored s = {guarded(one.cells * heads), guarded(heads * last), guarded(heads * last), one.cells * heads, heads * last};
    run_stored(&one, kernels, 2, &s);
    check_same(s.weights, all->weights + heads * t->starts[b], s.cells);
    for (size_t h = 0; h < heads; h++) {
        check_same(s.col_max + h * last + first, all->col_max + h * stride + first, last - first);
        check_same(s.col_energy + h * last + first, all->col_energy + h * stride + first, last - first);
        for (size_t i = 0; i < first; i++) assert_true(isnan(s.col_max[h * last + i]) && isnan(s.col_energy[h * last + i]));
    }
    stored_free(&s);
}

static void test_alone(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 200; seed < 204; seed++) {
            problem t;
            problem_make(&t, seed + 10 * (uint64_t)mode, mode);
            stored all = stored_make(&t);
            run_stored(&t, kernels, 1, &all);
            run_forward(&t, kernels, 1);
            float *batch = malloc((t.y_floats + 1) * sizeof *batch);
            assert_non_null(batch);
            memcpy(batch, t.y, t.y_floats * sizeof *batch);
            for (size_t b = 0; b < t.p.texts; b++) {
                problem one = slice_of(&t, b);
                run_forward(&one, kernels, 2);
                check_text(&t, b, batch);
                check_slice_stored(&t, b, kernels, &all);
                check_text(&t, b, batch);
            }
            free(batch);
            stored_free(&all);
            problem_free(&t);
        }
}

/* NaN in a key of one text: that head of that text is NaN, nothing else changes. */
static void test_nan(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 300; seed < 306; seed++) {
        problem t;
        problem_make(&t, seed, ALL_ROWS);
        run_forward(&t, kernels, 2);
        float *before = malloc((t.y_floats + 1) * sizeof *before);
        assert_non_null(before);
        memcpy(before, t.y, t.y_floats * sizeof *before);
        size_t sick = t.p.texts / 2, head = t.p.heads - 1, d = t.p.head_size;
        t.k[(t.k_offsets[sick + 1] - 1) * t.p.ldk + head * d] = NAN;
        stored s = stored_make(&t);
        for (int way = 0; way < 2; way++) {
            if (way)
                run_stored(&t, kernels, 2, &s);
            else
                run_forward(&t, kernels, 2);
            for (size_t b = 0; b < t.p.texts; b++)
                if (b != sick) check_text(&t, b, before);
            for (size_t o = t.y_offsets[sick]; o < t.y_offsets[sick + 1]; o++) {
                check_same(t.y + o * t.p.ldy, before + o * t.p.ldy, head * d);
                for (size_t c = 0; c < d; c++) assert_true(isnan(t.y[o * t.p.ldy + head * d + c]));
            }
        }
        stored_free(&s);
        free(before);
        problem_free(&t);
    }
}

/* Importance is optional. */
static void test_no_importance(void **state) {
    (void)state;
    problem t;
    problem_make(&t, 400, ALL_ROWS);
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    stored s = stored_make(&t), none = stored_make(&t);
    run_stored(&t, kernels, 1, &s);
    workspace w = workspace_make(&t.p, t.longest + 3, 1); /* a workspace for longer texts serves too */
    fov_attention_run run = {kernels, NULL, 1, (float *)(void *)w.block};
    fov_attention_weight_set out = {none.weights, t.starts, NULL, NULL};
    fov_attention_dense.weights(&run, &t.p, &out);
    check_same(s.weights, none.weights, s.cells);
    workspace_free(&w);
    stored_free(&s);
    stored_free(&none);
    problem_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_threads),       cmocka_unit_test(test_alone),
        cmocka_unit_test(test_nan),       cmocka_unit_test(test_no_importance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
