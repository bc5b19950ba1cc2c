/* test_gather.c: the slots of the top-k methods, every tier: the sparse product against double, selection by a bound exactly. */
#include "kernels/kernels_test.h"

static void check_gather(const fov_kernels *k, size_t n, size_t rows, size_t cols, size_t ldv) {
    guarded a = guarded_random(n, 1), v = guarded_random(rows * ldv, 3), y = guarded_make(cols, 5);
    uint32_t *index = malloc((n + 1) * sizeof *index);
    assert_non_null(index);
    for (size_t i = 0; i < n; i++) index[i] = (uint32_t)test_below(rows);
    for (size_t i = 0; i < rows; i++) /* beyond the columns: not read */
        for (size_t c = cols; c < ldv; c++) v.data[i * ldv + c] = test_canary();
    k->gather(a.data, index, n, v.data, ldv, cols, y.data);
    for (size_t c = 0; c < cols; c++) {
        double exact = 0, size = 0;
        for (size_t i = 0; i < n; i++) {
            const double part = (double)a.data[i] * (double)v.data[index[i] * ldv + c];
            exact += part;
            size += fabs(part);
        }
        if (!(fabs((double)y.data[c] - exact) <= (double)(n + 1) * 0x1p-24 * size)) /* n roundings of at most the sum of sizes */
            fail_msg("%s: column %zu of %zu, n %zu: %.9g, not %.9g", k->name, c, cols, n, (double)y.data[c], exact);
    }
    guarded_check(&y);
    guarded_free(&a);
    guarded_free(&v);
    guarded_free(&y);
    free(index);
}

static void test_gather(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k)
    for (size_t cols = 0; cols < 140; cols += cols < 70 ? 1 : 13)
        for (size_t n = 0; n < 40; n += n < 10 ? 1 : 7) check_gather(k, n, 30, cols, cols + test_below(4) + 1);
}

static void check_above(const fov_kernels *k, size_t n, float bound) {
    enum { EXTRA = 16 };
    guarded s = guarded_random(n, 2), value = guarded_make(n + EXTRA, 1), index = guarded_make(n + EXTRA, 3);
    for (size_t i = 0; i < n; i++)
        if (test_below(8) == 0) s.data[i] = test_below(2) ? bound : test_below(2) ? NAN : -INFINITY;
    uint32_t *to = (uint32_t *)(void *)index.data;
    const size_t count = k->above(s.data, n, bound, 1000, value.data, to);
    size_t want = 0;
    for (size_t i = 0; i < n; i++) {
        if (s.data[i] <= bound) continue;
        assert_true(want < count && same_bits(&value.data[want], &s.data[i], 1) && to[want] == 1000 + i);
        want++;
    }
    assert_int_equal(count, want);
    guarded_check(&value);
    guarded_check(&index);
    guarded_free(&s);
    guarded_free(&value);
    guarded_free(&index);
}

static void test_above(void **state) {
    (void)state;
    static const float bounds[] = {-INFINITY, -1, 0, 0.7f, 3, INFINITY, NAN};
    const fov_kernels *k;
    FOR_TIERS(k)
    for (size_t n = 0; n < 70; n++)
        for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) check_above(k, n, bounds[b]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gather), cmocka_unit_test(test_above)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
