/* test_topk_backward.c: gradients of top-k attention against differences in double, by either kind of scores. */
#include "support/topk_problem.h"

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

static void check_backward(const char *scores, size_t most, size_t problems) {
    static const int modes[] = {PLAIN, FEW_QUERIES, LISTED, POSITIONS};
    size_t checked = 0;
    for (uint64_t seed = 100; seed < 400 && checked < problems; seed++) {
        problem t;
        plan how = {.seed = seed,
                    .mode = modes[seed % 4],
                    .k = 3,
                    .most = most,
                    .head_size = 5,
                    .causal = seed & 1,
                    .masked = seed >> 1 & 1,
                    .real = true,
                    .scores = scores};
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
    assert_int_equal(checked, problems);
}

static void test_backward(void **state) {
    (void)state;
    check_backward("f32", 9, 12);
    check_backward("int8", 26, 4); /* more keys than candidates */
}

/* The same bits on any threads, with heads enough to share and with one; keys that nobody keeps have gradients of exactly 0, though
 * the scores near them do not. */
static void check_threads(const plan *how, size_t heads) {
    problem t;
    problem_make(&t, how);
    if (heads) t.p.heads = heads; /* the first of them */
    const fov_kernels *kernels = fov_kernels_get(NULL);
    static const unsigned threads[] = {1, 2, 3, 8};
    enum { RUNS = sizeof threads / sizeof *threads };
    const size_t v_floats = t.k_offsets[t.texts] * t.p.ldv, stride = t.k_offsets[t.texts], d = t.p.head_size;
    size_t unkept = 0;
    float *dq[RUNS], *dk[RUNS], *dv[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        dq[i] = canaries(t.q_floats);
        dk[i] = canaries(t.k_floats);
        dv[i] = canaries(v_floats);
        run_backward(&t, kernels, threads[i], dq[i], dk[i], dv[i]);
        assert_memory_equal(dq[0], dq[i], t.q_floats * sizeof(float));
        assert_memory_equal(dk[0], dk[i], t.k_floats * sizeof(float));
        assert_memory_equal(dv[0], dv[i], v_floats * sizeof(float));
    }
    stored s = run_stored(&t, kernels, 1);
    for (size_t h = 0; h < t.p.heads; h++)
        for (size_t j = t.k_offsets[0]; j < stride; j++) {
            if (s.col_max[h * stride + j] > 0) continue;
            unkept++;
            for (size_t c = h * d; c < (h + 1) * d; c++) assert_true(dk[0][j * t.p.ldk + c] == 0 && dv[0][j * t.p.ldv + c] == 0);
        }
    assert_true(unkept > 0);
    stored_free(&s);
    for (size_t i = 0; i < RUNS; i++) {
        free(dq[i]);
        free(dk[i]);
        free(dv[i]);
    }
    problem_free(&t);
}

static void test_threads(void **state) {
    (void)state;
    const plan few = {.seed = 503, .k = 1, .most = 120, .head_size = 33};
    const plan long_text = {.seed = 503, .k = 5, .most = 1500, .head_size = 8, .causal = true, .real = true};
    const plan coarse = {.seed = 509, .mode = FEW_QUERIES, .k = 5, .most = 1500, .head_size = 8, .real = true, .scores = "int8"};
    check_threads(&few, 0);
    check_threads(&long_text, 1);
    check_threads(&coarse, 0);
    check_threads(&coarse, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_backward), cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
