/* test_gram.c: products of integers in doubles: exact, against 64-bit integers, on every tier. */
#include "kernels_test.h"

enum { MOST = 131, SUMS = FOV_GRAM_ROWS * FOV_GRAM_PANEL, EDGE = 8 };
static int64_t qa[MOST * FOV_GRAM_PANEL], qb[MOST * FOV_GRAM_PANEL];
static double a[MOST * FOV_GRAM_PANEL + 1], b[MOST * FOV_GRAM_PANEL + 1], out[SUMS + 2 * EDGE];

/* Integers below 2^bits; `shift` elements off the alignment. */
static void fill(unsigned bits, size_t shift) {
    for (size_t i = 0; i < MOST * FOV_GRAM_PANEL; i++) {
        qa[i] = (int64_t)test_below((size_t)2 << bits) - ((int64_t)1 << bits);
        qb[i] = (int64_t)test_below((size_t)2 << bits) - ((int64_t)1 << bits);
        a[i + shift] = (double)qa[i];
        b[i + shift] = (double)qb[i];
    }
}

/* The second eight features of a panel as a, and the first: what moments.c asks for. */
static void check(const fov_kernels *k, size_t n, size_t shift, size_t from) {
    for (size_t i = 0; i < SUMS + 2 * EDGE; i++) out[i] = -77;
    k->gram(a + shift + from, b + shift, n, out + EDGE);
    for (size_t i = 0; i < EDGE; i++) assert_true(out[i] == -77 && out[EDGE + SUMS + i] == -77);
    for (size_t i = 0; i < FOV_GRAM_ROWS; i++)
        for (size_t j = 0; j < FOV_GRAM_PANEL; j++) {
            int64_t sum = 0;
            for (size_t t = 0; t < n; t++) sum += qa[t * FOV_GRAM_PANEL + from + i] * qb[t * FOV_GRAM_PANEL + j];
            assert_true(out[EDGE + i * FOV_GRAM_PANEL + j] == (double)sum);
        }
}

/* 131 2^44 < 2^53: every order is exact. */
static void test_exact(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 2, 3, 7, 64, MOST};
    for (size_t tier = 0; tier_number(tier); tier++)
        for (size_t shift = 0; shift < 2; shift++) {
            fill(22, shift);
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (size_t from = 0; from <= FOV_GRAM_ROWS; from += FOV_GRAM_ROWS) check(tier_number(tier), sizes[s], shift, from);
        }
}

/* A NaN reaches the sums of its feature and no other. */
static void test_nan(void **state) {
    (void)state;
    for (size_t tier = 0; tier_number(tier); tier++) {
        fill(10, 0);
        a[5 * FOV_GRAM_PANEL + 3] = NAN;
        tier_number(tier)->gram(a, b, MOST, out);
        for (size_t i = 0; i < SUMS; i++) assert_true(isnan(out[i]) == (i / FOV_GRAM_PANEL == 3));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact), cmocka_unit_test(test_nan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
