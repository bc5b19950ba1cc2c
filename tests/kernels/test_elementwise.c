/* test_elementwise.c: exp and gelu against double precision: values of every magnitude, special values, tails. */
#include "kernels_test.h"

static double gelu_double(double x) {
    return x == -(double)INFINITY ? -0.0 : x * 0.5 * erfc(-x * 0.70710678118654752440);
}

static float gelu_plain(float x) {
    return x * 0.5f * (1.0f + erff(x * 0.70710678f));
}

static double exp_double(double x) {
    return exp(x);
}

typedef struct function {
    const char *name;
    void (*ours)(float *x, size_t count);
    double (*exact)(double x);
    float (*plain)(float x);
} function;

/* Every bin, a 16th of a binade of |x| and a sign, meets the bound by itself, so small values are held as tightly as large ones. */
static void check_bins(const function *f, const char *tier, int lowest, int highest) {
    enum { PER_BIN = 256 };
    float x[PER_BIN], y[PER_BIN];
    for (int exponent = lowest; exponent <= highest; exponent++)
        for (int part = 0; part < 16; part++)
            for (int sign = -1; sign <= 1; sign += 2) {
                for (size_t i = 0; i < PER_BIN; i++)
                    x[i] = y[i] = (float)sign * ldexpf(1.0f + ((float)part + (float)(test_bits() >> 8) * 0x1p-24f) / 16, exponent);
                f->ours(y, PER_BIN);
                errors e = {0};
                for (size_t i = 0; i < PER_BIN; i++) {
                    const double exact = f->exact((double)x[i]);
                    if (fabs(exact) > (double)FLT_MAX) continue;
                    errors_add(&e, exact, y[i], f->plain(x[i]));
                }
                char what[100];
                snprintf(what, sizeof what, "%s %s, x about %g", tier, f->name, (double)x[0]);
                errors_check(&e, what);
            }
}

static void test_gelu_precision(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        const function f = {"gelu", k->gelu, gelu_double, gelu_plain};
        check_bins(&f, k->name, -149, 6);
    }
}

static void test_exp_precision(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        const function f = {"exp", k->exp, exp_double, expf};
        check_bins(&f, k->name, -149, 6);
    }
}

static float one(void (*f)(float *x, size_t count), float x) {
    f(&x, 1);
    return x;
}

static void test_special(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        assert_true(one(k->exp, 0) == 1);
        assert_true(one(k->exp, -INFINITY) == 0);
        assert_true(one(k->exp, -FLT_MAX) == 0);
        assert_true(one(k->exp, -104) == 0); /* e^-104 is below half the least subnormal */
        assert_true(one(k->exp, -103) == FLT_TRUE_MIN);
        assert_true(one(k->exp, INFINITY) == INFINITY);
        assert_true(one(k->exp, 88.73f) == INFINITY);
        assert_true(one(k->exp, 88.72f) < INFINITY);
        assert_true(isnan(one(k->exp, NAN)));
        assert_true(one(k->gelu, 0) == 0);
        assert_true(one(k->gelu, INFINITY) == INFINITY);
        assert_true(one(k->gelu, FLT_MAX) == FLT_MAX);
        assert_true(one(k->gelu, -INFINITY) == 0);
        assert_true(one(k->gelu, -FLT_MAX) == 0);
        assert_true(isnan(one(k->gelu, NAN)));
    }
}

/* Every value alone gives the bits it gives in an array, nothing outside is written, a NaN stays where it is. */
static void test_tails(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        void (*const functions[])(float *x, size_t count) = {k->exp, k->gelu};
        for (size_t f = 0; f < 2; f++)
            for (size_t count = 0; count < 50; count++) {
                guarded x = guarded_random(count, count % 16), y = guarded_make(count, count % 5);
                if (count) x.data[test_below(count)] = NAN;
                for (size_t i = 0; i < count; i++) y.data[i] = x.data[i];
                functions[f](y.data, count);
                for (size_t i = 0; i < count; i++) {
                    const float alone = one(functions[f], x.data[i]);
                    assert_true(same_bits(&alone, &y.data[i], 1));
                }
                guarded_check(&y);
                guarded_free(&x);
                guarded_free(&y);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gelu_precision), cmocka_unit_test(test_exp_precision),
                                       cmocka_unit_test(test_special), cmocka_unit_test(test_tails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
