/* test_judge.c: losses and their bounds against hand counts and scipy 1.17.1 (stats.beta.ppf). */
#include "judge.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double got, double expected, double tolerance) {
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.17g is not %.17g", got, expected);
}

enum { MOST = 1000 };
static double gold[MOST], exact[MOST], candidate[MOST];

/* Exact is right on 4 of 5; the candidate loses `harmful` of those and wins `helpful` of the others. Two classes. */
static void fill(size_t n, size_t harmful, size_t helpful) {
    for (size_t i = 0; i < n; i++) {
        gold[i] = (double)(i % 2);
        exact[i] = i % 5 ? gold[i] : 1 - gold[i];
        candidate[i] = exact[i];
    }
    for (size_t i = 0; i < harmful; i++) candidate[5 * i + 1] = 1 - exact[5 * i + 1];
    for (size_t i = 0; i < helpful; i++) candidate[5 * i] = 1 - exact[5 * i];
}

static void test_accuracy(void **state) {
    (void)state;
    const judge j = {JUDGE_ACCURACY, metric_accuracy, 1, .05};
    verdict v;
    fill(436, 7, 3);
    assert_int_equal(judge_run(&j, gold, exact, candidate, 436, &v), 0);
    assert_int_equal(v.changed, 10);
    assert_int_equal(v.harmful, 7);
    assert_int_equal(v.helpful, 3);
    assert_near(v.loss, 100 * 4. / 436, 1e-10);
    assert_near(v.exact - v.figure, 4. / 436, 1e-12);
    assert_near(v.bound, 3.1377288160509353, 1e-8); /* ppf(.975, 8, 429) - ppf(.025, 3, 434) */
    assert_true(v.low < v.loss && v.loss < v.high && v.high < v.bound);
}

static void test_agreement(void **state) {
    (void)state;
    const judge j = {JUDGE_AGREEMENT, NULL, 1, .05};
    verdict v;
    fill(400, 1, 3); /* without labels there is no help: four are changed */
    assert_int_equal(judge_run(&j, NULL, exact, candidate, 400, &v), 0);
    assert_int_equal(v.changed, 4);
    assert_near(v.loss, 1, 1e-12);
    assert_near(v.figure, .99, 1e-12);
    assert_near(v.bound, 2.2736693591129837, 1e-8);
    assert_near(v.low, 0.2731195971242954, 1e-8);
    assert_near(v.high, 2.540480090733625, 1e-8);
}

/* No change was seen: a bare bootstrap would bound the loss by 0. The bound must allow the 3 / n or so that may be hidden. */
static void test_unseen(void **state) {
    (void)state;
    const judge labels = {JUDGE_LABELS, metric_mcc, 1, .05}, sets = {JUDGE_LABELS, metric_micro_f1, 2, .05};
    verdict v;
    fill(MOST, 0, 0);
    assert_int_equal(judge_run(&labels, gold, exact, candidate, MOST, &v), 0);
    assert_near(v.loss, 0, 0);
    assert_near(v.high, 0, 0);
    /* 4 of 1000 (3.68, rounded up): of balanced classes mcc = 2 accuracy - 1 but for second order */
    assert_near(v.bound, .8, .05);
    for (size_t i = 0; i < MOST; i++) exact[i] = candidate[i] = gold[i] = i % 2 == 0;
    assert_int_equal(judge_run(&sets, gold, exact, candidate, MOST / 2, &v), 0);
    assert_near(v.bound, 100 * (1 - 2 * 496. / (2 * 496 + 4)), 1e-9); /* 4 of 500 sets are spoilt in every resample */
}

static void test_scores(void **state) {
    (void)state;
    const judge j = {JUDGE_SCORES, metric_pearson, 1, .05};
    verdict v;
    for (size_t i = 0; i < MOST; i++) {
        exact[i] = sin((double)i);
        gold[i] = exact[i] + .3 * cos(3 * (double)i);
        candidate[i] = exact[i] + .2 * sin(7 * (double)i);
    }
    assert_int_equal(judge_run(&j, gold, exact, candidate, MOST, &v), 0);
    /* Over whole periods the waves are uncorrelated: r = 1 / sqrt(1.09), and 1 / sqrt(1.09 x 1.04); 1000 is no whole number of them
     */
    assert_near(v.exact, 1 / sqrt(1.09), 2e-3);
    assert_near(v.loss, 100 * (1 / sqrt(1.09) - 1 / sqrt(1.09 * 1.04)), .3);
    assert_true(v.low < v.loss && v.loss < v.bound && v.bound < v.high);
    assert_int_equal(judge_run(&j, NULL, exact, candidate, MOST, &v), 0); /* agreement: the correlation with exact */
    assert_near(v.exact, 1, 1e-12);
    assert_near(v.figure, 1 / sqrt(1.04), 2e-3);
}

/* The counts grow in steps, so the smallest number that shows it and the one from which all do differ: from scipy, the range from
 * one to the other. */
static void test_needed(void **state) {
    (void)state;
    const judge agreement = {JUDGE_AGREEMENT, NULL, 1, .05}, accuracy = {JUDGE_ACCURACY, metric_accuracy, 1, .05};
    verdict v = {.texts = 1000, .changed = 4, .harmful = 4, .loss = .4};
    size_t n = judge_needed(&agreement, &v, 1);
    assert_true(n >= 913 && n <= 1049);
    v = (verdict){.texts = 400, .changed = 4, .harmful = 4, .loss = 1};
    n = judge_needed(&agreement, &v, 2);
    assert_true(n >= 590 && n <= 719);
    v = (verdict){.texts = 436, .changed = 10, .harmful = 7, .helpful = 3, .loss = 400. / 436};
    n = judge_needed(&accuracy, &v, 2);
    assert_true(n >= 1742 && n <= 1883);
    assert_true(judge_needed(&accuracy, &v, .9) == SIZE_MAX); /* the loss itself is more */
    const judge labels = {JUDGE_LABELS, metric_mcc, 1, .05};
    v = (verdict){.texts = 1000, .loss = .2, .bound = 1.2};
    n = judge_needed(&labels, &v, .7); /* half the distance: four times the texts, rounded up */
    assert_true(n == 4000 || n == 4001);
    assert_int_equal(judge_least(&agreement, .5), 598); /* ln .05 / ln .995 = 597.6 */
    assert_int_equal(judge_least(&accuracy, .5), 736);  /* ln .025 / ln .995 = 735.9 */
    assert_true(judge_least(&accuracy, 0) == SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy), cmocka_unit_test(test_agreement), cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_scores),   cmocka_unit_test(test_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
