/* test_stats.c: shares, the incomplete beta function and the bootstrap against scipy 1.17.1 (special.betainc, stats.beta.ppf) and
 * formulas. */
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double got, double expected, double tolerance) {
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.17g is not %.17g", got, expected);
}

/* lgamma is exact to about an ulp of its value, here up to 1e5: 1e-10 after the exponential. */
static void test_beta(void **state) {
    (void)state;
    static const struct {
        double a, b, x, value;
    } rows[] = {{.5, .5, .3, 0.36901011956554536},    {2, 3, .4, 0.5247999999999999},        {10, 1, .9, 0.34867844010000004},
                {1, 436, .005, 0.8875749200365595},   {8, 429, .02, 0.644469256576279},      {200, 237, .45, 0.37483903384832906},
                {1e4, 3, .9995, 0.12450466181846877}, {5000, 5000, .51, 0.9772579676754254}, {1, 1, .25, .25}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_near(stats_beta(rows[i].x, rows[i].a, rows[i].b), rows[i].value, 1e-10);
    assert_near(stats_beta(0, 2, 3), 0, 0);
    assert_near(stats_beta(1, 2, 3), 1, 0);
}

static void test_shares(void **state) {
    (void)state;
    static const struct {
        size_t hits, n;
        double alpha, low, high;
    } rows[] = {{0, 436, .05, 0, 0.006847394604983282},
                {0, 598, .05, 0, 0.004997058694246506},
                {7, 436, .025, 0.00647869958823919, 0.03279851491799157},
                {1, 10, .05, 0.005116196891823701, 0.39416330243650466},
                {10, 10, .05, 0.7411344491069477, 1},
                {9, 10, .05, 0.6058366975634952, 0.9948838031081763},
                {30, 872, .05 / 3, 0.022535414405609997, 0.05004758651757377},
                {500, 1000, .025, 0.46854917297179194, 0.531450827028208},
                {0, 1, .05, 0, .95},
                {3, 100000, .01, 4.360485748951068e-06, 0.0001004476367557172}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_near(stats_share_low(rows[i].hits, rows[i].n, rows[i].alpha), rows[i].low, 1e-10);
        assert_near(stats_share_high(rows[i].hits, rows[i].n, rows[i].alpha), rows[i].high, 1e-10);
    }
}

/* numpy.quantile([1, 2, 4, 8], [0, .25, .5, 1]) */
static void test_quantiles(void **state) {
    (void)state;
    double values[] = {8, 1, 4, 2};
    assert_near(stats_median(values, 4), 3, 0);
    assert_near(stats_quantile(values, 4, 0), 1, 0);
    assert_near(stats_quantile(values, 4, .25), 1.75, 0);
    assert_near(stats_quantile(values, 4, 1), 8, 0);
    assert_true(isnan(stats_median(values, 0)));
}

enum { N = 1000, ROUNDS = 2000 };
static double gold[N], exact[N], candidate[N], differences[ROUNDS];

/* With b right answers lost and c won, the loss (b - c) / n has the variance ((b + c) / n - ((b - c) / n)^2) / n. Pairing matters:
 * unpaired, it would be 2 p (1 - p) / n, here ten times as much. A quantile of 2000 rounds has a standard error of 3 % of the
 * half width; the grid is 1 / n, 5 % of it. */
static void test_paired(void **state) {
    (void)state;
    enum { B = 25, C = 10 };
    for (size_t i = 0; i < N; i++) {
        gold[i] = 1;
        exact[i] = i % 5 != 0;
        candidate[i] = exact[i];
    }
    for (size_t i = 0; i < B; i++) candidate[5 * i + 1] = 0;
    for (size_t i = 0; i < C; i++) candidate[5 * i] = 1;
    const paired p = {metric_accuracy, gold, exact, candidate, N, 1, 0};
    size_t kept;
    assert_int_equal(stats_paired(&p, ROUNDS, differences, &kept), 0);
    assert_int_equal(kept, ROUNDS);
    const double loss = (B - C) / (double)N, half = 1.96 * sqrt(((B + C) / (double)N - loss * loss) / N);
    assert_near(stats_quantile(differences, kept, .025), loss - half, .2 * half);
    assert_near(stats_quantile(differences, kept, .975), loss + half, .2 * half);
    const double first = differences[0];
    assert_int_equal(stats_paired(&p, ROUNDS, differences, &kept), 0);
    assert_near(differences[0], first, 0); /* a fixed seed */
}

/* Where nothing changed, harm h makes every resample lose exactly h texts. */
static void test_harm(void **state) {
    (void)state;
    size_t kept;
    for (size_t i = 0; i < N; i++) gold[i] = exact[i] = candidate[i] = (double)(i % 2);
    const paired p = {metric_accuracy, gold, exact, candidate, N, 1, 7}, none = {metric_accuracy, gold, exact, candidate, N, 1, 0};
    assert_int_equal(stats_paired(&p, 50, differences, &kept), 0);
    for (size_t i = 0; i < kept; i++) assert_near(differences[i], 7. / N, 1e-12);
    assert_int_equal(stats_paired(&none, 50, differences, &kept), 0);
    for (size_t i = 0; i < kept; i++) assert_near(differences[i], 0, 0);
    /* two labels each: of a spoilt set no cell is a true positive any more, 500 texts x 1 of 2 labels */
    for (size_t i = 0; i < N; i++) gold[i] = exact[i] = candidate[i] = i % 2 == 0;
    const paired sets = {metric_micro_f1, gold, exact, candidate, N / 2, 2, 5};
    assert_int_equal(stats_paired(&sets, 50, differences, &kept), 0);
    for (size_t i = 0; i < kept; i++) assert_near(differences[i], 1 - 2 * 495. / (2 * 495 + 5), 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beta),   cmocka_unit_test(test_shares), cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_paired), cmocka_unit_test(test_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
