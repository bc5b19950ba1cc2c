/* test_regress.c: calibrated regression: the fits against normal equations and brute-force selection, the estimator against its
 * formula, all in double. */
#include "values/values_test.h"

#include "foveate/attention.h"

static vt_case t;

/* Solve a x = b in place, n right sides, by Gaussian elimination with pivoting. */
static void solve(double *a, double *b, size_t size, size_t n) {
    for (size_t k = 0; k < size; k++) {
        size_t p = k;
        for (size_t i = k; i < size; i++)
            if (fabs(a[i * size + k]) > fabs(a[p * size + k])) p = i;
        for (size_t j = 0; j < size; j++) {
            const double swap = a[k * size + j];
            a[k * size + j] = a[p * size + j];
            a[p * size + j] = swap;
        }
        for (size_t j = 0; j < n; j++) {
            const double swap = b[k * n + j];
            b[k * n + j] = b[p * n + j];
            b[p * n + j] = swap;
        }
        for (size_t i = 0; i < size; i++) {
            if (i == k) continue;
            const double f = a[i * size + k] / a[k * size + k];
            for (size_t j = 0; j < size; j++) a[i * size + j] -= f * a[k * size + j];
            for (size_t j = 0; j < n; j++) b[i * n + j] -= f * b[k * n + j];
        }
    }
    for (size_t i = 0; i < size; i++)
        for (size_t j = 0; j < n; j++) b[i * n + j] /= a[i * size + i];
}

/* B [r][e] = C_SS^-1 C_S,: W and tr((W - B)^T C (W - B)). */
static double fit(size_t head, const uint32_t *s, size_t r, double *b) {
    static double a[VT_D * VT_D], off[VT_D][VT_E];
    for (size_t k = 0; k < r; k++) {
        for (size_t m = 0; m < r; m++) a[k * r + m] = t.c[s[k]][s[m]];
        for (size_t c = 0; c < VT_E; c++) {
            b[k * VT_E + c] = 0;
            for (size_t i = 0; i < VT_D; i++) b[k * VT_E + c] += t.c[s[k]][i] * vt_w(&t, head, i, c);
        }
    }
    solve(a, b, r, VT_E);
    for (size_t i = 0; i < VT_D; i++)
        for (size_t c = 0; c < VT_E; c++) off[i][c] = vt_w(&t, head, i, c);
    for (size_t k = 0; k < r; k++)
        for (size_t c = 0; c < VT_E; c++) off[s[k]][c] -= b[k * VT_E + c];
    double energy = 0;
    for (size_t i = 0; i < VT_D; i++)
        for (size_t k = 0; k < VT_D; k++)
            for (size_t c = 0; c < VT_E; c++) energy += off[i][c] * t.c[i][k] * off[k][c];
    return energy;
}

static const float *fit_of(size_t head, size_t l) {
    size_t at = 0;
    for (size_t i = 0; i < l; i++) at += t.level[i];
    return t.fits + (head * VT_SUM + at) * VT_E;
}

/* The fit's ridge is 1e-6 of the mean variance: it moves weights and energies by some 1e-5 of their size, no more. */
static void test_least_squares(void **state) {
    (void)state;
    double b[VT_D * VT_E];
    vt_make(&t, 1);
    for (size_t h = 0; h < VT_H; h++) {
        const double whole = fit(h, NULL, 0, b);
        for (size_t l = 0; l < VT_LEVELS; l++) {
            const double energy = fit(h, t.order + h * VT_TOP, t.level[l], b);
            assert_true(fabs((double)t.errors[h * VT_LEVELS + l] - energy) <= 1e-5 * whole);
            for (size_t i = 0; i < t.level[l] * VT_E; i++) assert_true(fabs((double)fit_of(h, l)[i] - b[i]) <= 1e-3);
        }
        assert_true((double)t.errors[h * VT_LEVELS + 1] < .5 * whole); /* the case has something to gain */
    }
    free(t.packed);
}

/* Each of the first features is the one that leaves the least energy; the order holds no feature twice. */
static void test_forward_selection(void **state) {
    (void)state;
    double b[VT_D * VT_E];
    vt_make(&t, 2);
    for (size_t h = 0; h < VT_H; h++) {
        uint32_t s[VT_TOP];
        bool seen[VT_D] = {false};
        memcpy(s, t.order + h * VT_TOP, sizeof s);
        for (size_t k = 0; k < VT_TOP; k++) {
            assert_true(s[k] < VT_D && !seen[s[k]]);
            seen[s[k]] = true;
        }
        for (size_t k = 0; k < 5; k++) {
            const double chosen = fit(h, s, k + 1, b);
            const uint32_t mine = s[k];
            for (uint32_t i = 0; i < VT_D; i++) {
                bool taken = false;
                for (size_t m = 0; m < k; m++) taken = taken || s[m] == i;
                if (taken) continue;
                s[k] = i;
                assert_true(fit(h, s, k + 1, b) >= chosen * (1 - 1e-5)); /* the ridge again */
            }
            s[k] = mine;
        }
    }
    free(t.packed);
}

/* Features that are combinations of others, or constant, are left to the end and get no weight. */
static void test_degenerate(void **state) {
    (void)state;
    enum { D = 24, E = 2 };
    static double c[D * D], w[D * E], scratch[D * (D + 2 * E) + D * (E + 2)];
    const uint32_t level[] = {0, 8, 20};
    uint32_t order[20];
    float weight[28 * E], error[3];
    test_rng rng = {3};
    for (size_t i = 0; i < D * E; i++) w[i] = vt_normal(&rng);
    for (size_t i = 0; i < 6; i++) c[i * D + i] = 1 + (double)i;
    assert_true(fov_regress_fit_scratch(D, E, 20) <= sizeof scratch / sizeof *scratch);
    const fov_regress_fit f = {D, E, c, w, 3, level, order, weight, error};
    fov_regress_fit_run(&f, scratch);
    for (size_t i = 0; i < 28 * E; i++) assert_true(isfinite(weight[i]));
    for (size_t k = 0; k < 6; k++) assert_true(order[k] < 6);
    assert_true(error[0] > 1 && error[1] < 1e-4 && error[2] < 1e-4);
    memset(c, 0, sizeof c);
    fov_regress_fit_run(&f, scratch);
    for (size_t i = 0; i < 28 * E; i++) assert_true(weight[i] == 0);
    for (size_t k = 0; k < 20; k++) assert_true(order[k] < D);
}

static vt_batch q;

/* Loss of every level and the dense one, by the formula; the best and how far the second is behind. */
static size_t best_level(size_t head, size_t j, double energy, double lambda, double *margin) {
    double base = 0, least = INFINITY, second = INFINITY;
    size_t best = 0;
    for (size_t h = 0; h < VT_H; h++) base += (double)t.errors[h * VT_LEVELS] / VT_H;
    for (size_t l = 0; l <= VT_LEVELS; l++) {
        const double r = l < VT_LEVELS ? t.level[l] : VT_D, eps = l < VT_LEVELS ? (double)t.errors[head * VT_LEVELS + l] / base : 0;
        const double loss = energy * vt_distance(&t, q.x + j * VT_D) * eps * (double)t.share[head] + lambda * r / VT_D;
        if (loss < least) {
            second = least;
            least = loss;
            best = l;
        } else if (loss < second) {
            second = loss;
        }
    }
    *margin = (second - least) / least;
    return best;
}

/* H~ = mu W + b + (x_S - mu_S) B of the level that the formula names, its cost, and the work of each token. */
static void test_formula(void **state) {
    (void)state;
    const double lambdas[] = {.01, .1, .5};
    vt_make(&t, 4);
    vt_batch_make(&t, &q);
    const size_t counted[] = {0, 17, 18, 19}; /* the last text: one query row of 22 */
    memcpy(q.q_offsets, counted, sizeof counted);
    q.values.q_offsets = q.q_offsets;
    for (size_t m = 0; m < 3; m++) {
        char method[40];
        size_t unlike = 0, chosen[VT_LEVELS + 1] = {0};
        double features = 0, work[VT_N] = {0};
        snprintf(method, sizeof method, "regress:lambda=%g", lambdas[m]);
        vt_bound b = vt_bind(&t, method);
        const double done = vt_run(&t, &b, &q.values, 2);
        for (size_t h = 0; h < VT_H; h++)
            for (size_t j = 0; j < VT_N; j++) {
                double margin;
                const size_t l = best_level(h, j, (double)q.energy[h * VT_N + j] * (j >= 18 ? 22 : 1), lambdas[m], &margin);
                if (margin < 1e-5) unlike++; /* too near a tie for f32 */
                const size_t r = l < VT_LEVELS ? t.level[l] : VT_D;
                chosen[l]++;
                features += (double)r;
                work[j] += (double)r / VT_D / VT_H;
                for (size_t c = 0; c < VT_E; c++) {
                    double sum = (double)t.bias[h * VT_E + c], size = fabs(sum);
                    for (size_t i = 0; i < VT_D; i++) {
                        const double x = (double)(l < VT_LEVELS ? t.mean[i] : q.x[j * VT_D + i]) * vt_w(&t, h, i, c);
                        sum += x;
                        size += fabs(x);
                    }
                    for (size_t k = 0; l < VT_LEVELS && k < r; k++) {
                        const uint32_t i = t.order[h * VT_TOP + k];
                        const double weight = (double)fit_of(h, l)[k * VT_E + c];
                        sum += ((double)q.x[j * VT_D + i] - (double)t.mean[i]) * weight;
                        size += fabs((double)q.x[j * VT_D + i] * weight) + fabs((double)t.mean[i] * weight);
                    }
                    /* a chain of at most d + 2 f32 operations: (d + 2) u of the terms' sizes */
                    assert_true(fabs((double)q.v[j * VT_HE + h * VT_E + c] - sum) <= (VT_D + 2) * 0x1p-24 * size);
                }
            }
        assert_int_equal(unlike, 0); /* the seed is chosen so */
        assert_true(done == features * VT_E + VT_N * VT_D);
        for (size_t j = 0; j < VT_N; j++) assert_true(fabs((double)q.work[j] - work[j]) < 1e-6);
        size_t used = 0;
        for (size_t l = 0; l <= VT_LEVELS; l++) used += chosen[l] > 0;
        assert_true(used >= 3); /* the formula had something to decide */
        vt_release(&b);
    }
    free(t.packed);
}

static void test_exact_limit(void **state) {
    (void)state;
    vt_check_exact(&t, &q, 5, FOV_TYPE_F32, "regress:lambda=0");
}

/* The certificate: over inputs of the calibrated distribution, the mean of ||x W - x B||^2 is the error of the profile. 4000 inputs
 * of a few dozen independent terms: within 10 %, four standard errors and more. */
static void test_certificate(void **state) {
    (void)state;
    enum { INPUTS = 4000 };
    static float x[INPUTS * VT_D];
    vt_make(&t, 6);
    vt_inputs(&t, x, INPUTS);
    for (size_t h = 0; h < VT_H; h++)
        for (size_t l = 0; l < VT_LEVELS; l++) {
            double mean = 0;
            for (size_t j = 0; j < INPUTS; j++)
                for (size_t c = 0; c < VT_E; c++) {
                    double off = 0;
                    for (size_t i = 0; i < VT_D; i++) off += ((double)x[j * VT_D + i] - (double)t.mean[i]) * vt_w(&t, h, i, c);
                    for (size_t k = 0; k < t.level[l]; k++) {
                        const uint32_t i = t.order[h * VT_TOP + k];
                        off -= ((double)x[j * VT_D + i] - (double)t.mean[i]) * (double)fit_of(h, l)[k * VT_E + c];
                    }
                    mean += off * off / INPUTS;
                }
            const double error = (double)t.errors[h * VT_LEVELS + l];
            assert_true(fabs(mean - error) <= .1 * error);
        }
    free(t.packed);
}

static void test_reproducible(void **state) {
    (void)state;
    vt_make(&t, 7);
    vt_batch_make(&t, &q);
    vt_bound b = vt_bind(&t, "regress:lambda=.1");
    vt_check_reproducible(&t, &b, &q.values);
    vt_release(&b);
    free(t.packed);
}

static void test_nan(void **state) {
    (void)state;
    vt_check_nan(&t, &q, 8, FOV_TYPE_F32, "regress:lambda=.1");
}

static void test_refusals(void **state) {
    (void)state;
    static float w[VT_HE * VT_D];
    fov_projection *p = NULL;
    fov_error error = {0};
    assert_int_equal(fov_projection_create("regress", w, NULL, VT_D, VT_H, VT_E, NULL, &p, &error), FOV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "foveate calibrate"));
    assert_int_equal(fov_projection_create("regress:lambda=-1", w, NULL, VT_D, VT_H, VT_E, NULL, &p, &error), FOV_ERR_ARGUMENT);
    assert_null(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_squares), cmocka_unit_test(test_forward_selection),
        cmocka_unit_test(test_degenerate),    cmocka_unit_test(test_formula),
        cmocka_unit_test(test_exact_limit),   cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_reproducible),  cmocka_unit_test(test_nan),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
