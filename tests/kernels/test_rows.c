/* test_rows.c: softmax with its column statistics, and layernorm, of every tier. */
#include "kernels_test.h"

static void softmax_exact(const float *s, size_t cols, float scale, double *p) {
    double top = -(double)INFINITY, sum = 0;
    for (size_t j = 0; j < cols; j++) top = fmax(top, (double)scale * (double)s[j]);
    for (size_t j = 0; j < cols; j++) sum += p[j] = exp((double)scale * (double)s[j] - top);
    for (size_t j = 0; j < cols; j++) p[j] /= sum;
}

/* Variance of the relative rounding error of exp(scale s_j - top) in f32: of the product, of top, of their difference, and of exp
 * itself, one unit in the last place, twice that allowed as in test_elementwise.c. A rounding of the argument is that error of
 * the value. */
static double term_variance(double scaled, double top) {
    const double apart = scaled - top;
    return rounding(scaled * scaled + top * top + apart * apart + 16);
}

/* Of the sum of all terms, relative: each term's own, and the partial sums' roundings. */
static double sum_variance(const float *s, size_t cols, float scale, double top) {
    double variance = 0, sum = 0;
    for (size_t j = 0; j < cols; j++) {
        const double scaled = (double)scale * (double)s[j], term = exp(scaled - top);
        sum += term;
        if (term > 0) variance += term * term * term_variance(scaled, top) + rounding(sum * sum);
    }
    return variance / (sum * sum);
}

/* A row of softmax; division, or a product with the reciprocal, are two more roundings. */
static void check_softmax_row(const float *in, const float *out, size_t cols, float scale, const double *exact, const char *what) {
    double top = -(double)INFINITY;
    for (size_t j = 0; j < cols; j++) top = fmax(top, (double)scale * (double)in[j]);
    const double common = sum_variance(in, cols, scale, top) + rounding(2);
    for (size_t j = 0; j < cols; j++) {
        if (in[j] == -INFINITY)
            assert_true(out[j] == 0);
        else
            check_rounded(exact[j], out[j], exact[j] * exact[j] * (term_variance((double)scale * (double)in[j], top) + common), 0,
                          what);
    }
}

static void check_softmax(const fov_kernels *k, size_t n, size_t cols, float range) {
    const size_t ld = cols + test_below(4);
    const float scale = 0.125f + (float)test_below(8) / 8;
    guarded in = guarded_random(n * ld, 1), s = guarded_make(n * ld, 1 + test_below(15));
    guarded top = guarded_make(cols, 3), energy = guarded_make(cols, 5);
    for (size_t i = 0; i < in.count; i++) in.data[i] = in.data[i] * range + (range > 5 ? 300.0f : 0.0f);
    for (size_t i = 0; cols > 3 && i < n; i++) in.data[i * ld + test_below(cols)] = -INFINITY;
    for (size_t i = 0; i < n; i++) memcpy(s.data + i * ld, in.data + i * ld, cols * sizeof(float));
    for (size_t j = 0; j < cols; j++) top.data[j] = 0.01f, energy.data[j] = 0.5f;
    k->softmax(s.data, ld, n, cols, scale, top.data, energy.data);
    double *exact = malloc(cols * sizeof *exact);
    assert_non_null(exact);
    char what[100];
    snprintf(what, sizeof what, "%s softmax n=%zu cols=%zu range=%g", k->name, n, cols, (double)range);
    for (size_t i = 0; i < n; i++) {
        softmax_exact(in.data + i * ld, cols, scale, exact);
        check_softmax_row(in.data + i * ld, s.data + i * ld, cols, scale, exact, what);
        for (size_t j = cols; j < ld; j++) assert_true(is_canary(s.data[i * ld + j]));
    }
    for (size_t j = 0; j < cols; j++) { /* statistics of the very values written */
        float most = 0.01f;
        double sum = 0.5;
        for (size_t i = 0; i < n; i++) {
            most = fmaxf(most, s.data[i * ld + j]);
            sum += (double)s.data[i * ld + j] * (double)s.data[i * ld + j];
        }
        assert_true(top.data[j] == most);
        assert_true(fabs((double)energy.data[j] - sum) <= (double)(n + 1) * 0x1p-24 * sum); /* n roundings of a sum of positives */
    }
    for (size_t i = 0; i < n; i++) { /* a row alone gives the same bits */
        k->softmax(in.data + i * ld, ld, 1, cols, scale, NULL, NULL);
        assert_true(same_bits(in.data + i * ld, s.data + i * ld, cols));
    }
    free(exact);
    guarded *const all[] = {&in, &s, &top, &energy};
    for (size_t i = 0; i < 4; i++) {
        guarded_check(all[i]);
        guarded_free(all[i]);
    }
}

static void test_softmax(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t cols = 1; cols < 70; cols++) check_softmax(k, 1 + test_below(9), cols, cols % 3 ? 4 : 40);
        check_softmax(k, 5, 512, 4);
        check_softmax(k, 3, 4099, 1);
    }
}

static void test_softmax_special(void **state) {
    (void)state;
    enum { COLS = 21, ROWS = 4 };
    const fov_kernels *k;
    FOR_TIERS(k) {
        float s[ROWS][COLS], top[COLS], energy[COLS];
        for (size_t j = 0; j < COLS; j++) {
            s[0][j] = -INFINITY; /* masked */
            s[1][j] = j == 20 ? NAN : -INFINITY;
            s[2][j] = j == 3 ? NAN : (float)j;
            s[3][j] = j == 7 ? 1e30f : 0; /* one-hot */
            top[j] = energy[j] = 0;
        }
        k->softmax(s[0], COLS, 1, COLS, 2, top, energy);
        for (size_t j = 0; j < COLS; j++) assert_true(s[0][j] == 0 && top[j] == 0 && energy[j] == 0);
        k->softmax(s[1], COLS, 2, COLS, 2, top, energy);
        for (size_t j = 0; j < COLS; j++) assert_true(isnan(s[1][j]) && isnan(s[2][j]) && isnan(top[j]) && isnan(energy[j]));
        k->softmax(s[3], COLS, 1, COLS, 2, top, energy);
        for (size_t j = 0; j < COLS; j++) assert_true(s[3][j] == (float)(j == 7) && isnan(top[j]) && isnan(energy[j]));
        for (size_t j = 0; j < COLS; j++) s[0][j] = -3e38f; /* finite, however low: not masked */
        k->softmax(s[0], COLS, 1, COLS, 1, NULL, NULL);
        for (size_t j = 0; j < COLS; j++) assert_true(s[0][j] > 0.04f);
        k->softmax(s[0], COLS, 0, COLS, 1, NULL, NULL);
        k->softmax(NULL, 0, 3, 0, 1, NULL, NULL);
    }
}

/* Tiles of 48 columns against the softmax of whole rows, unnormalised: exp(s - top) over their sum. */
static void test_softmax_tile(void **state) {
    (void)state;
    enum { ROWS = 5, COLS = 203, TILE = 48 };
    const fov_kernels *k;
    FOR_TIERS(k) {
        guarded in = guarded_random(ROWS * COLS, 1), s = guarded_make(ROWS * COLS, 3);
        float top[ROWS], sum[ROWS], factor[ROWS];
        double weights[COLS];
        for (size_t i = 0; i < ROWS * COLS; i++) in.data[i] *= 20;
        for (size_t j = 0; j < COLS; j++) in.data[COLS + j] = j < 100 ? -INFINITY : in.data[COLS + j]; /* row 1: late */
        for (size_t j = 0; j < COLS; j++) in.data[2 * COLS + j] = -INFINITY;                           /* row 2: nothing */
        memcpy(s.data, in.data, ROWS * COLS * sizeof(float));
        for (size_t i = 0; i < ROWS; i++) top[i] = -FLT_MAX, sum[i] = 0;
        double total[ROWS] = {0};
        for (size_t j = 0; j < COLS; j += TILE) {
            const size_t cols = COLS - j < TILE ? COLS - j : TILE;
            k->softmax_tile(s.data + j, COLS, ROWS, cols, 0.5f, top, sum, factor);
            for (size_t i = 0; i < ROWS; i++) {
                total[i] *= (double)factor[i];
                for (size_t c = j; c < j + cols; c++) total[i] += (double)s.data[i * COLS + c];
                /* the values written and their sum agree to the roundings of the sum */
                assert_true(fabs((double)sum[i] - total[i]) <= COLS * 0x1p-24 * total[i]);
            }
        }
        for (size_t i = 0; i < ROWS; i++) {
            if (i == 2) {
                assert_true(sum[i] == 0);
                continue;
            }
            softmax_exact(in.data + i * COLS, COLS, 0.5f, weights);
            for (size_t j = 0; j < COLS; j++) { /* exp of a difference of up to 64, rounded to 24 bits: 64 u, and the sum's error */
                const double got = exp((double)in.data[i * COLS + j] * 0.5 - (double)top[i]) / (double)sum[i];
                assert_true(fabs(got - weights[j]) <= (64 + COLS) * 0x1p-24 * weights[j]);
            }
        }
        in.data[7] = NAN;
        memcpy(s.data, in.data, ROWS * COLS * sizeof(float));
        k->softmax_tile(s.data, COLS, 1, COLS, 1, top, sum, factor);
        assert_true(isnan(sum[0]));
        guarded_check(&s);
        guarded_free(&in);
        guarded_free(&s);
    }
}

static void layernorm_plain(const float *x, size_t c, const float *gamma, const float *beta, float eps, float *y) {
    volatile float mean = 0, variance = 0;
    for (size_t j = 0; j < c; j++) mean += x[j];
    mean /= (float)c;
    for (size_t j = 0; j < c; j++) {
        const volatile float d = x[j] - mean, square = d * d;
        variance += square;
    }
    variance /= (float)c;
    for (size_t j = 0; j < c; j++) y[j] = (x[j] - mean) / sqrtf(variance + eps) * gamma[j] + beta[j];
}

static double layernorm_exact(const float *x, size_t c, const float *gamma, const float *beta, float eps, size_t j) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < c; i++) mean += (double)x[i] / (double)c;
    for (size_t i = 0; i < c; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)c;
    return ((double)x[j] - mean) / sqrt(variance + (double)eps) * (double)gamma[j] + (double)beta[j];
}

static void check_layernorm(const fov_kernels *k, size_t n, size_t c, float offset) {
    const size_t ldx = c + test_below(3), ldy = c + test_below(3);
    guarded x = guarded_random(n * ldx, 1), y = guarded_make(n * ldy, 2), gamma = guarded_random(c, 3), beta = guarded_random(c, 7);
    float *plain = malloc(c * sizeof *plain);
    assert_non_null(plain);
    for (size_t i = 0; i < x.count; i++) x.data[i] += offset;
    k->layernorm(x.data, ldx, n, c, gamma.data, beta.data, 1e-12f, y.data, ldy);
    errors e = {0};
    for (size_t i = 0; i < n; i++) {
        layernorm_plain(x.data + i * ldx, c, gamma.data, beta.data, 1e-12f, plain);
        for (size_t j = 0; j < c; j++)
            errors_add(&e, layernorm_exact(x.data + i * ldx, c, gamma.data, beta.data, 1e-12f, j), y.data[i * ldy + j], plain[j]);
        for (size_t j = c; j < ldy; j++) assert_true(is_canary(y.data[i * ldy + j]));
    }
    char what[100];
    snprintf(what, sizeof what, "%s layernorm n=%zu c=%zu", k->name, n, c);
    errors_check(&e, what);
    for (size_t i = 0; i < n; i++) { /* in place, a row alone: the same bits */
        k->layernorm(x.data + i * ldx, ldx, 1, c, gamma.data, beta.data, 1e-12f, x.data + i * ldx, ldx);
        assert_true(same_bits(x.data + i * ldx, y.data + i * ldy, c));
    }
    free(plain);
    guarded *const all[] = {&x, &y, &gamma, &beta};
    for (size_t i = 0; i < 4; i++) {
        guarded_check(all[i]);
        guarded_free(all[i]);
    }
}

static void test_layernorm(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t c = 2; c < 70; c++) check_layernorm(k, 3 + 4000 / c, c, c % 2 ? 0 : 3); /* enough values to compare maxima */
        check_layernorm(k, 3, 768, 1);
    }
}

static void test_layernorm_special(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        float x[2][5] = {{1, 2, NAN, 4, 5}, {2, 2, 2, 2, 2}}, one[5] = {1, 1, 1, 1, 1}, beta[5] = {1, 2, 3, 4, 5};
        k->layernorm(x[0], 5, 2, 5, one, beta, 1e-5f, x[0], 5);
        for (size_t j = 0; j < 5; j++) assert_true(isnan(x[0][j]) && x[1][j] == beta[j]); /* no variance: beta alone */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_softmax), cmocka_unit_test(test_softmax_special),
                                       cmocka_unit_test(test_softmax_tile), cmocka_unit_test(test_layernorm),
                                       cmocka_unit_test(test_layernorm_special)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
