/* test_poisson.c: calibrated Poisson sampling and mca's calibrated p: unbiased, with the cost and the variance that they claim.
 *
 * The draws are reproducible, so these tests pass or fail for good. Bounds are 5 standard errors, which a right estimator exceeds
 * once in 1.7 million comparisons; each test makes at most a few thousand. */
#include "values/values_test.h"

#include "foveate/attention.h"

enum { N = 6, SEEDS = 5000 };
static vt_case t;
static float x[N * VT_D], v[N * VT_HE], importance[VT_H * N], work[N];
static const size_t offsets[] = {0, N};
static const uint64_t hash = 5;
static double exact[N * VT_HE];

static void make_case(uint64_t seed) {
    vt_make(&t, seed);
    vt_inputs(&t, x, N);
    for (size_t j = 0; j < N; j++)
        for (size_t o = 0; o < VT_HE; o++) {
            exact[j * VT_HE + o] = (double)t.bias[o];
            for (size_t i = 0; i < VT_D; i++) exact[j * VT_HE + o] += (double)x[j * VT_D + i] * (double)t.weight[o * VT_D + i];
        }
}

static fov_values problem(void) {
    return (fov_values){.texts = 1,
                        .offsets = offsets,
                        .hashes = &hash,
                        .x = x,
                        .v = v,
                        .col_max = importance,
                        .col_energy = importance,
                        .work = work,
                        .layer = 3};
}

/* Energy that the allocation turns into r features. */
static float energy_for(double r, size_t j, double kappa) {
    return (float)(pow(r / VT_D / kappa, 2) / vt_distance(&t, x + j * VT_D));
}

/* p_i ~ sqrt(C_ii) ||W_i||, and c with sum_i min(1, c p_i) = r, by bisection. */
static void inclusion(size_t head, double r, double lambda[VT_D]) {
    double p[VT_D], total = 0, low = 0, high = 1e6;
    for (size_t i = 0; i < VT_D; i++) {
        double norm = 0;
        for (size_t c = 0; c < VT_E; c++) norm += pow(vt_w(&t, head, i, c), 2);
        p[i] = sqrt((double)t.covariance[i * VT_D + i] * norm);
        total += p[i];
    }
    for (int step = 0; step < 200; step++) {
        const double c = (low + high) / 2;
        double sum = 0;
        for (size_t i = 0; i < VT_D; i++) sum += lambda[i] = fmin(1, c * p[i] / total);
        if (sum < r)
            low = c;
        else
            high = c;
    }
}

static const double budgets[N] = {1, 4, 11, 30, 55, 1000};

/* E H~ = H for every r; the number of features used is r on average; exact beyond d. */
static void test_unbiased(void **state) {
    (void)state;
    static double mean[N * VT_HE], square[N * VT_HE];
    double used = 0, used2 = 0, expected = 0;
    make_case(1);
    for (size_t h = 0; h < VT_H; h++)
        for (size_t j = 0; j < N; j++) {
            importance[h * N + j] = energy_for(budgets[j], j, 2);
            expected += fmin(budgets[j], VT_D);
        }
    vt_bound b = vt_bind(&t, "poisson:kappa=2");
    fov_values q = problem();
    for (q.seed = 0; q.seed < SEEDS; q.seed++) {
        const double features = (vt_run(&t, &b, &q, 1) - N * VT_D) / VT_E;
        used += features / SEEDS;
        used2 += features * features / SEEDS;
        for (size_t i = 0; i < N * VT_HE; i++) {
            const double off = (double)v[i] - exact[i];
            mean[i] += off / SEEDS;
            square[i] += off * off / SEEDS;
        }
    }
    assert_true(fabs(used - expected) <= 5 * sqrt((used2 - used * used) / SEEDS) + 1e-3 * expected); /* energies are f32 */
    /* ranks are spread evenly: equal U make the features used vary by a fifth, even ones by a hundredth */
    assert_true(sqrt(used2 - used * used) <= .02 * expected);
    for (size_t j = 0; j < N; j++)
        for (size_t o = 0; o < VT_HE; o++) {
            const size_t i = j * VT_HE + o;
            if (budgets[j] > VT_D)
                assert_true(sqrt(square[i]) <= 1e-5 * (1 + fabs(exact[i]))); /* f32 rounding */
            else
                assert_true(fabs(mean[i]) <= 5 * sqrt(square[i] / SEEDS));
        }
    vt_release(&b);
    free(t.packed);
}

/* Each feature is used with probability lambda_i(r) and then weighs 1 / lambda_i(r): seen through inputs that differ from the mean
 * in one feature alone. */
static void test_inclusion(void **state) {
    (void)state;
    enum { DRAWS = 1000 };
    const double r = 9;
    double lambda[VT_H][VT_D];
    make_case(2);
    for (size_t h = 0; h < VT_H; h++) inclusion(h, r, lambda[h]);
    vt_bound b = vt_bind(&t, "poisson:kappa=1");
    fov_values q = problem();
    for (size_t i = 0; i < VT_D; i += 6) {
        memcpy(x, t.mean, sizeof t.mean);
        for (size_t j = 1; j < N; j++) memcpy(x + j * VT_D, x, sizeof t.mean);
        for (size_t j = 0; j < N; j++) x[j * VT_D + i] += 1;
        for (size_t k = 0; k < VT_H * N; k++) importance[k] = energy_for(r, k % N, 1);
        double hits[VT_H] = {0};
        for (q.seed = 0; q.seed < DRAWS; q.seed++) {
            vt_run(&t, &b, &q, 1);
            for (size_t h = 0; h < VT_H; h++) {
                double base = (double)t.bias[h * VT_E], jump = vt_w(&t, h, i, 0);
                for (size_t k = 0; k < VT_D; k++) base += (double)t.mean[k] * vt_w(&t, h, k, 0);
                const double seen = ((double)v[h * VT_E] - base) / jump; /* 0 or 1 / lambda */
                if (fabs(seen) < .5) continue;
                assert_true(fabs(seen * lambda[h][i] - 1) < 1e-3 * (1 + fabs(base / jump)));
                hits[h]++;
            }
        }
        for (size_t h = 0; h < VT_H; h++) {
            assert_true(fabs(hits[h] / DRAWS - lambda[h][i]) <= 5 * sqrt(lambda[h][i] * (1 - lambda[h][i]) / DRAWS) + 1e-4);
        }
    }
    vt_release(&b);
    free(t.packed);
}

static void test_exact_limit(void **state) {
    (void)state;
    static float dense_v[N * VT_HE];
    make_case(3);
    for (size_t i = 0; i < VT_H * N; i++) importance[i] = .1f;
    vt_bound dense = vt_bind(&t, "exact"), b = vt_bind(&t, "poisson:kappa=1e6");
    fov_values q = problem();
    vt_run(&t, &dense, &q, 1);
    memcpy(dense_v, v, sizeof v);
    vt_run(&t, &b, &q, 1);
    assert_memory_equal(dense_v, v, sizeof v);
    for (size_t j = 0; j < N; j++) assert_true(fabsf(work[j] - 1) < 1e-6f);
    vt_release(&b);
    vt_release(&dense);
    free(t.packed);
}

/* Features without weights are never used, whatever stands there. */
static void test_zero_weights(void **state) {
    (void)state;
    make_case(4);
    const fov_kernels *kernels = fov_kernels_get(NULL);
    for (size_t o = 0; o < VT_HE; o++)
        for (size_t i = 0; i < VT_D; i += 4) t.weight[o * VT_D + i] = 0;
    for (size_t h = 0; h < VT_H; h++)
        kernels->pack_t(t.weight + h * VT_E * VT_D, VT_D, VT_E, VT_D, t.packed + h * fov_packed_size(VT_E, VT_D));
    vt_bound b = vt_bind(&t, "poisson:kappa=1");
    for (size_t i = 0; i < VT_H * N; i++) importance[i] = energy_for(20, i % N, 1);
    fov_values q = problem();
    static float first[N * VT_HE];
    for (size_t pass = 0; pass < 2; pass++) {
        vt_run(&t, &b, &q, 1);
        if (!pass) memcpy(first, v, sizeof v);
        for (size_t i = 0; i < VT_D; i += 8) x[i] = t.mean[i] - (x[i] - t.mean[i]); /* the same distance */
    }
    assert_memory_equal(first + VT_HE, v + VT_HE, sizeof v - VT_HE * sizeof *v);
    for (size_t i = 0; i < VT_HE; i++) assert_true(fabsf(first[i] - v[i]) <= 1e-4f * (1 + fabsf(v[i]))); /* r moves by rounding */
    vt_release(&b);
    free(t.packed);
}

static void test_reproducible(void **state) {
    (void)state;
    enum { ROWS = 50 };
    static float inputs[ROWS * VT_D], energy[VT_H * ROWS];
    const size_t texts[] = {0, 30, 31, ROWS};
    const uint64_t hashes[] = {1, 2, 3};
    make_case(5);
    vt_inputs(&t, inputs, ROWS);
    for (size_t i = 0; i < VT_H * ROWS; i++) energy[i] = (float)pow(10, -3 * (double)(test_bits(&t.rng) >> 11) * 0x1p-53);
    fov_values q = {.texts = 3, .offsets = texts, .hashes = hashes, .x = inputs, .col_energy = energy, .col_max = energy};
    const char *methods[] = {"poisson:kappa=.5", "mca:alpha=.5,p=calibrated"};
    for (size_t m = 0; m < 2; m++) {
        vt_bound b = vt_bind(&t, methods[m]);
        vt_check_reproducible(&t, &b, &q);
        vt_release(&b);
    }
    free(t.packed);
}

static void test_nan(void **state) {
    (void)state;
    static float clean[N * VT_HE];
    make_case(6);
    for (size_t i = 0; i < VT_H * N; i++) importance[i] = energy_for(20, i % N, 1);
    vt_bound b = vt_bind(&t, "poisson:kappa=1");
    fov_values q = problem();
    vt_run(&t, &b, &q, 1);
    memcpy(clean, v, sizeof v);
    x[2 * VT_D + 3] = NAN;
    vt_run(&t, &b, &q, 1);
    for (size_t i = 0; i < N * VT_HE; i++)
        if (i / VT_HE == 2) assert_true(isnan(v[i]));
    /* the text's other tokens may share a smaller tile now, but hold numbers near their own */
    for (size_t i = 0; i < N * VT_HE; i++)
        if (i / VT_HE != 2) assert_true(fabsf(v[i] - clean[i]) <= 1e-4f * (1 + fabsf(clean[i])));
    vt_release(&b);
    free(t.packed);
}

/* mca:p=calibrated: E H~ = H and E ||H~ - H||^2 = (sum_i x_i^2 ||W_i||^2 / p_i - ||x W||^2) / r with p_i ~ sqrt(E X_i^2) ||W_i||;
 * averaged over inputs of the distribution that is less than eq. 6 leaves. */
static void test_mca_calibrated(void **state) {
    (void)state;
    static double mean[N * VT_HE], square[N * VT_HE], error[VT_H * N], error2[VT_H * N];
    const double counts[N] = {1, 3, 7, 20, 50, VT_D};
    make_case(7);
    for (size_t i = 0; i < VT_H * N; i++) importance[i] = (float)(sqrt(counts[i % N]) * .05 / N * (1 - 1e-6));
    vt_bound b = vt_bind(&t, "mca:alpha=.05,p=calibrated");
    fov_values q = problem();
    for (q.seed = 0; q.seed < SEEDS; q.seed++) {
        vt_run(&t, &b, &q, 1);
        for (size_t j = 0; j < N; j++)
            for (size_t h = 0; h < VT_H; h++) {
                double distance = 0;
                for (size_t c = 0; c < VT_E; c++) {
                    const size_t i = j * VT_HE + h * VT_E + c;
                    const double off = (double)v[i] - exact[i];
                    mean[i] += off / SEEDS;
                    square[i] += off * off / SEEDS;
                    distance += off * off;
                }
                error[h * N + j] += distance / SEEDS;
                error2[h * N + j] += distance * distance / SEEDS;
            }
    }
    for (size_t h = 0; h < VT_H; h++) {
        double p[VT_D], norm[VT_D], total = 0;
        for (size_t i = 0; i < VT_D; i++) {
            norm[i] = 0;
            for (size_t c = 0; c < VT_E; c++) norm[i] += pow(vt_w(&t, h, i, c), 2);
            p[i] = sqrt((t.c[i][i] + pow((double)t.mean[i], 2)) * norm[i]);
            total += p[i];
        }
        for (size_t j = 0; j < N; j++) {
            double sum = 0, xw2 = 0;
            for (size_t i = 0; i < VT_D; i++) sum += pow((double)x[j * VT_D + i], 2) * norm[i] * total / p[i];
            for (size_t c = 0; c < VT_E; c++) {
                const size_t i = j * VT_HE + h * VT_E + c;
                xw2 += pow(exact[i] - (double)t.bias[h * VT_E + c], 2);
                if (counts[j] >= VT_D)
                    assert_true(sqrt(square[i]) <= 1e-5 * (1 + fabs(exact[i]))); /* f32 rounding */
                else
                    assert_true(fabs(mean[i]) <= 5 * sqrt(square[i] / SEEDS));
            }
            if (counts[j] >= VT_D) continue;
            const double expected = (sum - xw2) / counts[j];
            const double spread = sqrt((error2[h * N + j] - pow(error[h * N + j], 2)) / SEEDS);
            assert_true(fabs(error[h * N + j] - expected) <= 5 * spread);
            assert_true(spread < .1 * expected); /* the test can tell 50 % */
        }
    }
    vt_release(&b);
    free(t.packed);
}

static void test_refusals(void **state) {
    (void)state;
    static float w[VT_HE * VT_D];
    const char *methods[] = {"poisson", "mca:p=calibrated"};
    for (size_t i = 0; i < 2; i++) {
        fov_projection *p = NULL;
        fov_error error = {0};
        assert_int_equal(fov_projection_create(methods[i], w, NULL, VT_D, VT_H, VT_E, NULL, &p, &error), FOV_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "foveate calibrate"));
        assert_null(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unbiased),     cmocka_unit_test(test_inclusion),      cmocka_unit_test(test_exact_limit),
        cmocka_unit_test(test_zero_weights), cmocka_unit_test(test_reproducible),   cmocka_unit_test(test_nan),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_mca_calibrated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
