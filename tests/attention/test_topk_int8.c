/* test_topk_int8.c: top-k attention with candidates chosen by scores in 8 bits. On random data the candidates hold the k best keys,
 * so the exact reference holds; where 8 bits describe the keys badly a miss must be within what rounding to 8 bits explains. */
#include "support/topk_problem.h"

static const size_t ks[] = {1, 2, 7, 64, 1000};
enum { KS = sizeof ks / sizeof *ks };

static plan plan_of(uint64_t seed, int mode) {
    return (plan){.seed = seed,
                  .mode = mode,
                  .k = ks[seed % KS],
                  .most = 400,
                  .causal = seed & 1,
                  .masked = seed >> 1 & 1,
                  .real = true,
                  .scores = "int8"};
}

static void test_reference(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            problem t;
            const plan how = plan_of(seed, mode);
            problem_make(&t, &how);
            run_forward(&t, kernels, 1);
            check_outputs(&t);
            float *y = block_of(t.y_floats, sizeof *y);
            memcpy(y, t.y, t.y_floats * sizeof *y);
            stored s = run_stored(&t, kernels, 3);
            check_stored(&t, &s);
            assert_memory_equal(t.y, y, t.y_floats * sizeof *y); /* the two ways make the same bits */
            free(y);
            stored_free(&s);
            problem_free(&t);
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

/* |exact - coarse score| at most: half a step of the key times the query, half a step of the query times the key. */
static double slack_of(const problem *t, const float *q, const float *k) {
    double sum_q = 0, sum_k = 0, top_q = 0, top_k = 0;
    for (size_t c = 0; c < t->p.head_size; c++) {
        const double x = fabs((double)q[c]), w = fabs((double)k[c]);
        sum_q += x;
        sum_k += w;
        top_q = fmax(top_q, x);
        top_k = fmax(top_k, w);
    }
    const double step_q = top_q / 127, step_k = top_k / 127;
    return 0.5 * step_k * sum_q + 0.5 * step_q * (sum_k + 0.5 * step_k * (double)t->p.head_size);
}

/* Keys that 8 bits describe badly: a missed key is one that at least as many as there are candidates may have passed by rounding.
 */
static void test_misses(void **state) {
    (void)state;
    problem t;
    const plan how = {.seed = 21, .mode = PLAIN, .k = 16, .most = 1500, .head_size = 32, .real = true, .scores = "int8"};
    problem_make(&t, &how);
    const size_t candidates = 16 + 4 + 16, keys = t.k_offsets[1] - t.k_offsets[0];
    for (size_t i = 0; i < t.k_floats; i++) t.k[i] *= i % t.p.ldk == 5 ? 400 : expf(sinf((float)(i / t.p.ldk) * 0.7f));
    for (size_t i = 5; i < t.q_floats; i += t.p.ldq) t.q[i] = 0; /* so the largest entries of the keys do not count */
    stored s = run_stored(&t, fov_kernels_get(NULL), 1);
    line l = line_make(&t);
    double *slack = block_of(keys, sizeof *slack);
    size_t missed = 0;
    for (size_t i = 0; i < keys; i++) {
        reference_line(&t, 0, 0, i, &l);
        const float *q = t.q + (t.q_offsets[0] + i) * t.p.ldq;
        for (size_t j = 0; j < keys; j++) slack[j] = 1.001 * slack_of(&t, q, t.k + (t.k_offsets[0] + j) * t.p.ldk);
        for (size_t j = 0; j < keys; j++) {
            if (!(l.weight[j] > 0) || s.weights[i * keys + j] > 0 || l.weight[j] < 1e-30) continue; /* 0 in f32 */
            missed++;
            size_t passed = 0;
            for (size_t o = 0; o < keys; o++) passed += o != j && l.score[o] + slack[o] >= l.score[j] - slack[j];
            if (passed < candidates) fail_msg("query %zu lost key %zu, which only %zu others may have passed", i, j, passed);
        }
    }
    assert_true(missed > 0); /* the check is of something */
    stored_free(&s);
    line_free(&l);
    free(slack);
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

/* Same bits for every thread count, and for a text alone, in a workspace for longer ones. */
static void test_bits_equal(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        problem t;
        const plan how = {.seed = 40 + (uint64_t)mode, .mode = mode, .k = 9, .most = 200, .real = true, .scores = "int8"};
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

/* What a query may not see does not matter, not even when it is large or NaN; a NaN it sees makes its head NaN. */
static void test_unseen(void **state) {
    (void)state;
    static const float odd[] = {NAN, -NAN, 1e30f, INFINITY};
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 60; seed < 68; seed++) {
        problem t;
        const plan how = {
            .seed = seed, .k = 9, .most = 300, .causal = seed & 1, .masked = !(seed & 1), .real = true, .scores = "int8"};
        problem_make(&t, &how);
        run_forward(&t, kernels, 1);
        float *y = block_of(t.y_floats, sizeof *y);
        memcpy(y, t.y, t.y_floats * sizeof *y);
        const float now = odd[seed / 2 % 4];
        const size_t last = t.k_offsets[t.texts] - 1, d = t.p.heads * t.p.head_size;
        for (size_t i = 0; i < t.k_offsets[t.texts]; i++)
            for (size_t c = 0; c < d && (how.masked ? !t.mask[i] && i >= t.k_offsets[0] : i == last); c++)
                t.k[i * t.p.ldk + c] = t.v[i * t.p.ldv + c] = now;
        run_forward(&t, kernels, 1);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[t.texts] - how.causal; o++)
            assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, d * sizeof *y);
        for (size_t c = 0; how.causal && isnan(now) && c < d; c++) assert_true(isnan(t.y[last * t.p.ldy + c]));
        free(y);
        problem_free(&t);
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
