/* test_moments.c: exact sums of inputs and their products: against long double, and the same bits in any order. */
#include <math.h>

#include "model/moments.h"
#include "support/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { D = 75, N = 700, LAYERS = 2 }; /* D: no multiple of a tile or a register */
static float x[N * D], shuffled[N * D];
static double mean[2][D], covariance[2][D * D];

static void fill(uint64_t seed) {
    test_rng rng = {seed};
    for (size_t i = 0; i < N * D; i++) x[i] = test_float(&rng) * (i % D == 3 ? 40 : 1) + (i % D == 5 ? 7 : 0);
}

static void gather(const float *from, size_t step, unsigned threads, double *m, double *c) {
    fov_moments *moments = NULL;
    assert_int_equal(fov_moments_create(LAYERS, D, threads, fov_allocator_or_default(NULL), &moments), FOV_OK);
    for (size_t i = 0; i < N; i += step) fov_moments_add(moments, 1, from + i * D, NULL, N - i < step ? N - i : step);
    assert_true(fov_moments_finish(moments, 1, N, m, c));
    fov_moments_free(moments);
}

/* x is rounded to 2^-12, by 2^-13 at most: a mean is off by that, a product's mean by (|a| + |b|) 2^-13. */
static void test_against_long_double(void **state) {
    (void)state;
    fill(1);
    gather(x, N, 1, mean[0], covariance[0]);
    for (size_t i = 0; i < D; i++)
        for (size_t k = 0; k < D; k++) {
            long double a = 0, b = 0, ab = 0, top = 0;
            for (size_t t = 0; t < N; t++) {
                const long double u = x[t * D + i], w = x[t * D + k];
                a += u / N;
                b += w / N;
                ab += u * w / N;
                top = fmaxl(top, fabsl(u) + fabsl(w));
            }
            assert_true(fabs(mean[0][i] - (double)a) <= 0x1p-13);
            assert_true(fabs(covariance[0][i * D + k] - (double)(ab - a * b)) <= 2 * (double)top * 0x1p-13);
        }
}

static void test_order(void **state) {
    (void)state;
    const size_t steps[] = {N, 1, 37, 256, 300};
    fill(2);
    gather(x, N, 1, mean[0], covariance[0]);
    for (size_t t = 0; t < N; t++) memcpy(shuffled + t * D, x + (t * 333 % N) * D, D * sizeof *x); /* 333 and 700 are coprime */
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        gather(shuffled, steps[s], 1 + (unsigned)s % 3, mean[1], covariance[1]);
        assert_memory_equal(mean[0], mean[1], sizeof mean[0]);
        assert_memory_equal(covariance[0], covariance[1], sizeof covariance[0]);
    }
}

/* Sums that could round, and numbers that are none, are told. */
static void test_refused(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, 1e6f, 3e4f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fov_moments *moments = NULL;
        fill(3);
        x[5 * D + 7] = bad[i];
        assert_int_equal(fov_moments_create(LAYERS, D, 2, fov_allocator_or_default(NULL), &moments), FOV_OK);
        fov_moments_add(moments, 0, x, NULL, N);
        /* (3e4 * 2^12)^2 = 1.5e16 is above 2^53 = 9e15 */
        assert_false(fov_moments_finish(moments, 0, N, mean[0], covariance[0]));
        fov_moments_free(moments);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_long_double),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
