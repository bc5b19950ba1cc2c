/* topk_problem.h: problems of top-k attention for its tests: random layouts with ties, masks, causal order and positions, runs with
 * exactly the workspace asked for, and a double reference. Small whole numbers make scores exact in f32, so the reference selects
 * the very same keys, ties included. Whatever no problem owns is NaN (inputs, scratch) or a canary (outputs). */
#ifndef FOV_TESTS_SUPPORT_TOPK_PROBLEM_H
#define FOV_TESTS_SUPPORT_TOPK_PROBLEM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "support/random.h"
#include "support/tiers.h"

enum { TEXTS = 4, GUARD = 64 };
enum { PLAIN, IN_PLACE, FEW_QUERIES, LISTED, POSITIONS, MODES };

static const float canary = -12345.75f;
static const double unit = 0x1p-24; /* rounding of one f32 operation */

typedef struct ranked {
    double score;
    size_t key;
} ranked;

/* Of a line of the reference, once it is made: the keys that are kept, the best first, with their weight; how far an f32 weight may
 * be off. */
typedef struct kept_line {
    ranked *best;
    size_t count;
    double slack;
} kept_line;

typedef struct problem {
    fov_attention p;
    size_t texts, longest, starts[TEXTS], cells;
    size_t q_offsets[TEXTS + 1], k_offsets[TEXTS + 1], y_offsets[TEXTS + 1];
    uint32_t *y_query, *position;
    uint8_t *mask;
    float *q, *k, *v, *y;
    size_t q_floats, k_floats, y_floats;
    fov_setting setting;
    kept_line *kept; /* [heads][queries] text by text; inputs must not change once one is made */
    size_t lines;
} problem;

static inline void *block_of(size_t count, size_t size) {
    void *block = calloc(count + 1, size);
    assert_non_null(block);
    return block;
}

static inline float *rows_of(test_rng *rng, const size_t *offsets, size_t texts, size_t columns, size_t ld, bool whole) {
    float *block = block_of(offsets[texts] * ld, sizeof *block);
    for (size_t i = 0; i < offsets[texts] * ld; i++) {
        bool owned = i / ld >= offsets[0] && i % ld < columns;
        float x = whole ? (float)test_between(rng, 0, 4) - 2 : 2 * test_float(rng);
        block[i] = owned ? x : NAN;
    }
    return block;
}

static inline fov_setting setting_of(const char *text) {
    size_t count;
    const fov_method_info *const *infos = fov_attention_infos(&count);
    fov_setting setting;
    assert_int_equal(fov_setting_parse(&setting, infos, count, text, NULL), FOV_OK);
    return setting;
}

typedef struct plan {
    uint64_t seed;
    int mode;
    size_t k, most, head_size; /* keys kept; of the longest text; 0: any */
    bool causal, masked, real;
    const char *scores; /* NULL: f32 */
} plan;

static inline void make_offsets(problem *t, test_rng *rng, const plan *how) {
    t->k_offsets[0] = test_between(rng, 0, 5);
    t->q_offsets[0] = how->mode == IN_PLACE || how->mode == PLAIN ? t->k_offsets[0] : test_between(rng, 0, 5);
    t->y_offsets[0] = how->mode == LISTED ? test_between(rng, 0, 5) : t->q_offsets[0];
    for (size_t b = 0; b < t->texts; b++) {
        size_t keys = b == 1 ? 1 : b == 3 ? 0 : b == 0 && how->most > 1000 ? how->most : test_between(rng, 1, how->most);
        size_t queries = (how->mode == FEW_QUERIES || how->mode == POSITIONS) && keys ? test_between(rng, 1, keys) : keys;
        if (how->mode == FEW_QUERIES && b >= 2) queries = keys + 3; /* causal: the first three see nothing */
        size_t outputs = how->mode == LISTED ? test_between(rng, 0, 2 * queries) : queries;
        t->k_offsets[b + 1] = t->k_offsets[b] + keys;
        t->q_offsets[b + 1] = t->q_offsets[b] + queries;
        t->y_offsets[b + 1] = t->y_offsets[b] + outputs;
        t->starts[b] = t->cells;
        t->cells += queries * keys;
        if (keys > t->longest) t->longest = keys;
        if (queries > t->longest) t->longest = queries;
    }
}

static inline void problem_make(problem *t, const plan *how) {
    static const size_t sizes[] = {1, 7, 32, 33, 64, 80};
    test_rng rng = {how->seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    memset(t, 0, sizeof *t);
    fov_attention *p = &t->p;
    p->texts = t->texts = test_between(&rng, 1, TEXTS);
    p->heads = test_between(&rng, 1, 3);
    p->key_size = p->head_size = how->head_size ? how->head_size : sizes[test_between(&rng, 0, 5)];
    make_offsets(t, &rng, how);
    size_t width = p->heads * p->head_size;
    p->ldq = width + test_between(&rng, 0, 5);
    p->ldk = width + test_between(&rng, 0, 5);
    p->ldv = width + test_between(&rng, 0, 5);
    p->ldy = how->mode == IN_PLACE ? p->ldq : width + test_between(&rng, 0, 5);
    p->q_offsets = t->q_offsets;
    p->k_offsets = t->k_offsets;
    p->y_offsets = t->y_offsets;
    t->q = rows_of(&rng, t->q_offsets, t->texts, width, p->ldq, !how->real);
    p->k = t->k = rows_of(&rng, t->k_offsets, t->texts, width, p->ldk, !how->real);
    p->v = t->v = rows_of(&rng, t->k_offsets, t->texts, width, p->ldv, false);
    t->q_floats = t->q_offsets[t->texts] * p->ldq;
    t->k_floats = t->k_offsets[t->texts] * p->ldk;
    t->y_floats = t->y_offsets[t->texts] * p->ldy;
    p->y = t->y = block_of(t->y_floats + GUARD, sizeof *t->y);
    p->q = how->mode == IN_PLACE ? t->y : t->q;
    p->scale = 1 / sqrtf((float)p->head_size);
    p->causal = how->causal;
    t->mask = block_of(t->k_offsets[t->texts], 1);
    for (size_t i = 0; i < t->k_offsets[t->texts]; i++) t->mask[i] = (uint8_t)(test_between(&rng, 0, 2) != 0);
    for (size_t i = t->k_offsets[0]; t->texts > 2 && i < t->k_offsets[1]; i++) t->mask[i] = 0; /* one text wholly masked */
    p->key_mask = how->masked ? t->mask : NULL;
    t->y_query = block_of(t->y_offsets[t->texts], sizeof *t->y_query);
    t->position = block_of(t->q_offsets[t->texts], sizeof *t->position);
    for (size_t b = 0; b < t->texts; b++) {
        for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
            t->y_query[o] = (uint32_t)test_between(&rng, 0, t->q_offsets[b + 1] - t->q_offsets[b] - 1);
        for (size_t i = t->q_offsets[b]; i < t->q_offsets[b + 1] && t->k_offsets[b] < t->k_offsets[b + 1]; i++)
            t->position[i] = (uint32_t)test_between(&rng, 0, t->k_offsets[b + 1] - t->k_offsets[b] - 1);
    }
    p->y_query = how->mode == LISTED ? t->y_query : NULL;
    p->q_position = how->mode == POSITIONS ? t->position : NULL;
    char text[40];
    snprintf(text, sizeof text, "topk:k=%zu,scores=%s", how->k, how->scores ? how->scores : "f32");
    t->setting = setting_of(text);
    t->lines = p->heads * (t->q_offsets[t->texts] - t->q_offsets[0]);
    t->kept = block_of(t->lines, sizeof *t->kept);
}

static inline void problem_free(problem *t) {
    for (size_t i = 0; i < t->lines; i++) free(t->kept[i].best);
    void *blocks[] = {t->q, t->k, t->v, t->y, t->y_query, t->position, t->mask, t->kept};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

/* ---- running, with exactly the workspace asked for ---- */

static inline void check_guard(const float *block, size_t floats) {
    for (size_t i = 0; i < GUARD; i++)
        if (block[floats + i] != canary) fail_msg("an array of %zu floats is overrun at + %zu", floats, i);
}

static inline float *guarded(size_t floats) {
    float *block = block_of(floats + GUARD, sizeof *block);
    for (size_t i = 0; i < floats + GUARD; i++) block[i] = i < floats ? NAN : canary;
    return block;
}

typedef struct bench {
    unsigned char *block;
    size_t bytes;
    fov_attention_run run;
} bench;

static inline bench bench_make(const problem *t, const fov_kernels *kernels, unsigned threads, size_t more, bool backward) {
    fov_attention_size size = {.longest = t->longest + more,
                               .texts = t->p.texts,
                               .tokens = t->k_offsets[t->texts] + more,
                               .heads = t->p.heads,
                               .head_size = t->p.head_size,
                               .threads = threads};
    bench w = {NULL, (backward ? fov_attention_topk.backward_workspace : fov_attention_topk.workspace)(&t->setting, &size), {0}};
    assert_int_equal(w.bytes % 64, 0);
    w.block = aligned_alloc(64, w.bytes + 64);
    assert_non_null(w.block);
    memset(w.block, 0xFF, w.bytes); /* NaN: scratch read before it is written shows */
    memset(w.block + w.bytes, 0xC5, 64);
    w.run = (fov_attention_run){kernels, &t->setting, threads, (float *)(void *)w.block};
    return w;
}

static inline void bench_free(bench *w) {
    for (size_t i = 0; i < 64; i++)
        if (w->block[w->bytes + i] != 0xC5) fail_msg("a workspace of %zu bytes is overrun at + %zu", w->bytes, i);
    free(w->block);
}

static inline void reset_output(problem *t) {
    for (size_t i = 0; i < t->y_floats + GUARD; i++) t->y[i] = canary;
    if (t->p.q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
}

static inline void run_forward(problem *t, const fov_kernels *kernels, unsigned threads) {
    bench w = bench_make(t, kernels, threads, 0, false);
    reset_output(t);
    fov_attention_topk.forward(&w.run, &t->p);
    bench_free(&w);
    check_guard(t->y, t->y_floats);
}

typedef struct stored {
    float *weights, *col_max, *col_energy;
    size_t cells, keys;
} stored;

static inline stored run_stored(problem *t, const fov_kernels *kernels, unsigned threads) {
    size_t cells = t->cells * t->p.heads, keys = t->p.heads * t->k_offsets[t->p.texts];
    stored s = {guarded(cells), guarded(keys), guarded(keys), cells, keys};
    fov_attention_weight_set out = {s.weights, t->starts, s.col_max, s.col_energy};
    bench w = bench_make(t, kernels, threads, 0, false);
    reset_output(t);
    fov_attention_topk.weights(&w.run, &t->p, &out);
    fov_attention_topk.apply(&w.run, &t->p, &out);
    bench_free(&w);
    check_guard(t->y, t->y_floats);
    return s;
}

static inline void stored_free(stored *s) {
    check_guard(s->weights, s->cells);
    check_guard(s->col_max, s->keys);
    check_guard(s->col_energy, s->keys);
    free(s->weights);
    free(s->col_max);
    free(s->col_energy);
}

/* ---- the reference ---- */

typedef struct line {
    double *score, *weight; /* [keys]; weight 0 where not kept */
    double slack, gap;      /* relative error of an f32 weight; k-th score less the next */
    ranked *order;          /* [keys], of which the k best and the next hold something */
    size_t keys;
} line;

static inline line line_make(const problem *t) {
    line l = {.score = block_of(t->longest, sizeof(double)), .weight = block_of(t->longest, sizeof(double))};
    l.order = block_of(t->longest, sizeof *l.order);
    return l;
}

static inline void line_free(line *l) {
    free(l->score);
    free(l->weight);
    free(l->order);
}

static inline int compare_ranked(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static inline bool seen(const problem *t, size_t text, size_t query, size_t key) {
    const fov_attention *p = &t->p;
    size_t keys = t->k_offsets[text + 1] - t->k_offsets[text], queries = t->q_offsets[text + 1] - t->q_offsets[text];
    if (p->key_mask && !p->key_mask[t->k_offsets[text] + key]) return false;
    if (!p->causal) return true;
    if (p->q_position) return key <= p->q_position[t->q_offsets[text] + query];
    return key + queries <= query + keys;
}

/* One more, of a later key, among the `most` best in order. */
static inline void rank_one(ranked *order, size_t *count, size_t most, ranked one) {
    if (*count == most && order[most - 1].score >= one.score) return;
    size_t i = *count < most ? (*count)++ : most - 1;
    for (; i && order[i - 1].score < one.score; i--) order[i] = order[i - 1];
    order[i] = one;
}

/* The k best of the seen keys, by score and then the lower key; their softmax. */
static inline void reference_line(const problem *t, size_t text, size_t head, size_t query, line *l) {
    const fov_attention *p = &t->p;
    size_t d = p->head_size, k = (size_t)fov_setting_get(&t->setting, "k");
    const float *q = t->q + (t->q_offsets[text] + query) * p->ldq + head * d;
    double largest = 0, sum = 0;
    l->keys = t->k_offsets[text + 1] - t->k_offsets[text];
    size_t count = 0;
    const bool few = k < 100 && k < l->keys;
    for (size_t j = 0; j < l->keys; j++) {
        const float *row = p->k + (t->k_offsets[text] + j) * p->ldk + head * d;
        double score = 0, size = 0;
        l->score[j] = l->weight[j] = 0;
        if (!seen(t, text, query, j)) continue;
        for (size_t c = 0; c < d; c++) {
            const double product = (double)q[c] * (double)row[c];
            score += product;
            size += fabs(product);
        }
        l->score[j] = score;
        largest = fmax(largest, size * (double)p->scale);
        if (few)
            rank_one(l->order, &count, k + 1, (ranked){score, j});
        else
            l->order[count++] = (ranked){score, j};
    }
    if (!few) qsort(l->order, count, sizeof *l->order, compare_ranked);
    l->gap = count > k ? l->order[k - 1].score - l->order[k].score : INFINITY;
    for (size_t n = 0; n < k && n < count; n++)
        sum += l->weight[l->order[n].key] = exp((l->order[n].score - l->order[0].score) * (double)p->scale);
    for (size_t j = 0; j < l->keys; j++) l->weight[j] = l->weight[j] > 0 ? l->weight[j] / sum : 0;
    l->slack = unit * (2 * (double)(d + 2) * largest + (double)l->keys + 16);
}

static inline void check_near(double got, double want, double tolerance, const char *what, size_t text, size_t head, size_t row) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, head %zu, row %zu: %.9g, not %.9g (tolerance %.3g)", what, text, head, row, got, want, tolerance);
}

/* The same line, kept: runs on several tiers are compared with it. */
static inline const kept_line *kept_of(const problem *t, size_t text, size_t head, size_t query) {
    const size_t queries = t->q_offsets[text + 1] - t->q_offsets[text];
    kept_line *one = t->kept + t->p.heads * (t->q_offsets[text] - t->q_offsets[0]) + head * queries + query;
    if (one->best) return one;
    line l = line_make(t);
    reference_line(t, text, head, query, &l);
    for (size_t j = 0; j < l.keys; j++) one->count += l.weight[j] > 0;
    one->best = block_of(one->count, sizeof *one->best);
    for (size_t i = 0; i < one->count; i++) one->best[i] = (ranked){l.weight[l.order[i].key], l.order[i].key};
    one->slack = l.slack;
    line_free(&l);
    return one;
}

static inline void check_output(const problem *t, size_t text, size_t head, size_t o, const kept_line *l) {
    const fov_attention *p = &t->p;
    const size_t keys = t->k_offsets[text + 1] - t->k_offsets[text];
    for (size_t c = 0; c < p->head_size; c++) {
        double y = 0, size = 0;
        for (size_t j = 0; j < l->count; j++) {
            double v = (double)t->v[(t->k_offsets[text] + l->best[j].key) * p->ldv + head * p->head_size + c];
            y += l->best[j].score * v;
            size += l->best[j].score * fabs(v);
        }
        double got = (double)t->y[o * p->ldy + head * p->head_size + c];
        check_near(got, y, size * (l->slack + unit * (double)keys), "y", text, head, o);
    }
}

static inline void check_outputs(const problem *t) {
    const fov_attention *p = &t->p;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
                check_output(t, b, h, o, kept_of(t, b, h, p->y_query ? p->y_query[o] : o - t->y_offsets[b]));
    for (size_t i = 0; i < t->y_floats; i++) {
        if (i / p->ldy >= t->y_offsets[0] && i % p->ldy < p->heads * p->head_size) continue;
        if (!(p->q == t->y ? isnan(t->y[i]) : t->y[i] == canary)) fail_msg("float %zu is outside every output, but was written", i);
    }
}

static inline void check_stored(const problem *t, const stored *s) {
    const fov_attention *p = &t->p;
    double *most = block_of(t->longest, sizeof *most), *energy = block_of(t->longest, sizeof *energy),
           *want = block_of(t->longest, sizeof *want);
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++) {
            size_t keys = t->k_offsets[b + 1] - t->k_offsets[b], queries = t->q_offsets[b + 1] - t->q_offsets[b];
            const float *a = s->weights + p->heads * t->starts[b] + h * queries * keys;
            for (size_t j = 0; j < keys; j++) most[j] = energy[j] = 0;
            for (size_t i = 0; i < queries; i++) {
                const kept_line *l = kept_of(t, b, h, i);
                memset(want, 0, keys * sizeof *want);
                for (size_t n = 0; n < l->count; n++) want[l->best[n].key] = l->best[n].score;
                for (size_t j = 0; j < keys; j++) {
                    double got = (double)a[i * keys + j];
                    check_near(got, want[j], want[j] * l->slack, "weight", b, h, i); /* 0 where not kept */
                    most[j] = fmax(most[j], got);
                    energy[j] += got * got;
                }
            }
            for (size_t j = 0; j < keys; j++) {
                size_t at = h * t->k_offsets[p->texts] + t->k_offsets[b] + j;
                check_near((double)s->col_max[at], most[j], 0, "col_max", b, h, j);
                check_near((double)s->col_energy[at], energy[j], energy[j] * unit * (double)(queries + 2), "col_energy", b, h, j);
            }
        }
    free(most);
    free(energy);
    free(want);
}

#endif
