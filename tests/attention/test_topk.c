/* test_topk.c: top-k attention against a double reference on every tier, with ties, masks, causal order and positions. Inputs of
 * most tests are small whole numbers: their scores are exact in f32, so the reference selects the very same keys, ties included.
 * Whatever no problem owns is NaN (inputs, scratch) or a canary (outputs). */
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

enum { TEXTS = 4, GUARD = 64 };
enum { PLAIN, IN_PLACE, FEW_QUERIES, LISTED, POSITIONS, MODES };

static const float canary = -12345.75f;
static const double unit = 0x1p-24; /* rounding of one f32 operation */

typedef struct problem {
    fov_attention p;
    size_t texts, longest, starts[TEXTS], cells;
    size_t q_offsets[TEXTS + 1], k_offsets[TEXTS + 1], y_offsets[TEXTS + 1];
    uint32_t *y_query, *position;
    uint8_t *mask;
    float *q, *k, *v, *y;
    size_t q_floats, k_floats, y_floats;
    fov_setting setting;
} problem;

static void *block_of(size_t count, size_t size) {
    void *block = calloc(count + 1, size);
    assert_non_null(block);
    return block;
}

static float *rows_of(test_rng *rng, const size_t *offsets, size_t texts, size_t columns, size_t ld, bool whole) {
    float *block = block_of(offsets[texts] * ld, sizeof *block);
    for (size_t i = 0; i < offsets[texts] * ld; i++) {
        bool owned = i / ld >= offsets[0] && i % ld < columns;
        float x = whole ? (float)test_between(rng, 0, 4) - 2 : 2 * test_float(rng);
        block[i] = owned ? x : NAN;
    }
    return block;
}

static fov_setting setting_of(const char *text) {
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
} plan;

static void make_offsets(problem *t, test_rng *rng, const plan *how) {
    t->k_offsets[0] = test_between(rng, 0, 5);
    t->q_offsets[0] = how->mode == IN_PLACE || how->mode == PLAIN ? t->k_offsets[0] : test_between(rng, 0, 5);
    t->y_offsets[0] = how->mode == LISTED ? test_between(rng, 0, 5) : t->q_offsets[0];
    for (size_t b = 0; b < t->texts; b++) {
        size_t keys = b == 1 ? 1 : b == 0 && how->most > 1000 ? how->most : test_between(rng, 1, how->most);
        size_t queries = how->mode == FEW_QUERIES || how->mode == POSITIONS ? test_between(rng, 1, keys) : keys;
        if (how->mode == FEW_QUERIES && b == 2) queries = keys + 3; /* causal: the first three see nothing */
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

static void problem_make(problem *t, const plan *how) {
    static const size_t sizes[] = {1, 7, 32, 33, 64, 80};
    test_rng rng = {how->seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    memset(t, 0, sizeof *t);
    fov_attention *p = &t->p;
    p->texts = t->texts = test_between(&rng, 1, TEXTS);
    p->heads = test_between(&rng, 1, 3);
    p->head_size = how->head_size ? how->head_size : sizes[test_between(&rng, 0, 5)];
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
        for (size_t i = t->q_offsets[b]; i < t->q_offsets[b + 1]; i++)
            t->position[i] = (uint32_t)test_between(&rng, 0, t->k_offsets[b + 1] - t->k_offsets[b] - 1);
    }
    p->y_query = how->mode == LISTED ? t->y_query : NULL;
    p->q_position = how->mode == POSITIONS ? t->position : NULL;
    char text[40];
    snprintf(text, sizeof text, "topk:k=%zu", how->k);
    t->setting = setting_of(text);
}

static void problem_free(problem *t) {
    void *blocks[] = {t->q, t->k, t->v, t->y, t->y_query, t->position, t->mask};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

/* ---- running, with exactly the workspace asked for ---- */

static void check_guard(const float *block, size_t floats) {
    for (size_t i = 0; i < GUARD; i++)
        if (block[floats + i] != canary) fail_msg("an array of %zu floats is overrun at + %zu", floats, i);
}

static float *guarded(size_t floats) {
    float *block = block_of(floats + GUARD, sizeof *block);
    for (size_t i = 0; i < floats + GUARD; i++) block[i] = i < floats ? NAN : canary;
    return block;
}

typedef struct bench {
    unsigned char *block;
    size_t bytes;
    fov_attention_run run;
} bench;

static bench bench_make(const problem *t, const fov_kernels *kernels, unsigned threads, size_t more, bool backward) {
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

static void bench_free(bench *w) {
    for (size_t i = 0; i < 64; i++)
        if (w->block[w->bytes + i] != 0xC5) fail_msg("a workspace of %zu bytes is overrun at + %zu", w->bytes, i);
    free(w->block);
}

static void reset_output(problem *t) {
    for (size_t i = 0; i < t->y_floats + GUARD; i++) t->y[i] = canary;
    if (t->p.q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
}

static void run_forward(problem *t, const fov_kernels *kernels, unsigned threads) {
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

static stored run_stored(problem *t, const fov_kernels *kernels, unsigned threads) {
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

static void stored_free(stored *s) {
    check_guard(s->weights, s->cells);
    check_guard(s->col_max, s->keys);
    check_guard(s->col_energy, s->keys);
    free(s->weights);
    free(s->col_max);
    free(s->col_energy);
}

/* ---- the reference ---- */

typedef struct ranked {
    double score;
    size_t key;
} ranked;

typedef struct line {
    double *score, *weight; /* [keys]; weight 0 where not kept */
    double slack, gap;      /* relative error of an f32 weight; k-th score less the next */
    ranked *order;          /* [keys] */
    size_t keys;
} line;

static line line_make(const problem *t) {
    line l = {.score = block_of(t->longest, sizeof(double)), .weight = block_of(t->longest, sizeof(double))};
    l.order = block_of(t->longest, sizeof *l.order);
    return l;
}

static void line_free(line *l) {
    free(l->score);
    free(l->weight);
    free(l->order);
}

static int compare_ranked(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static bool seen(const problem *t, size_t text, size_t query, size_t key) {
    const fov_attention *p = &t->p;
    size_t keys = t->k_offsets[text + 1] - t->k_offsets[text], queries = t->q_offsets[text + 1] - t->q_offsets[text];
    if (p->key_mask && !p->key_mask[t->k_offsets[text] + key]) return false;
    if (!p->causal) return true;
    if (p->q_position) return key <= p->q_position[t->q_offsets[text] + query];
    return key + queries <= query + keys;
}

/* The k best of the seen keys, by score and then the lower key; their softmax. */
static void reference_line(const problem *t, size_t text, size_t head, size_t query, line *l) {
    const fov_attention *p = &t->p;
    size_t d = p->head_size, k = (size_t)fov_setting_get(&t->setting, "k");
    const float *q = t->q + (t->q_offsets[text] + query) * p->ldq + head * d;
    double largest = 0, sum = 0;
    l->keys = t->k_offsets[text + 1] - t->k_offsets[text];
    for (size_t j = 0; j < l->keys; j++) {
        const float *row = p->k + (t->k_offsets[text] + j) * p->ldk + head * d;
        double size = 0;
        l->score[j] = l->weight[j] = 0;
        for (size_t c = 0; c < d && seen(t, text, query, j); c++) {
            l->score[j] += (double)q[c] * (double)row[c];
            size += fabs((double)q[c] * (double)row[c]);
        }
        largest = fmax(largest, size * (double)p->scale);
    }
    size_t count = 0;
    for (size_t j = 0; j < l->keys; j++)
        if (seen(t, text, query, j)) l->order[count++] = (ranked){l->score[j], j};
    qsort(l->order, count, sizeof *l->order, compare_ranked);
    l->gap = count > k ? l->order[k - 1].score - l->order[k].score : INFINITY;
    for (size_t n = 0; n < k && n < count; n++)
        sum += l->weight[l->order[n].key] = exp((l->order[n].score - l->order[0].score) * (double)p->scale);
    for (size_t j = 0; j < l->keys; j++) l->weight[j] = l->weight[j] > 0 ? l->weight[j] / sum : 0;
    l->slack = unit * (2 * (double)(d + 2) * largest + (double)l->keys + 16);
}

static void check_near(double got, double want, double tolerance, const char *what, size_t text, size_t head, size_t row) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, head %zu, row %zu: %.9g, not %.9g (tolerance %.3g)", what, text, head, row, got, want, tolerance);
}

static void check_output(const problem *t, size_t text, size_t head, size_t o, const line *l) {
    const fov_attention *p = &t->p;
    for (size_t c = 0; c < p->head_size; c++) {
        double y = 0, size = 0;
        for (size_t j = 0; j < l->keys; j++) {
            if (l->weight[j] == 0) continue;
            double v = (double)t->v[(t->k_offsets[text] + j) * p->ldv + head * p->head_size + c];
            y += l->weight[j] * v;
            size += l->weight[j] * fabs(v);
        }
        double got = (double)t->y[o * p->ldy + head * p->head_size + c];
        check_near(got, y, size * (l->slack + unit * (double)l->keys), "y", text, head, o);
    }
}

static void check_outputs(const problem *t) {
    const fov_attention *p = &t->p;
    line l = line_make(t);
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                reference_line(t, b, h, p->y_query ? p->y_query[o] : o - t->y_offsets[b], &l);
                check_output(t, b, h, o, &l);
            }
    line_free(&l);
    for (size_t i = 0; i < t->y_floats; i++) {
        if (i / p->ldy >= t->y_offsets[0] && i % p->ldy < p->heads * p->head_size) continue;
        if (!(p->q == t->y ? isnan(t->y[i]) : t->y[i] == canary)) fail_msg("float %zu is outside every output, but was written", i);
    }
}

static void check_stored(const problem *t, const stored *s) {
    const fov_attention *p = &t->p;
    line l = line_make(t);
    double *most = block_of(t->longest, sizeof *most), *energy = block_of(t->longest, sizeof *energy);
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++) {
            size_t keys = t->k_offsets[b + 1] - t->k_offsets[b], queries = t->q_offsets[b + 1] - t->q_offsets[b];
            const float *a = s->weights + p->heads * t->starts[b] + h * queries * keys;
            for (size_t j = 0; j < keys; j++) most[j] = energy[j] = 0;
            for (size_t i = 0; i < queries; i++) {
                reference_line(t, b, h, i, &l);
                for (size_t j = 0; j < keys; j++) {
                    double got = (double)a[i * keys + j];
                    check_near(got, l.weight[j], l.weight[j] * l.slack, "weight", b, h, i); /* 0 where not kept */
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
    line_free(&l);
    free(most);
    free(energy);
}

/* ---- tests ---- */

static const fov_kernels *tier(size_t i) {
    return fov_kernels_names()[i] ? fov_kernels_named(fov_kernels_names()[i]) : NULL;
}

#define FOR_EACH_TIER(kernels)                                                                                                     \
    for (size_t tier_ = 0; fov_kernels_names()[tier_]; tier_++)                                                                    \
        for (const fov_kernels *kernels = tier(tier_); kernels; kernels = NULL)

static const size_t ks[] = {1, 2, 7, 64, 1000};
enum { KS = sizeof ks / sizeof *ks };

static plan plan_of(uint64_t seed, int mode) {
    return (plan){.seed = seed, .mode = mode, .k = ks[seed % KS], .most = 150, .causal = seed & 1, .masked = seed >> 1 & 1};
}

static void test_reference(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            problem t;
            plan how = plan_of(seed, mode);
            problem_make(&t, &how);
            run_forward(&t, kernels, 1);
            check_outputs(&t);
            float *y = block_of(t.y_floats, sizeof *y);
            memcpy(y, t.y, t.y_floats * sizeof *y);
            stored s = run_stored(&t, kernels, 1);
            check_stored(&t, &s);
            assert_memory_equal(t.y, y, t.y_floats * sizeof *y); /* the two ways make the same bits */
            free(y);
            stored_free(&s);
            problem_free(&t);
        }
}

/* Several tiles of keys, chunks of queries and cuts of the candidates; k = 700 makes chunks shorter than a text. */
static void test_long(void **state) {
    (void)state;
    static const size_t long_ks[] = {5, 100, 700, 5000};
    for (size_t i = 0; i < 4; i++)
        for (int causal = 0; causal < 2; causal++) {
            problem t;
            plan how = {.seed = 3, .k = long_ks[i], .most = 1500, .head_size = 3, .causal = causal, .masked = i == 1};
            problem_make(&t, &how);
            for (size_t j = 0; j < t.q_floats; j++)
                if (t.q[j] < 0 || isnan(t.q[j])) t.q[j] = isnan(t.q[j]) ? t.q[j] : -t.q[j];
            if (i == 0) /* ascending scores: every key enters */
                for (size_t j = 0; j < t.k_floats; j++) t.k[j] = isnan(t.k[j]) ? t.k[j] : (float)(j / t.p.ldk);
            run_forward(&t, fov_kernels_get(NULL), 2);
            check_outputs(&t);
            problem_free(&t);
        }
}

/* k >= T: dense attention, but for the order of sums. */
static void test_all(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels) {
        problem t;
        plan how = {.seed = 11, .k = 150, .most = 150, .real = true};
        problem_make(&t, &how);
        run_forward(&t, kernels, 1);
        check_outputs(&t);
        float *y = block_of(t.y_floats, sizeof *y);
        memcpy(y, t.y, t.y_floats * sizeof *y);
        fov_attention_size size = {t.longest, t.p.texts, t.k_offsets[t.texts], t.p.heads, t.p.head_size, 1, 0, 0};
        float *scratch = aligned_alloc(64, fov_attention_dense.workspace(NULL, &size));
        fov_attention_run run = {kernels, NULL, 1, scratch};
        fov_attention_dense.forward(&run, &t.p);
        for (size_t i = 0; i < t.y_floats; i++) /* |V| < 2; weights sum to 1 */
            if (t.y[i] != canary) check_near((double)y[i], (double)t.y[i], 4 * unit * 150, "y", 0, 0, i);
        free(scratch);
        free(y);
        problem_free(&t);
    }
}

/* Same bits for every thread count, and for a text alone, in a workspace for longer ones. */
static void test_bits_equal(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        problem t;
        plan how = plan_of(40 + (uint64_t)mode, mode);
        how.real = true;
        problem_make(&t, &how);
        run_forward(&t, kernels, 1);
        float *y = block_of(t.y_floats, sizeof *y);
        memcpy(y, t.y, t.y_floats * sizeof *y);
        run_forward(&t, kernels, 5);
        assert_memory_equal(t.y, y, t.y_floats * sizeof *y);
        for (size_t b = 0; b < t.texts; b++) {
            problem one = t;
            one.p.texts = 1;
            one.p.q_offsets += b;
            one.p.k_offsets += b;
            one.p.y_offsets += b;
            bench w = bench_make(&one, kernels, 2, 333, false);
            reset_output(&one);
            fov_attention_topk.forward(&w.run, &one.p);
            bench_free(&w);
            for (size_t o = t.y_offsets[b]; o < t.y_offsets[b + 1]; o++)
                assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, t.p.heads * t.p.head_size * sizeof *y);
        }
        free(y);
        problem_free(&t);
    }
}

/* What a query may not see does not matter, not even when it is NaN; a NaN it sees makes its head NaN. */
static void test_unseen(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 60; seed < 70; seed++) {
        problem t;
        plan how = {.seed = seed, .k = 9, .most = 80, .causal = seed & 1, .masked = !(seed & 1)};
        problem_make(&t, &how);
        run_forward(&t, kernels, 1);
        float *y = block_of(t.y_floats, sizeof *y);
        memcpy(y, t.y, t.y_floats * sizeof *y);
        size_t b = t.texts - 1, last = t.k_offsets[b + 1] - 1, d = t.p.heads * t.p.head_size;
        for (size_t i = 0; i < t.k_offsets[t.texts]; i++)
            for (size_t c = 0; c < d && (how.masked ? !t.mask[i] && i >= t.k_offsets[0] : i == last); c++)
                t.k[i * t.p.ldk + c] = t.v[i * t.p.ldv + c] = seed & 2 ? NAN : -NAN;
        run_forward(&t, kernels, 1);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[t.texts] - how.causal; o++)
            assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, d * sizeof *y);
        for (size_t c = 0; how.causal && c < d; c++) assert_true(isnan(t.y[last * t.p.ldy + c]));
        free(y);
        problem_free(&t);
    }
}

/* With s = the dense weight of the kept keys: y_k - y = (1 - s)(mean of V kept - mean of V dropped); s grows with k. */
static void test_identity(void **state) {
    (void)state;
    double before = 0;
    for (size_t k = 1; k <= 40; k += 3) {
        problem t, all;
        plan how = {.seed = 81, .k = k, .most = 60, .head_size = 32, .real = true};
        problem_make(&t, &how);
        how.k = 1000;
        problem_make(&all, &how);
        run_forward(&t, fov_kernels_get(NULL), 1);
        size_t b = t.texts - 1, o = t.y_offsets[b];
        line l = line_make(&t), full = line_make(&t);
        reference_line(&t, b, 0, 0, &l);
        reference_line(&all, b, 0, 0, &full);
        double s = 0;
        for (size_t j = 0; j < l.keys; j++) s += l.weight[j] > 0 ? full.weight[j] : 0;
        assert_true(s >= before);
        before = s;
        for (size_t c = 0; c < t.p.head_size; c++) {
            double y = 0, kept = 0, dropped = 0;
            for (size_t j = 0; j < l.keys; j++) {
                double v = (double)t.v[(t.k_offsets[b] + j) * t.p.ldv + c];
                y += full.weight[j] * v;
                kept += l.weight[j] > 0 ? full.weight[j] / s * v : 0;
                dropped += l.weight[j] > 0 ? 0 : full.weight[j] * v; /* (1 - s) mean */
            }
            check_near((double)t.y[o * t.p.ldy + c] - y, (1 - s) * kept - dropped, 2 * (l.slack + unit * 60), "error", b, 0, c);
        }
        line_free(&l);
        line_free(&full);
        problem_free(&t);
        problem_free(&all);
    }
    assert_true(before > 0.5);
}

/* Memory does not grow with T but for two lines of an apply row. */
static void test_memory(void **state) {
    (void)state;
    fov_setting setting = setting_of("topk:k=64");
    fov_attention_size size = {.longest = 131072, .texts = 1, .tokens = 131072, .heads = 1, .head_size = 64, .threads = 1};
    size_t bytes = fov_attention_topk.workspace(&setting, &size);
    assert_in_range(bytes, 1, 8u << 20);
    size.longest = SIZE_MAX / 8;
    assert_true(fov_attention_topk.workspace(&setting, &size) == SIZE_MAX); /* saturates */
}

static void test_parameters(void **state) {
    (void)state;
    size_t count;
    const fov_method_info *const *infos = fov_attention_infos(&count);
    static const char *const wrong[] = {"topk:k=0", "topk:k=-1", "topk:k=1.5", "topk:k=", "topk:m=3", "topk:k=2000000000"};
    fov_setting setting;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(fov_setting_parse(&setting, infos, count, wrong[i], NULL), FOV_ERR_ARGUMENT);
    setting = setting_of("topk");
    assert_true(fov_setting_get(&setting, "k") == 64);
    assert_true(fov_attention_topk.cost(&setting, 10, 100, 8) == 10 * (100 + 64) * 8);
    assert_true(fov_attention_topk.cost(&setting, 10, 20, 8) == 10 * (20 + 20) * 8);
}

/* ---- gradients ---- */

typedef struct gradient {
    double *dq, *dk, *dv; /* laid out as q, k, v */
} gradient;

static double target(size_t i) { /* dy, as a function of its place */
    return sin((double)i * 1.7) + 0.25;
}

/* sum dy y in double, over the problem's present q, k, v. */
static double loss(const problem *t) {
    const fov_attention *p = &t->p;
    line l = line_make(t);
    double sum = 0;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                reference_line(t, b, h, p->y_query ? p->y_query[o] : o - t->y_offsets[b], &l);
                for (size_t j = 0; j < l.keys; j++)
                    for (size_t c = h * p->head_size; c < (h + 1) * p->head_size; c++)
                        sum += (double)(float)target(o * p->ldy + c) * l.weight[j] *
                               (double)t->v[(t->k_offsets[b] + j) * p->ldv + c] * (l.weight[j] > 0);
            }
    line_free(&l);
    return sum;
}

/* The smallest gap between a k-th score and the next. */
static double least_gap(const problem *t) {
    line l = line_make(t);
    double least = INFINITY;
    for (size_t b = 0; b < t->texts; b++)
        for (size_t h = 0; h < t->p.heads; h++)
            for (size_t i = 0; i < t->q_offsets[b + 1] - t->q_offsets[b]; i++) {
                reference_line(t, b, h, i, &l);
                least = fmin(least, l.gap);
            }
    line_free(&l);
    return least;
}

/* Central differences at floats whose neighbours in f32 are exact: steps of 2^-8 on inputs rounded to 2^-10. */
static void check_differences(problem *t, float *x, size_t floats, const float *got, const char *what) {
    const float step = 0x1p-8f;
    for (size_t i = 0; i < floats; i++) {
        if (isnan(x[i])) {
            assert_true(got[i] == canary); /* not an input: not written */
            continue;
        }
        float was = x[i];
        x[i] = was + step;
        double up = loss(t);
        x[i] = was - step;
        double down = loss(t);
        x[i] = was;
        double want = (up - down) / (2 * (double)step);
        check_near((double)got[i], want, 2e-4 * (1 + fabs(want)), what, 0, 0, i); /* the step's third-order term */
    }
}

static void run_backward(problem *t, const fov_kernels *kernels, unsigned threads, float *dq, float *dk, float *dv) {
    float *dy = block_of(t->y_floats, sizeof *dy);
    for (size_t i = 0; i < t->y_floats; i++)
        dy[i] = i / t->p.ldy >= t->y_offsets[0] && i % t->p.ldy < t->p.heads * t->p.head_size ? (float)target(i) : NAN;
    run_forward(t, kernels, threads);
    bench w = bench_make(t, kernels, threads, 0, true);
    fov_attention_gradient g = {dy, dq, dk, dv};
    fov_attention_topk.backward(&w.run, &t->p, &g);
    bench_free(&w);
    free(dy);
}

static float *canaries(size_t floats) {
    float *block = block_of(floats + GUARD, sizeof *block);
    for (size_t i = 0; i < floats + GUARD; i++) block[i] = canary;
    return block;
}

static void test_backward(void **state) {
    (void)state;
    static const int modes[] = {PLAIN, FEW_QUERIES, LISTED, POSITIONS};
    size_t checked = 0;
    for (uint64_t seed = 100; seed < 400 && checked < 12; seed++) {
        problem t;
        plan how = {.seed = seed,
                    .mode = modes[seed % 4],
                    .k = 3,
                    .most = 9,
                    .head_size = 5,
                    .causal = seed & 1,
                    .masked = seed >> 1 & 1,
                    .real = true};
        problem_make(&t, &how);
        float *inputs[] = {t.q, t.k};
        for (size_t a = 0; a < 2; a++)
            for (size_t i = 0; i < (a ? t.k_floats : t.q_floats); i++) inputs[a][i] = roundf(inputs[a][i] * 1024) / 1024;
        size_t v_floats = t.k_offsets[t.texts] * t.p.ldv;
        if (least_gap(&t) > 0.05) { /* a step moves a score by at most 2 * 2 * 2^-8 */
            checked++;
            FOR_EACH_TIER(kernels) {
                float *dq = canaries(t.q_floats), *dk = canaries(t.k_floats), *dv = canaries(v_floats);
                run_backward(&t, kernels, 2, dq, dk, dv);
                check_differences(&t, t.q, t.q_floats, dq, "dq");
                check_differences(&t, t.k, t.k_floats, dk, "dk");
                check_differences(&t, t.v, v_floats, dv, "dv");
                check_guard(dq, t.q_floats);
                check_guard(dk, t.k_floats);
                check_guard(dv, v_floats);
                free(dq);
                free(dk);
                free(dv);
            }
        }
        problem_free(&t);
    }
    assert_int_equal(checked, 12);
}

/* Keys that nobody keeps have gradients of exactly 0, though the scores near them do not; the same bits on any threads. */
static void test_never_kept(void **state) {
    (void)state;
    problem t;
    plan how = {.seed = 503, .k = 1, .most = 120, .head_size = 33};
    problem_make(&t, &how);
    const fov_kernels *kernels = fov_kernels_get(NULL);
    size_t v_floats = t.k_offsets[t.texts] * t.p.ldv, stride = t.k_offsets[t.texts], unkept = 0;
    float *dq[2], *dk[2], *dv[2];
    for (unsigned i = 0; i < 2; i++) {
        dq[i] = canaries(t.q_floats);
        dk[i] = canaries(t.k_floats);
        dv[i] = canaries(v_floats);
        run_backward(&t, kernels, 1 + 3 * i, dq[i], dk[i], dv[i]);
    }
    assert_memory_equal(dq[0], dq[1], t.q_floats * sizeof(float));
    assert_memory_equal(dk[0], dk[1], t.k_floats * sizeof(float));
    assert_memory_equal(dv[0], dv[1], v_floats * sizeof(float));
    stored s = run_stored(&t, kernels, 1);
    for (size_t h = 0; h < t.p.heads; h++)
        for (size_t j = t.k_offsets[0]; j < stride; j++) {
            if (s.col_max[h * stride + j] > 0) continue;
            unkept++;
            for (size_t c = h * 33; c < (h + 1) * 33; c++) assert_true(dk[0][j * t.p.ldk + c] == 0 && dv[0][j * t.p.ldv + c] == 0);
        }
    assert_true(unkept > 0);
    stored_free(&s);
    for (unsigned i = 0; i < 2; i++) {
        free(dq[i]);
        free(dk[i]);
        free(dv[i]);
    }
    problem_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),  cmocka_unit_test(test_long),       cmocka_unit_test(test_all),
        cmocka_unit_test(test_bits_equal), cmocka_unit_test(test_unseen),     cmocka_unit_test(test_identity),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_parameters), cmocka_unit_test(test_backward),
        cmocka_unit_test(test_never_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
