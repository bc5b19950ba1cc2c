/* test_topk.c: top-k attention, forward, against a double reference on every tier, with ties, masks, causal order and positions. */
#include "attention/topk_test.h"

static plan plan_of(uint64_t seed, int mode) {
    return (plan){.seed = seed, .mode = mode, .k = topk_ks[seed % KS], .most = 150, .causal = seed & 1, .masked = seed >> 1 & 1};
}

static void test_reference(void **state) {
    (void)state;
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            const plan how = plan_of(seed, mode);
            topk_check_reference(&how, 1);
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
        fov_attention_size size = {t.longest, t.p.texts, t.k_offsets[t.texts], t.p.heads, t.p.head_size, 1, 0, 0, false};
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

static void test_bits_equal(void **state) {
    (void)state;
    for (int mode = 0; mode < MODES; mode++) {
        plan how = plan_of(40 + (uint64_t)mode, mode);
        how.real = true;
        topk_check_bits(&how);
    }
}

static void test_unseen(void **state) {
    (void)state;
    for (uint64_t seed = 60; seed < 70; seed++) {
        const plan how = {.seed = seed, .k = 9, .most = 80, .causal = seed & 1, .masked = !(seed & 1)};
        topk_check_unseen(&how, seed & 2 ? NAN : -NAN);
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
    static const struct {
        const char *text, *says; /* a part of the one line */
    } wrong[] = {
        {"topk:k=0", "k=0 is outside [1, 1e+09]"},
        {"topk:k=-1", "k=-1 is outside [1, 1e+09]"},
        {"topk:k=2000000000", "k=2000000000 is outside"},
        {"topk:k=1.5", "k=1.5 must be a whole number"},
        {"topk:k=", "k='' is not a number"},
        {"topk:k=many", "k='many' is not a number"},
        {"topk:m=3", "'topk' has no parameter 'm'; did you mean 'k'?"},
        {"topk:scores=int4", "scores='int4' is not one of f32|int8"},
        {"topk:scores=", "scores='' is not one of f32|int8"},
        {"topk:k=3,k=4", "k is given twice"},
    };
    fov_setting setting;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fov_error error;
        assert_int_equal(fov_setting_parse(&setting, infos, count, wrong[i].text, &error), FOV_ERR_ARGUMENT);
        if (!strstr(error.message, wrong[i].says) || strchr(error.message, '\n'))
            fail_msg("%s: '%s' does not say '%s'", wrong[i].text, error.message, wrong[i].says);
    }
    setting = setting_of("topk");
    assert_true(fov_setting_get(&setting, "k") == 64);
    assert_true(fov_attention_topk.cost(&setting, 10, 100, 8) == 10 * (100 + 64) * 8);
    assert_true(fov_attention_topk.cost(&setting, 10, 20, 8) == 10 * (20 + 20) * 8);
    setting = setting_of("topk:k=8,scores=int8"); /* 26 candidates are scored twice */
    assert_true(fov_attention_topk.cost(&setting, 10, 100, 8) == 10 * (100 + 26 + 8) * 8);
    assert_true(fov_attention_topk.cost(&setting, 10, 26, 8) == 10 * (26 + 8) * 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),  cmocka_unit_test(test_long),       cmocka_unit_test(test_all),
        cmocka_unit_test(test_bits_equal), cmocka_unit_test(test_unseen),     cmocka_unit_test(test_identity),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
