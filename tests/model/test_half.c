/* test_half.c: f32 to f16 against all f16 values, made by ldexp. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/half.h"

static double value_of(uint32_t half) {
    const int exponent = (int)(half >> 10 & 31);
    const double mantissa = half & 1023;
    return exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
}

static uint16_t convert(double x, bool good) {
    const float from = (float)x;
    uint16_t to;
    assert_int_equal(fov_half_from(&from, &to, 1), good);
    return to;
}

/* Each value to itself; halfway between two to the even one; beside halfway to the nearer. */
static void test_nearest(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double x = value_of(h), middle = (x + value_of(h + 1)) / 2;
        const bool last = h == 0x7bff; /* its upper neighbour would be 65536 */
        assert_int_equal(convert(x, true), h);
        assert_int_equal(convert(-x, true), h | 0x8000);
        assert_int_equal(convert(middle, !last), h + (h & 1));
        assert_int_equal(convert(-middle, !last), (h + (h & 1)) | 0x8000);
        assert_int_equal(convert((double)nextafterf((float)middle, 0), true), h);
        assert_int_equal(convert((double)nextafterf((float)middle, INFINITY), !last), h + 1);
    }
    const double beyond[] = {65536, 1e9, -1e30, INFINITY, NAN};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) convert(beyond[i], false);
    assert_int_equal(convert(1e-30, true), 0);
}

static void test_in_place(void **state) {
    (void)state;
    enum { N = 2500 };
    static float x[N], y[N];
    for (size_t i = 0; i < N; i++) y[i] = x[i] = ((float)(i * 7919 % N) - N / 2) * 1e-3f;
    fov_half_round(fov_kernels_get(NULL), y, N);
    for (size_t i = 0; i < N; i++) {
        const double to = value_of(convert((double)x[i], true) & 0x7fff);
        assert_true((double)y[i] == (x[i] < 0 ? -to : to));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nearest), cmocka_unit_test(test_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
