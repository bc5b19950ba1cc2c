/* test_metrics.c: the metrics against hand counts, their definitions and scipy 1.17.1 (pearsonr, spearmanr, t.ppf). */
#include "metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double got, double expected, double tolerance) {
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.17g is not %.17g", got, expected);
}

enum { TEN = 10, NINE = 9 };
/* tp 4, fp 1, fn 2, tn 3 */
static const double gold10[TEN] = {1, 0, 1, 1, 0, 0, 1, 0, 1, 1}, predicted10[TEN] = {1, 0, 0, 1, 1, 0, 1, 0, 1, 0};
static const double gold9[NINE] = {2.5, 0.0, 3.6, 2.5, 5.0, 1.2, 3.6, 3.6, 4.75};
static const double predicted9[NINE] = {2.1, .3, 3.3, 2.9, 4.1, 1.9, 3.3, 2.0, 5.2};

static void test_classes(void **state) {
    (void)state;
    assert_near(metric_accuracy(gold10, predicted10, TEN, NULL), .7, 1e-15);
    assert_near(metric_f1(gold10, predicted10, TEN, NULL), 8. / 11, 1e-15);
    assert_near(metric_micro_f1(gold10, predicted10, TEN, NULL), 8. / 11, 1e-15);
    assert_near(metric_mcc(gold10, predicted10, TEN, NULL), (4 * 3 - 1 * 2) / sqrt(5. * 6 * 4 * 5), 1e-15);
    assert_near(metric_mcc(gold10, predicted10, TEN, NULL), 0.408248290463863, 1e-14); /* numpy.corrcoef: the phi coefficient */
    const double all[TEN] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, none[TEN] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    assert_near(metric_mcc(gold10, all, TEN, NULL), 0, 0);
    assert_near(metric_f1(gold10, none, TEN, NULL), 0, 0);
    assert_near(metric_accuracy(gold10, none, TEN, NULL), 0, 0);
    assert_true(isnan(metric_accuracy(gold10, all, 0, NULL)));
}

static void test_correlations(void **state) {
    (void)state;
    double scratch[METRIC_SCRATCH * NINE], cubed[NINE];
    assert_near(metric_pearson(gold9, predicted9, NINE, NULL), 0.889790720424924, 1e-14);
    assert_near(metric_spearman(gold9, predicted9, NINE, scratch), 0.8804705288710403, 1e-14); /* ties on both sides */
    for (size_t i = 0; i < NINE; i++) cubed[i] = -gold9[i] * gold9[i] * gold9[i];
    assert_near(metric_spearman(gold9, cubed, NINE, scratch), -1, 1e-14); /* ranks see only the order */
    const double flat[NINE] = {3, 3, 3, 3, 3, 3, 3, 3, 3}, broken[NINE] = {1, 2, NAN, 4, 5, 6, 7, 8, 9};
    assert_true(isnan(metric_pearson(gold9, flat, NINE, NULL)));
    assert_true(isnan(metric_spearman(gold9, flat, NINE, scratch)));
    assert_true(isnan(metric_pearson(gold9, broken, NINE, NULL)));
    assert_true(isnan(metric_spearman(gold9, broken, NINE, scratch)));
}

static void test_student(void **state) {
    (void)state;
    static const struct {
        size_t freedom;
        double quantile;
    } rows[] = {{1, 12.706204736174694},   {2, 4.302652729749462},    {5, 2.5705818356363146}, {7, 2.364624251592784},
                {29, 2.045229642132703},   {30, 2.0422724563012378},  {31, 2.039513446396408}, {40, 2.021075390306273},
                {127, 1.9788195347028539}, {1000, 1.9623390808264083}};
    /* four decimals in the table up to 30 */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_near(student_t95(rows[i].freedom), rows[i].quantile, 5.1e-5);
    const double figures[] = {.9, .91, .905, .92};
    interval i = metric_over_seeds(figures, 4);
    assert_near(i.mean, .90875, 1e-15);
    assert_near(i.low, 0.8951623455810198, 1e-6);
    assert_near(i.high, 0.9223376544189801, 1e-6);
}

/* Resampled accuracy is a binomial share: its 95 % interval is p +- 1.96 sqrt(p (1 - p) / n), here to within a resampling error
 * of 1000 rounds (a quantile's standard error is below .1 of the half width) and the grid of 1 / n. */
static void test_bootstrap(void **state) {
    (void)state;
    enum { N = 1000 };
    static double gold[N], predicted[N];
    for (size_t i = 0; i < N; i++) predicted[i] = i % 5 != 0;
    for (size_t i = 0; i < N; i++) gold[i] = 1;
    interval a, b;
    assert_int_equal(metric_bootstrap(metric_accuracy, gold, predicted, N, 1, 1000, &a), 0);
    double half = 1.96 * sqrt(.8 * .2 / N);
    assert_near(a.mean, .8, 1e-15);
    assert_near(a.low, .8 - half, .3 * half);
    assert_near(a.high, .8 + half, .3 * half);
    assert_int_equal(metric_bootstrap(metric_accuracy, gold, predicted, N, 1, 1000, &b), 0);
    assert_memory_equal(&a, &b, sizeof a); /* a fixed seed */
    assert_int_equal(metric_bootstrap(metric_spearman, gold9, predicted9, NINE, 1, 500, &a), 0);
    assert_near(a.mean, 0.8804705288710403, 1e-14);
    assert_true(a.low < a.mean && a.mean < a.high && a.high <= 1);
    assert_int_equal(metric_bootstrap(metric_accuracy, gold, predicted, 0, 1, 10, &a), 0);
    assert_true(isnan(a.mean));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_correlations),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_bootstrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
