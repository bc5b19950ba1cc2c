/* test_window_backward.c: gradients of windowed attention against the formulas in double over all pairs of the band, on every tier;
 * those formulas against differences of the loss in double; and the same bits for any thread count and batch. */
#include "support/attention_problem.h"

enum { SEEDS = 24, MAX = 200 };
enum { PLAIN, CAUSAL, POSITIONS, MODES };

static void make(attention_problem *t, uint64_t seed, int mode, size_t longest) {
    static const size_t sizes[] = {1, 5, 32, 33, 64}, lengths[] = {1, 2, 63, 64, 65, 129};
    static const char *const windows[] = {"window:w=1",  "window:w=2",  "window:w=5",   "window:w=16",  "window:w=63",
                                          "window:w=64", "window:w=66", "window:w=100", "window:w=1000"};
    test_rng rng = rng_of(seed * MODES + (uint64_t)mode);
    attention_problem_begin(t, &fov_attention_window, windows[test_between(&rng, 0, 8)], test_between(&rng, 1, 3),
                            sizes[test_between(&rng, 0, 4)]);
    t->p.causal = mode == CAUSAL;
    t->k_offsets[0] = test_between(&rng, 0, 9);
    t->q_offsets[0] = t->y_offsets[0] = mode == PLAIN ? t->k_offsets[0] : test_between(&rng, 0, 9);
    for (size_t texts = test_between(&rng, 1, 3); t->p.texts < texts;) {
        size_t keys = test_between(&rng, 0, 1) ? lengths[test_between(&rng, 0, 5)] : test_between(&rng, 1, MAX);
        if (keys > longest) keys = longest;
        const size_t queries = mode == PLAIN ? keys : test_between(&rng, 1, keys + (mode == CAUSAL ? 3 : 0));
        attention_problem_add(t, keys, queries, queries);
    }
    attention_problem_fill(t, &rng, 2, false);
    if (mode == POSITIONS) attention_problem_place(t, &rng, seed % 2);
    if (seed % 3) attention_problem_mask(t, &rng, test_between(&rng, 0, 4));
}

/* ---- the reference: one text and head ---- */

typedef struct reference {
    size_t queries, keys, d;
    double scale, *q, *k, *v, *dy, *dq, *dk, *dv;
    bool *sees; /* [queries][keys] */
} reference;

static double *gather(const float *x, size_t first, size_t n, size_t ld, size_t head, size_t d) {
    double *to = calloc(n * d + 1, sizeof *to);
    assert_non_null(to);
    for (size_t i = 0; x && i < n; i++)
        for (size_t c = 0; c < d; c++) to[i * d + c] = (double)x[(first + i) * ld + head * d + c];
    return to;
}

static reference reference_of(const attention_problem *t, size_t b, size_t h) {
    const fov_attention *p = &t->p;
    const size_t d = p->head_size, keys = problem_keys(t, b), queries = problem_queries(t, b);
    const long half = (long)t->setting.values[0] / 2;
    reference r = {.queries = queries,
                   .keys = keys,
                   .d = d,
                   .scale = (double)p->scale,
                   .q = gather(t->q, t->q_offsets[b], queries, p->ldq, h, d),
                   .k = gather(t->k, t->k_offsets[b], keys, p->ldk, h, d),
                   .v = gather(t->v, t->k_offsets[b], keys, p->ldv, h, d),
                   .dy = gather(t->dy, t->y_offsets[b], queries, p->ldy, h, d),
                   .dq = gather(NULL, 0, queries, 0, 0, d),
                   .dk = gather(NULL, 0, keys, 0, 0, d),
                   .dv = gather(NULL, 0, keys, 0, 0, d),
                   .sees = calloc(queries * keys + 1, sizeof *r.sees)};
    assert_non_null(r.sees);
    for (size_t i = 0; i < queries; i++) {
        long at = (long)i + (p->causal ? (long)keys - (long)queries : 0);
        if (t->q_position) at = (long)t->q_position[t->q_offsets[b] + i];
        for (size_t j = 0; j < keys; j++)
            r.sees[i * keys + j] = at >= 0 && labs((long)j - at) <= half && (!p->causal || (long)j <= at) &&
                                   (!t->mask || t->mask[t->k_offsets[b] + j]);
    }
    return r;
}

static void reference_free(reference *r) {
    double *blocks[] = {r->q, r->k, r->v, r->dy, r->dq, r->dk, r->dv};
    for (size_t i = 0; i < 7; i++) free(blocks[i]);
    free(r->sees);
}

static double product(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t c = 0; c < n; c++) sum += a[c] * b[c];
    return sum;
}

/* Weights of a query; false when it sees no key. */
static bool weigh(const reference *r, size_t i, double *a) {
    double top = -INFINITY, sum = 0;
    for (size_t j = 0; j < r->keys; j++) {
        a[j] = r->sees[i * r->keys + j] ? r->scale * product(r->q + i * r->d, r->k + j * r->d, r->d) : -INFINITY;
        top = fmax(top, a[j]);
    }
    if (isinf(top)) return false;
    for (size_t j = 0; j < r->keys; j++) sum += a[j] = exp(a[j] - top);
    for (size_t j = 0; j < r->keys; j++) a[j] /= sum;
    return true;
}

static double loss(const reference *r) {
    double sum = 0, a[MAX];
    for (size_t i = 0; i < r->queries; i++) {
        if (!weigh(r, i, a)) continue;
        for (size_t j = 0; j < r->keys; j++)
            if (r->sees[i * r->keys + j]) sum += a[j] * product(r->dy + i * r->d, r->v + j * r->d, r->d);
    }
    return sum;
}

/* dA_ij = dy_i . v_j, dS_ij = A_ij (dA_ij - sum_l A_il dA_il), and the products with q, k and dy. */
static void reference_run(reference *r) {
    const size_t d = r->d;
    double a[MAX], da[MAX];
    for (size_t i = 0; i < r->queries; i++) {
        double mean = 0;
        if (!weigh(r, i, a)) continue;
        for (size_t j = 0; j < r->keys; j++) {
            if (!r->sees[i * r->keys + j]) continue;
            da[j] = product(r->dy + i * d, r->v + j * d, d);
            mean += a[j] * da[j];
        }
        for (size_t j = 0; j < r->keys; j++) {
            if (!r->sees[i * r->keys + j]) continue;
            const double ds = r->scale * a[j] * (da[j] - mean);
            for (size_t c = 0; c < d; c++) {
                r->dq[i * d + c] += ds * r->k[j * d + c];
                r->dk[j * d + c] += ds * r->q[i * d + c];
                r->dv[j * d + c] += a[j] * r->dy[i * d + c];
            }
        }
    }
}

/* The terms of a gradient are at most 2 |dy| |v| |q| = 16 D of values below 2, each some (2 D + 8) roundings off through its score
 * and weight; sums over keys have the weights' sum 1, sums over queries at most `terms` such terms. The largest seen: .45 of it. */
static void check(const float *got, size_t ld, size_t head, size_t rows, size_t d, const double *want, double terms,
                  const char *what) {
    double largest = 1;
    for (size_t i = 0; i < rows * d; i++) largest = fmax(largest, fabs(want[i]));
    const double tolerance = problem_unit * (2 * (double)d + 8 + sqrt(terms)) * fmax(largest, (double)d);
    for (size_t i = 0; i < rows * d; i++)
        check_near((double)got[i / d * ld + head * d + i % d], want[i], tolerance, what, 0, head, i);
}

static void test_gradients(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (int mode = 0; mode < MODES; mode++) {
            attention_problem t;
            make(&t, seed, mode, MAX);
            attention_problem_forward(&t, kernels, 1);
            attention_problem_backward(&t, kernels, 2);
            attention_problem_untouched(&t, true);
            for (size_t b = 0; b < t.p.texts; b++)
                for (size_t h = 0; h < t.p.heads; h++) {
                    reference r = reference_of(&t, b, h);
                    reference_run(&r);
                    const double terms = (double)r.queries;
                    check(t.dq + t.q_offsets[b] * t.p.ldq, t.p.ldq, h, r.queries, r.d, r.dq, terms, "dq");
                    check(t.dk + t.k_offsets[b] * t.p.ldk, t.p.ldk, h, r.keys, r.d, r.dk, terms, "dk");
                    check(t.dv + t.k_offsets[b] * t.p.ldv, t.p.ldv, h, r.keys, r.d, r.dv, terms, "dv");
                    reference_free(&r);
                }
            attention_problem_free(&t);
        }
}

/* Central differences in double: step^2 of truncation and 1e-16 / step of rounding. */
static void check_differences(const reference *r, double *x, const double *gradient, size_t count, const char *what) {
    const double step = 1e-5;
    for (size_t i = 0; i < count; i++) {
        const double kept = x[i];
        if (isnan(kept)) continue; /* a key that is not there */
        x[i] = kept + step;
        const double up = loss(r);
        x[i] = kept - step;
        const double down = loss(r);
        x[i] = kept;
        check_near(gradient[i], (up - down) / (2 * step), 1e-6, what, 0, 0, i);
    }
}

static void test_differences(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++)
        for (int mode = 0; mode < MODES; mode++) {
            attention_problem t;
            make(&t, 100 + seed, mode, 24);
            reference r = reference_of(&t, 0, 0);
            reference_run(&r);
            check_differences(&r, r.q, r.dq, r.queries * r.d, "dq");
            check_differences(&r, r.k, r.dk, r.keys * r.d, "dk");
            check_differences(&r, r.v, r.dv, r.keys * r.d, "dv");
            reference_free(&r);
            attention_problem_free(&t);
        }
}

/* Any thread count, and a text alone: the same bits. */
static void test_same_bits(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        attention_problem t;
        make(&t, 50, mode, MAX);
        attention_problem_forward(&t, kernels, 1);
        attention_problem_backward(&t, kernels, 1);
        float *dq = block_copy(t.dq, t.q_floats), *dk = block_copy(t.dk, t.k_floats), *dv = block_copy(t.dv, t.v_floats);
        attention_problem_backward(&t, kernels, 5);
        for (size_t b = 0; b < t.p.texts; b++) {
            attention_problem one = attention_problem_alone(&t, b);
            for (size_t i = t.k_offsets[b] * t.p.ldk; i < t.k_offsets[b + 1] * t.p.ldk; i++) t.dk[i] = block_canary;
            attention_problem_backward(&one, kernels, 1);
        }
        assert_memory_equal(t.dq, dq, t.q_floats * sizeof *dq);
        assert_memory_equal(t.dk, dk, t.k_floats * sizeof *dk);
        assert_memory_equal(t.dv, dv, t.v_floats * sizeof *dv);
        float *blocks[] = {dq, dk, dv};
        for (size_t i = 0; i < 3; i++) free(blocks[i]);
        attention_problem_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_differences),
                                       cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
