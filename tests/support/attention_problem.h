/* attention_problem.h: ragged, strided, masked problems for the tests of the attention room, and running them with exactly the
 * workspace asked for. Whatever no problem owns is NaN (inputs, scratch) or a canary (outputs). A test gives the lengths:
 *
 *     attention_problem t;
 *     attention_problem_begin(&t, &fov_attention_window, "window:w=64", heads, head_size);
 *     attention_problem_add(&t, keys, queries, outputs);            for every text
 *     attention_problem_fill(&t, &rng, range, in_place);
 *     attention_problem_mask(&t, &rng, 3);                          and lists, as wanted
 *     attention_problem_forward(&t, kernels, threads);
 *     attention_problem_free(&t); */
#ifndef FOV_TESTS_SUPPORT_ATTENTION_PROBLEM_H
#define FOV_TESTS_SUPPORT_ATTENTION_PROBLEM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "attention/attention.h"
#include "support/blocks.h"
#include "support/tiers.h"

enum { PROBLEM_TEXTS = 6 };

static const double problem_unit = 0x1p-24; /* rounding of one f32 operation */

/* ---- comparisons ---- */

static inline void check_near(double got, double want, double tolerance, const char *what, size_t text, size_t head, size_t at) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, head %zu, number %zu: %.9g, not %.9g (tolerance %.3g)", what, text, head, at, got, want,
                 tolerance);
}

static inline test_rng rng_of(uint64_t seed) {
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    return rng;
}

static inline fov_setting setting_of(const fov_attention_row *row, const char *text) {
    const fov_method_info *const info = &row->info;
    fov_setting setting;
    fov_error error;
    if (fov_setting_parse(&setting, &info, 1, text, &error)) fail_msg("%s: %s", text, error.message);
    return setting;
}

/* ---- problems ---- */

typedef struct attention_problem {
    fov_attention p;
    const fov_attention_row *row;
    fov_setting setting;
    size_t q_offsets[PROBLEM_TEXTS + 1], k_offsets[PROBLEM_TEXTS + 1], y_offsets[PROBLEM_TEXTS + 1];
    uint32_t *y_query, *q_position;
    uint8_t *mask;
    float *q, *k, *v, *y, *dy, *dq, *dk, *dv; /* q is kept where p.q is y */
    float *scales;                            /* of the heads' scores, or NULL */
    size_t longest, q_floats, k_floats, v_floats, y_floats;
    size_t starts[PROBLEM_TEXTS], cells; /* stored weights of all texts, per head */
} attention_problem;

static inline void attention_problem_begin(attention_problem *t, const fov_attention_row *row, const char *method, size_t heads,
                                           size_t head_size) {
    memset(t, 0, sizeof *t);
    t->row = row;
    t->setting = setting_of(row, method);
    t->p.heads = heads;
    t->p.head_size = t->p.key_size = head_size;
    t->p.scale = 1 / sqrtf((float)head_size);
}

/* Another text. Before the first one, the offsets' starts may be set. */
static inline void attention_problem_add(attention_problem *t, size_t keys, size_t queries, size_t outputs) {
    const size_t b = t->p.texts++;
    assert_true(b < PROBLEM_TEXTS);
    t->k_offsets[b + 1] = t->k_offsets[b] + keys;
    t->q_offsets[b + 1] = t->q_offsets[b] + queries;
    t->y_offsets[b + 1] = t->y_offsets[b] + outputs;
    t->starts[b] = t->cells;
    t->cells += fov_attention_weight_floats(&t->setting, t->p.layer.globals, queries, keys);
    if (keys > t->longest) t->longest = keys;
    if (queries > t->longest) t->longest = queries;
}

static inline size_t problem_keys(const attention_problem *t, size_t text) {
    return t->k_offsets[text + 1] - t->k_offsets[text];
}

static inline size_t problem_queries(const attention_problem *t, size_t text) {
    return t->q_offsets[text + 1] - t->q_offsets[text];
}

/* Random matrices of rows up to 5 floats too long; in place: y is q. */
static inline void attention_problem_fill(attention_problem *t, test_rng *rng, float range, bool in_place) {
    fov_attention *p = &t->p;
    const size_t width = p->heads * p->head_size, texts = p->texts;
    p->ldq = width + test_between(rng, 0, 5);
    p->ldk = width + test_between(rng, 0, 5);
    p->ldv = width + test_between(rng, 0, 5);
    p->ldy = in_place ? p->ldq : width + test_between(rng, 0, 5);
    p->q_offsets = t->q_offsets;
    p->k_offsets = t->k_offsets;
    p->y_offsets = t->y_offsets;
    t->q_floats = t->q_offsets[texts] * p->ldq;
    t->k_floats = t->k_offsets[texts] * p->ldk;
    t->v_floats = t->k_offsets[texts] * p->ldv;
    t->y_floats = t->y_offsets[texts] * p->ldy;
    t->q = block_rows(rng, t->q_offsets[0], t->q_offsets[texts], width, p->ldq, range);
    t->k = block_rows(rng, t->k_offsets[0], t->k_offsets[texts], width, p->ldk, range);
    t->v = block_rows(rng, t->k_offsets[0], t->k_offsets[texts], width, p->ldv, range);
    t->dy = block_rows(rng, t->y_offsets[0], t->y_offsets[texts], width, p->ldy, range);
    t->y = block_make(t->y_floats, block_canary);
    t->dq = block_make(t->q_floats, block_canary);
    t->dk = block_make(t->k_floats, block_canary);
    t->dv = block_make(t->v_floats, block_canary);
    p->q = in_place ? t->y : t->q;
    p->k = t->k;
    p->v = t->v;
    p->y = t->y;
}

/* One key in `share` is not there, and holds NaN; share 0: none is there. */
static inline void attention_problem_mask(attention_problem *t, test_rng *rng, size_t share) {
    const size_t keys = t->k_offsets[t->p.texts];
    t->mask = malloc(keys + 1);
    assert_non_null(t->mask);
    for (size_t i = 0; i < keys; i++) {
        t->mask[i] = share && test_between(rng, 0, share) != 0;
        for (size_t c = 0; !t->mask[i] && c < t->p.ldk; c++) t->k[i * t->p.ldk + c] = NAN;
        for (size_t c = 0; !t->mask[i] && c < t->p.ldv; c++) t->v[i * t->p.ldv + c] = NAN;
    }
    t->p.key_mask = t->mask;
}

static inline uint32_t *problem_list(size_t count) {
    uint32_t *list = calloc(count + 1, sizeof *list);
    assert_non_null(list);
    return list;
}

/* Outputs of any queries. */
static inline void attention_problem_list(attention_problem *t, test_rng *rng) {
    t->p.y_query = t->y_query = problem_list(t->y_offsets[t->p.texts]);
    for (size_t b = 0; b < t->p.texts; b++)
        for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
            t->y_query[o] = (uint32_t)test_between(rng, 0, problem_queries(t, b) - 1);
}

/* Positions of queries: ascending with gaps as the encoder has them, or any. */
static inline void attention_problem_place(attention_problem *t, test_rng *rng, bool ascending) {
    t->p.q_position = t->q_position = problem_list(t->q_offsets[t->p.texts]);
    for (size_t b = 0; b < t->p.texts; b++) {
        const size_t keys = problem_keys(t, b), n = problem_queries(t, b);
        for (size_t i = 0, at = 0; i < n; i++) {
            if (ascending) at += test_between(rng, 0, (keys - (n - i) - at) / 4);
            t->q_position[t->q_offsets[b] + i] = (uint32_t)(ascending ? at++ : test_between(rng, 0, keys - 1));
        }
    }
}

static inline fov_attention_size problem_size(const attention_problem *t, unsigned threads) {
    return (fov_attention_size){.longest = t->longest,
                                .texts = t->p.texts,
                                .tokens = t->p.k_offsets[t->p.texts],
                                .heads = t->p.heads,
                                .head_size = t->p.head_size,
                                .threads = threads,
                                .globals = t->p.layer.globals,
                                .width = t->p.layer.global ? t->p.layer.global->width : 0};
}

/* y as it is before a run. */
static inline void problem_reset(attention_problem *t) {
    for (size_t i = 0; i < t->y_floats; i++) t->y[i] = block_canary;
    if (t->p.q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
}

static inline void attention_problem_forward(attention_problem *t, const fov_kernels *kernels, unsigned threads) {
    const fov_attention_size size = problem_size(t, threads);
    const size_t bytes = t->row->workspace(&t->setting, &size);
    assert_int_equal(bytes % 64, 0);
    void *scratch = scratch_make(bytes);
    const fov_attention_run run = {kernels, &t->setting, threads, scratch};
    problem_reset(t);
    t->row->forward(&run, &t->p);
    scratch_free(scratch, bytes);
    block_check(t->y, t->y_floats);
}

/* After forward: y holds its result. */
static inline void attention_problem_backward(attention_problem *t, const fov_kernels *kernels, unsigned threads) {
    const fov_attention_size size = problem_size(t, threads);
    const size_t bytes = t->row->backward_workspace(&t->setting, &size);
    assert_int_equal(bytes % 64, 0);
    void *scratch = scratch_make(bytes);
    const fov_attention_run run = {kernels, &t->setting, threads, scratch};
    const fov_attention_gradient gradient = {t->dy, t->dq, t->dk, t->dv};
    t->row->backward(&run, &t->p, &gradient);
    scratch_free(scratch, bytes);
}

/* ---- stored weights ---- */

typedef struct stored_weights {
    float *weights, *col_max, *col_energy;
    size_t cells, keys; /* floats of each, guards apart */
} stored_weights;

static inline stored_weights stored_make(const attention_problem *t) {
    const size_t cells = t->cells * t->p.heads, keys = t->p.heads * t->p.k_offsets[t->p.texts];
    return (stored_weights){block_make(cells, NAN), block_make(keys, NAN), block_make(keys, NAN), cells, keys};
}

static inline void stored_free(stored_weights *s) {
    block_check(s->weights, s->cells);
    block_check(s->col_max, s->keys);
    block_check(s->col_energy, s->keys);
    free(s->weights);
    free(s->col_max);
    free(s->col_energy);
}

/* weights and then apply, which must give what forward gives. */
static inline void attention_problem_stored(attention_problem *t, const fov_kernels *kernels, unsigned threads,
                                            const stored_weights *s) {
    const fov_attention_size size = problem_size(t, threads);
    const size_t bytes = t->row->workspace(&t->setting, &size);
    void *scratch = scratch_make(bytes);
    const fov_attention_run run = {kernels, &t->setting, threads, scratch};
    const fov_attention_weight_set set = {s->weights, t->starts, s->col_max, s->col_energy};
    problem_reset(t);
    t->row->weights(&run, &t->p, &set);
    t->row->apply(&run, &t->p, &set);
    scratch_free(scratch, bytes);
    block_check(t->y, t->y_floats);
}

/* What no output owns is as it was. */
static inline void attention_problem_untouched(const attention_problem *t, bool backward) {
    const fov_attention *p = &t->p;
    const size_t width = p->heads * p->head_size;
    block_check_untouched(t->y, t->y_offsets[p->texts], p->ldy, t->y_offsets[0], width, p->q == t->y ? NAN : block_canary);
    if (!backward) return;
    block_check_untouched(t->dq, t->q_offsets[p->texts], p->ldq, t->q_offsets[0], width, block_canary);
    block_check_untouched(t->dk, t->k_offsets[p->texts], p->ldk, t->k_offsets[0], width, block_canary);
    block_check_untouched(t->dv, t->k_offsets[p->texts], p->ldv, t->k_offsets[0], width, block_canary);
}

/* One text of the batch alone, as a slice of the offsets: the same arrays. */
static inline attention_problem attention_problem_alone(const attention_problem *t, size_t text) {
    attention_problem one = *t;
    one.p.texts = 1;
    one.p.q_offsets += text;
    one.p.k_offsets += text;
    one.p.y_offsets += text;
    one.longest = problem_keys(t, text) > problem_queries(t, text) ? problem_keys(t, text) : problem_queries(t, text);
    one.starts[0] = 0;
    one.cells = fov_attention_weight_floats(&t->setting, t->p.layer.globals, problem_queries(t, text), problem_keys(t, text));
    return one;
}

static inline void attention_problem_free(attention_problem *t) {
    void *blocks[] = {t->q, t->k, t->v, t->y, t->dy, t->dq, t->dk, t->dv, t->scales, t->y_query, t->q_position, t->mask};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

#endif
