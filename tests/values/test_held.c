/* test_held.c: errors on held-out inputs against the inputs themselves, one by one, for fits that are none: any order, any weights,
 * rows that are not orthonormal. */
#include "values/values_test.h"

#include "values/held.h"

enum { N = 90 };
static vt_case t;

static void test_against_inputs(void **state) {
    (void)state;
    static float x[N * VT_D];
    static double moment[VT_D * VT_D], product[VT_HE * VT_D], scratch[VT_HE * (VT_HE + VT_RANK) + VT_RANK];
    float error[VT_LEVELS];
    double left[VT_RANK + 1];
    vt_make(&t, 21);
    vt_inputs(&t, x, N);
    for (size_t i = 0; i < VT_RANK * VT_HE; i++) t.basis[i] = t.basis[i] * (i % 3 ? 1.2f : .7f) + .02f;
    for (size_t j = 0; j < N; j++)
        for (size_t i = 0; i < VT_D; i++) x[j * VT_D + i] += .3f - t.mean[i]; /* not centred at their own mean */
    for (size_t i = 0; i < VT_D; i++)
        for (size_t k = 0; k < VT_D; k++)
            for (size_t j = 0; j < N; j++) moment[i * VT_D + k] += (double)x[j * VT_D + i] * (double)x[j * VT_D + k] / N;
    const fov_held held = {VT_D, VT_H, VT_E, 2, moment, t.w, product};
    double expected[VT_LEVELS][VT_H] = {{0}}, expected_left[VT_RANK + 1] = {0};
    for (size_t j = 0; j < N; j++) {
        double y[VT_HE] = {0}, along[VT_RANK] = {0};
        for (size_t o = 0; o < VT_HE; o++)
            for (size_t i = 0; i < VT_D; i++) y[o] += (double)x[j * VT_D + i] * vt_w(&t, o / VT_E, i, o % VT_E);
        const float *b = t.fits;
        for (size_t h = 0; h < VT_H; h++)
            for (size_t l = 0; l < VT_LEVELS; b += t.level[l++] * VT_E)
                for (size_t c = 0; c < VT_E; c++) {
                    double off = y[h * VT_E + c];
                    for (size_t k = 0; k < t.level[l]; k++)
                        off -= (double)x[j * VT_D + t.order[h * VT_TOP + k]] * (double)b[k * VT_E + c];
                    expected[l][h] += off * off / N;
                }
        for (size_t k = 0; k < VT_RANK; k++)
            for (size_t o = 0; o < VT_HE; o++) along[k] += y[o] * (double)t.basis[k * VT_HE + o];
        for (size_t k = 0; k <= VT_RANK; k++)
            for (size_t o = 0; o < VT_HE; o++) {
                double off = y[o];
                for (size_t r = 0; r < k; r++) off -= along[r] * (double)t.basis[r * VT_HE + o];
                expected_left[k] += off * off / N;
            }
    }
    for (size_t h = 0; h < VT_H; h++) {
        double one[VT_E];
        const fov_held_levels levels = {VT_LEVELS, t.level, t.order + h * VT_TOP, t.fits + h * VT_SUM * VT_E, error};
        fov_held_regress(&held, h, &levels, one);
        /* f32, and what cancels in double */
        for (size_t l = 0; l < VT_LEVELS; l++)
            assert_true(fabs((double)error[l] - expected[l][h]) <= 1e-7 * expected[l][h] + 1e-12 * expected[0][h]);
    }
    fov_held_lowrank(&held, t.basis, VT_RANK, left, scratch);
    for (size_t k = 0; k <= VT_RANK; k++) assert_true(fabs(left[k] - expected_left[k]) <= 1e-9 * expected_left[0]);
    free(t.packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_inputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
