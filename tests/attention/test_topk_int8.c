/* test_topk_int8.c: top-k attention with candidates chosen by scores in 8 bits. On random data the candidates hold the k best keys,
 * so the exact reference holds; where 8 bits describe the keys badly, what is missed is what the formula of 8 bits misses. */
#include "attention/topk_test.h"

static plan plan_of(uint64_t seed, int mode) {
    return (plan){.seed = seed,
                  .mode = mode,
                  .k = topk_ks[seed % KS],
                  .most = 400,
                  .causal = seed & 1,
                  .masked = seed >> 1 & 1,
                  .real = true,
                  .scores = "int8"};
}

static void test_reference(void **state) {
    (void)state;
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            const plan how = plan_of(seed, mode);
            topk_check_reference(&how, 3);
        }
}

/* Several tiles of keys and chunks of queries. */
static void test_long(void **state) {
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        problem t;
        const plan how = {.seed = 3, .k = 20, .most = 2500, .head_size = 16, .causal = causal, .real = true, .scores = "int8"};
        problem_make(&t, &how);
        run_forward(&t, fov_kernels_get(NULL), 2);
        check_outputs(&t);
        problem_free(&t);
    }
}

/* x in 127 steps of its largest entry, by the formula at the head of topk_coarse.c; returns the step. */
static double steps_of(const float *x, size_t n, double *out) {
    double top = 0;
    for (size_t c = 0; c < n; c++) top = fmax(top, fabs((double)x[c]));
    for (size_t c = 0; c < n; c++) out[c] = round((double)x[c] / top * 127);
    return top / 127;
}

/* No entry so near the middle of two steps that f32 might round it to the other one. */
static void part_halves(float *x, size_t n) {
    double top = 0;
    for (size_t c = 0; c < n; c++) top = fmax(top, fabs((double)x[c]));
    for (size_t c = 0; c < n; c++) {
        const double at = fabs((double)x[c]) / top * 127;
        if (fabs(at - floor(at) - 0.5) < 1e-3) x[c] *= 0.9f * (float)floor(at) / (float)at;
    }
}

/* Keys that 8 bits describe badly: kept are the k best of the candidates that the formula names, in double, and some of the k best
 * of all are not among those. Steps of other sizes name other candidates. */
static void test_misses(void **state) {
    (void)state;
    enum { D = 32, K = 16, CANDIDATES = K + K / 4 + 16 };
    problem t;
    const plan how = {.seed = 21, .mode = PLAIN, .k = K, .most = 1500, .head_size = D, .real = true, .scores = "int8"};
    problem_make(&t, &how);
    const size_t first = t.k_offsets[0], keys = t.k_offsets[1] - first;
    for (size_t i = 0; i < t.k_floats; i++) t.k[i] *= i % t.p.ldk == 5 ? 400 : expf(sinf((float)(i / t.p.ldk) * 0.7f));
    for (size_t i = 5; i < t.q_floats; i += t.p.ldq) t.q[i] = 0; /* so the largest entries of the keys do not count */
    double *w = block_of(keys * D, sizeof *w), *step = block_of(keys, sizeof *step), x[D];
    for (size_t j = 0; j < keys; j++) {
        part_halves(t.k + (first + j) * t.p.ldk, D);
        part_halves(t.q + (t.q_offsets[0] + j) * t.p.ldq, D);
        step[j] = steps_of(t.k + (first + j) * t.p.ldk, D, w + j * D);
    }
    stored s = run_stored(&t, fov_kernels_get(NULL), 1);
    line l = line_make(&t);
    ranked *coarse = block_of(keys, sizeof *coarse);
    size_t missed = 0, checked = 0;
    for (size_t i = 0; i < keys; i++) {
        reference_line(&t, 0, 0, i, &l);
        steps_of(t.q + (t.q_offsets[0] + i) * t.p.ldq, D, x);
        for (size_t j = 0; j < keys; j++) {
            coarse[j] = (ranked){0, j};
            for (size_t c = 0; c < D; c++) coarse[j].score += step[j] * x[c] * w[j * D + c];
        }
        qsort(coarse, keys, sizeof *coarse, compare_ranked);
        const double last = coarse[CANDIDATES - 1].score;
        if (last - coarse[CANDIDATES].score <= 4 * unit * fabs(last)) continue; /* equal in f32 */
        checked++;
        for (size_t n = 0; n < CANDIDATES; n++) coarse[n].score = l.score[coarse[n].key];
        qsort(coarse, CANDIDATES, sizeof *coarse, compare_ranked);
        const double best = coarse[0].score;
        for (size_t n = 0; n < CANDIDATES; n++) {
            const bool kept = s.weights[i * keys + coarse[n].key] > 0;
            if (n < K && !kept && (coarse[n].score - best) * (double)t.p.scale > -80) /* else its weight is 0 in f32 */
                fail_msg("query %zu lost candidate %zu", i, coarse[n].key);
            missed += n < K && l.weight[coarse[n].key] == 0;
        }
        size_t count = 0;
        for (size_t j = 0; j < keys; j++) count += s.weights[i * keys + j] > 0;
        assert_true(count <= K);
    }
    assert_true(missed > keys / 2 && checked > keys * 9 / 10); /* the check is of something */
    stored_free(&s);
    line_free(&l);
    free(coarse);
    free(step);
    free(w);
    problem_free(&t);
}

/* Keys all equal: the lower win, whatever the number of ties. Texts of no more keys than candidates: the bits of f32. */
static void test_ties(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels) {
        problem t;
        plan how = {.seed = 31, .k = 7, .most = 1200, .head_size = 7, .scores = "int8"};
        problem_make(&t, &how);
        for (size_t i = 0; i < t.k_floats; i++) t.k[i] = (float)(i % t.p.ldk % 3) - 1;
        run_forward(&t, kernels, 1);
        check_outputs(&t);
        problem_free(&t);
        problem other;
        how = (plan){.seed = 33, .k = 7, .most = 24, .scores = "int8"}; /* 7 + 1 + 16 */
        problem_make(&t, &how);
        how.scores = "f32";
        problem_make(&other, &how);
        run_forward(&t, kernels, 1);
        run_forward(&other, kernels, 1);
        assert_memory_equal(t.y, other.y, t.y_floats * sizeof *t.y);
        problem_free(&t);
        problem_free(&other);
    }
}

static void test_bits_equal(void **state) {
    (void)state;
    for (int mode = 0; mode < MODES; mode++) {
        const plan how = {.seed = 40 + (uint64_t)mode, .mode = mode, .k = 9, .most = 200, .real = true, .scores = "int8"};
        topk_check_bits(&how);
    }
}

static void test_unseen(void **state) {
    (void)state;
    static const float odd[] = {NAN, -NAN, 1e30f, INFINITY};
    for (uint64_t seed = 60; seed < 68; seed++) {
        const plan how = {
            .seed = seed, .k = 9, .most = 300, .causal = seed & 1, .masked = !(seed & 1), .real = true, .scores = "int8"};
        topk_check_unseen(&how, odd[seed / 2 % 4]);
    }
}

/* A NaN in a query makes its own row NaN and no other. */
static void test_nan_query(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels) {
        problem t;
        const plan how = {.seed = 3, .k = 9, .most = 1100, .head_size = 7, .real = true, .scores = "int8"};
        problem_make(&t, &how);
        const size_t row = t.q_offsets[0] + 700;
        t.q[row * t.p.ldq + 3] = NAN;
        run_forward(&t, kernels, 1);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[t.texts]; o++)
            for (size_t c = 0; c < 7; c++) assert_int_equal(isnan(t.y[o * t.p.ldy + c]) != 0, o == row);
        problem_free(&t);
    }
}

/* Memory: keys in 8 bits, 8 bytes of scale and shift a key, and no more than a third of panels left open by short texts. */
static void test_memory(void **state) {
    (void)state;
    fov_setting setting = setting_of("topk:k=64,scores=int8"), plain = setting_of("topk:k=64");
    fov_attention_size size = {.longest = 131072, .texts = 1, .tokens = 131072, .heads = 1, .head_size = 64, .threads = 1};
    assert_in_range(fov_attention_topk.workspace(&setting, &size), 131072 * 72, (13u << 20) * 5 / 4);
    size.longest = 96; /* all keys are candidates */
    assert_int_equal(fov_attention_topk.workspace(&setting, &size), fov_attention_topk.workspace(&plain, &size));
    size.longest = size.tokens = SIZE_MAX / 8;
    assert_true(fov_attention_topk.workspace(&setting, &size) == SIZE_MAX); /* saturates */
    size = (fov_attention_size){.longest = 500, .texts = 1, .tokens = 500, .heads = 1, .head_size = FOV_I8_MOST + 1, .threads = 1};
    assert_int_equal(fov_attention_topk.workspace(&setting, &size), fov_attention_topk.workspace(&plain, &size)); /* f32 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_long),       cmocka_unit_test(test_misses),
        cmocka_unit_test(test_ties),      cmocka_unit_test(test_bits_equal), cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_nan_query), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
