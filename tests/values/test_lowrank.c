/* test_lowrank.c: calibrated low rank: the basis against the eigenvalues of W^T C W, the estimator against its formula, in double.
 */
#include "support/eigenvalues.h"
#include "values/values_test.h"

static vt_case t;
static double g[VT_HE][VT_HE]; /* W^T C W */

static void make_gram(void) {
    static double cw[VT_D][VT_HE];
    memset(cw, 0, sizeof cw);
    memset(g, 0, sizeof g);
    for (size_t i = 0; i < VT_D; i++)
        for (size_t j = 0; j < VT_D; j++)
            for (size_t o = 0; o < VT_HE; o++) cw[i][o] += t.c[i][j] * vt_w(&t, o / VT_E, j, o % VT_E);
    for (size_t i = 0; i < VT_D; i++)
        for (size_t a = 0; a < VT_HE; a++)
            for (size_t b = 0; b < VT_HE; b++) g[a][b] += vt_w(&t, a / VT_E, i, a % VT_E) * cw[i][b];
}

/* The rows are orthonormal, to the rounding of their f32 parts; the error of each level is the energy they leave, and that is the
 * least possible, the sum of the eigenvalues left, but for one per cent of the whole: the iterations part eigenvalues that are
 * close only so far. */
static void test_basis(void **state) {
    (void)state;
    double value[VT_HE];
    vt_make(&t, 11);
    make_gram();
    for (size_t a = 0; a < VT_RANK; a++)
        for (size_t b = 0; b < VT_RANK; b++) {
            double dot = a == b ? -1 : 0;
            for (size_t i = 0; i < VT_HE; i++) dot += (double)t.basis[a * VT_HE + i] * (double)t.basis[b * VT_HE + i];
            assert_true(fabs(dot) <= 1e-6);
        }
    double left[VT_LEVELS], whole = 0;
    for (size_t i = 0; i < VT_HE; i++) whole += g[i][i];
    for (size_t l = 0; l < VT_LEVELS; l++) {
        left[l] = whole;
        for (size_t k = 0; k < t.level[l] / 2; k++)
            for (size_t a = 0; a < VT_HE; a++)
                for (size_t b = 0; b < VT_HE; b++)
                    left[l] -= (double)t.basis[k * VT_HE + a] * g[a][b] * (double)t.basis[k * VT_HE + b];
        assert_true(fabs((double)t.basis_errors[l] - left[l]) <= 1e-6 * whole);
    }
    eigenvalues(VT_HE, &g[0][0], value);
    for (size_t l = 0; l < VT_LEVELS; l++) {
        double least = 0;
        for (size_t k = t.level[l] / 2; k < VT_HE; k++) least += value[k];
        assert_true(left[l] >= least - 1e-6 * whole && left[l] <= least + .01 * whole);
    }
    assert_true(left[1] < .5 * whole && left[1] > 2 * left[3]); /* the case has something to gain */
    free(t.packed);
}

/* Of weights without rank a basis still comes out, orthonormal, and leaves nothing. */
static void test_degenerate(void **state) {
    (void)state;
    enum { D = 6, E = 3, H = 2, M = E * H, RANK = 4 };
    static double c[D * D], w[H * D * E], scratch[M * (D + M) + 2 * RANK * M];
    float basis[RANK * M];
    double residual[RANK + 1];
    assert_true(fov_lowrank_fit_scratch(D, M, RANK) <= sizeof scratch / sizeof *scratch);
    const fov_lowrank_fit fit = {D, H, E, RANK, 1, c, w, basis, residual};
    for (int some = 0; some < 2; some++) {
        for (size_t i = 0; i < D; i++) {
            c[i * D + i] = some;
            w[i * E] = some * (double)(i + 1); /* one column of the first head: rank 1 */
        }
        fov_lowrank_fit_run(&fit, scratch);
        for (size_t a = 0; a < RANK; a++)
            for (size_t b = 0; b < RANK; b++) {
                double dot = a == b ? -1 : 0;
                for (size_t i = 0; i < M; i++) dot += (double)basis[a * M + i] * (double)basis[b * M + i];
                assert_true(fabs(dot) <= 1e-6);
            }
        assert_true(fabs(residual[0] - some * 91.) <= 1e-9); /* 1 + 4 + ... + 36 */
        for (size_t k = 1; k <= RANK; k++) assert_true(residual[k] <= 1e-4);
    }
}

static vt_batch q;

static double cost_of(size_t l) {
    if (l == VT_LEVELS) return 1;
    return (double)(t.level[l] / 2) * (VT_D + VT_HE) / (VT_D * VT_HE);
}

static size_t best_level(size_t j, double energy, double lambda, double *margin) {
    double least = INFINITY, second = INFINITY;
    size_t best = 0;
    for (size_t l = 0; l <= VT_LEVELS; l++) {
        const double eps = l < VT_LEVELS ? (double)t.basis_errors[l] / (double)t.basis_errors[0] : 0;
        const double loss = energy * vt_distance(&t, q.x + j * VT_D) * eps + lambda * cost_of(l);
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

/* H~ of token j at a level, in double, and the size of its terms. */
static void reference(size_t j, size_t l, double out[VT_HE], double size[VT_HE]) {
    double full[VT_HE], mean[VT_HE], terms[VT_HE];
    for (size_t o = 0; o < VT_HE; o++) {
        full[o] = terms[o] = 0;
        mean[o] = (double)t.bias[o];
        for (size_t i = 0; i < VT_D; i++) {
            const double w = vt_w(&t, o / VT_E, i, o % VT_E), x = (double)q.x[j * VT_D + i];
            full[o] += (x - (double)t.mean[i]) * w;
            mean[o] += (double)t.mean[i] * w;
            terms[o] += (fabs(x) + 2 * fabs((double)t.mean[i])) * fabs(w);
        }
        out[o] = mean[o] + (l == VT_LEVELS ? full[o] : 0);
        size[o] = fabs((double)t.bias[o]) + terms[o];
    }
    for (size_t k = 0; l < VT_LEVELS && k < t.level[l] / 2; k++) {
        double along = 0, around = 0;
        for (size_t o = 0; o < VT_HE; o++) {
            along += full[o] * (double)t.basis[k * VT_HE + o];
            around += terms[o] * fabs((double)t.basis[k * VT_HE + o]);
        }
        for (size_t o = 0; o < VT_HE; o++) {
            out[o] += along * (double)t.basis[k * VT_HE + o];
            size[o] += around * fabs((double)t.basis[k * VT_HE + o]);
        }
    }
}

/* H~ of the rank that the formula names, its cost, and the work of each token. */
static void test_formula(void **state) {
    (void)state;
    const double lambdas[] = {.01, .1, .5};
    vt_make(&t, 12);
    vt_batch_make(&t, &q);
    const size_t counted[] = {0, 17, 18, 19}; /* the last text: one query row of 22 */
    memcpy(q.q_offsets, counted, sizeof counted);
    q.values.q_offsets = q.q_offsets;
    size_t chosen[VT_LEVELS + 1] = {0};
    for (size_t m = 0; m < 3; m++) {
        char method[40];
        double exact_cost = VT_D * VT_HE, cost = VT_N * VT_D;
        snprintf(method, sizeof method, "lowrank:lambda=%g", lambdas[m]);
        vt_bound b = vt_bind(&t, method);
        const double done = vt_run(&t, &b, &q.values, 2);
        for (size_t j = 0; j < VT_N; j++) {
            double energy = 0, margin, out[VT_HE], size[VT_HE];
            for (size_t h = 0; h < VT_H; h++) energy += (double)q.energy[h * VT_N + j] * (j >= 18 ? 22 : 1) / VT_H;
            const size_t l = best_level(j, energy, lambdas[m], &margin);
            assert_true(margin > 1e-5); /* no tie in f32: the seed is chosen so */
            chosen[l]++;
            cost += cost_of(l) * exact_cost;
            assert_true(fabs((double)q.work[j] - cost_of(l)) < 1e-6);
            reference(j, l, out, size);
            /* chains of d + m, d and k f32 operations: their sum times u of the terms' sizes */
            for (size_t o = 0; o < VT_HE; o++)
                assert_true(fabs((double)q.v[j * VT_HE + o] - out[o]) <= (2 * VT_D + VT_HE + VT_RANK + 4) * 0x1p-24 * size[o]);
        }
        assert_true(fabs(done - cost) <= 1e-6 * cost);
        vt_release(&b);
    }
    size_t used = 0;
    for (size_t l = 0; l <= VT_LEVELS; l++) used += chosen[l] > 0;
    assert_true(used >= 3); /* the formula had something to decide */
    free(t.packed);
}

/* In bf16 and int8 too, by products of that type. bf16: x, W, V W^T, the middle and V are rounded, by 2^-9 of their size each.
 * int8: each is off by at most half a step of 1/127 or 1/255 of its row's largest, some .6 % rms of a row; five such are 1.5 %, and
 * the larger rows double it. */
static void test_types(void **state) {
    (void)state;
    static const fov_type types[] = {FOV_TYPE_BF16, FOV_TYPE_INT8};
    for (size_t k = 0; k < 2; k++) {
        vt_make(&t, 12);
        vt_retype(&t, types[k]);
        vt_batch_make(&t, &q);
        vt_bound b = vt_bind(&t, "lowrank:lambda=.03");
        vt_run(&t, &b, &q.values, 2);
        double error[VT_LEVELS + 1] = {0}, energy[VT_LEVELS + 1] = {0};
        for (size_t j = 0; j < VT_N; j++) {
            double out[VT_HE], size[VT_HE];
            size_t l = 0;
            while (l < VT_LEVELS && fabs((double)q.work[j] - cost_of(l)) > 1e-6) l++;
            reference(j, l, out, size);
            for (size_t o = 0; o < VT_HE; o++) {
                const double off = fabs((double)q.v[j * VT_HE + o] - out[o]);
                assert_true(types[k] == FOV_TYPE_INT8 || off <= 5 * 0x1p-9 * size[o]);
                error[l] += off * off;
                energy[l] += out[o] * out[o];
            }
        }
        size_t used = 0;
        for (size_t l = 1; l < VT_LEVELS; l++) {
            if (energy[l] == 0) continue;
            const double share = sqrt(error[l] / energy[l]);
            assert_true(share <= (types[k] == FOV_TYPE_INT8 ? .03 : .01));
            used++;
        }
        assert_true(used >= 2);
        vt_check_reproducible(&t, &b, &q.values);
        static float exact[VT_N * VT_HE];
        fov_values dense = q.values;
        dense.v = exact;
        const vt_bound whole = vt_bind(&t, "exact");
        vt_run(&t, &whole, &dense, 2);
        assert_memory_not_equal(exact, q.v, sizeof exact);
        vt_release(&b);
        free(t.packed);
    }
}

static void test_exact_limit(void **state) {
    (void)state;
    for (int type = 0; type < FOV_TYPES; type++) vt_check_exact(&t, &q, 13, (fov_type)type, "lowrank:lambda=0");
}

/* The certificate: over inputs of the calibrated distribution, the mean of ||(x - mu) W (1 - V^T V)||^2 is the error of the
 * profile. 4000 inputs of a few dozen independent terms: within 10 %, four standard errors and more. */
static void test_certificate(void **state) {
    (void)state;
    enum { INPUTS = 4000 };
    static float x[INPUTS * VT_D];
    double mean[VT_LEVELS] = {0};
    vt_make(&t, 14);
    vt_inputs(&t, x, INPUTS);
    for (size_t j = 0; j < INPUTS; j++) {
        double full[VT_HE] = {0}, square = 0;
        for (size_t o = 0; o < VT_HE; o++) {
            for (size_t i = 0; i < VT_D; i++)
                full[o] += ((double)x[j * VT_D + i] - (double)t.mean[i]) * vt_w(&t, o / VT_E, i, o % VT_E);
            square += full[o] * full[o];
        }
        for (size_t l = 0, k = 0; l < VT_LEVELS; l++) {
            for (; k < t.level[l] / 2; k++) {
                double along = 0;
                for (size_t o = 0; o < VT_HE; o++) along += full[o] * (double)t.basis[k * VT_HE + o];
                square -= along * along;
            }
            mean[l] += square / INPUTS;
        }
    }
    for (size_t l = 0; l < VT_LEVELS; l++) {
        const double error = (double)t.basis_errors[l];
        assert_true(fabs(mean[l] - error) <= .1 * error);
    }
    free(t.packed);
}

static void test_reproducible(void **state) {
    (void)state;
    vt_make(&t, 15);
    vt_batch_make(&t, &q);
    vt_bound b = vt_bind(&t, "lowrank:lambda=.1");
    vt_check_reproducible(&t, &b, &q.values);
    vt_release(&b);
    free(t.packed);
}

static void test_nan(void **state) {
    (void)state;
    for (int type = 0; type < FOV_TYPES; type++) {
        vt_check_nan(&t, &q, 16, (fov_type)type, "lowrank:lambda=.1");
        assert_true(q.work[5] == 1 && q.work[9] == 1);
    }
}

/* A profile without the part, and none at all. */
static void test_refusals(void **state) {
    (void)state;
    fov_setting setting;
    fov_error error;
    void *bound = NULL;
    size_t count;
    const fov_method_info *const *infos = fov_values_infos(&count);
    vt_make(&t, 17);
    assert_int_equal(fov_setting_parse(&setting, infos, count, "lowrank:lambda=-1", &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_setting_parse(&setting, infos, count, "lowrank", &error), FOV_OK);
    t.profile.basis = NULL;
    const fov_values_row *row = fov_values_row_of(&setting);
    assert_int_equal(row->bind(&setting, &t.weights, fov_allocator_or_default(NULL), &bound, &error), FOV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "foveate calibrate"));
    t.weights.profile = NULL;
    assert_int_equal(row->bind(&setting, &t.weights, fov_allocator_or_default(NULL), &bound, &error), FOV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "foveate calibrate"));
    assert_null(bound);
    free(t.packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basis),       cmocka_unit_test(test_degenerate),  cmocka_unit_test(test_formula),
        cmocka_unit_test(test_exact_limit), cmocka_unit_test(test_certificate), cmocka_unit_test(test_reproducible),
        cmocka_unit_test(test_nan),         cmocka_unit_test(test_refusals),    cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
