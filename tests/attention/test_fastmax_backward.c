/* test_fastmax_backward.c: Fastmax's gradients against finite differences of the reference in double, normalisation included, in
 * both forms and several block sizes; and the bits that threads must not change. */
#include <stdio.h>

#include "support/fastmax_reference.h"

static double loss(const attention_problem *t, const reference *r, size_t b, size_t h) {
    double sum = 0;
    reference_run(r);
    for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
        for (size_t c = 0; c < r->d; c++)
            sum += (double)t->dy[o * t->p.ldy + h * r->d + c] * r->y[(t->y_query ? t->y_query[o] : o - t->y_offsets[b]) * r->d + c];
    return sum;
}

/* By how much normalising multiplies a gradient at most. */
static double gain(const reference *r, const double *x, size_t rows) {
    double least = 1e30, largest = 0;
    for (size_t i = 0; i < rows && r->normalize != NONE; i++) {
        double mean = 0, square = 0;
        if (isnan(x[i * r->d])) continue;
        for (size_t c = 0; c < r->d; c++) mean += x[i * r->d + c] / (double)r->d;
        for (size_t c = 0; c < r->d; c++) square += pow(x[i * r->d + c] - (r->normalize == STANDARDIZE ? mean : 0), 2);
        least = fmin(least, sqrt(square / (double)r->d) + 1e-6);
        largest = fmax(largest, sqrt(square));
    }
    return r->normalize == NONE ? 1 : 1 / (r->normalize == L2MAX ? largest + 1e-6 : least);
}

/* Central differences of the reference: exact to 1e-8 here. f32 sums whose terms may cancel: 1e-5 of the largest gradient and of
 * the gain, and more where a row is ill-conditioned (slack of y, relative to its rounding, says by how much). */
static void check_gradient(const attention_problem *t, reference *r, size_t b, size_t h, double *x, size_t rows, const float *got,
                           size_t ld, const char *what) {
    const double step = 1e-5;
    double *want = doubles(rows * r->d), most = x == r->v ? 1 : gain(r, x, rows), worst = 0;
    for (size_t i = 0; i < r->queries * r->d; i++) worst = fmax(worst, r->slack[i] / problem_unit);
    for (size_t i = 0; i < rows * r->d; i++) {
        const double kept = x[i];
        if (isnan(kept)) continue; /* a masked key: 0 */
        x[i] = kept + step;
        const double up = loss(t, r, b, h);
        x[i] = kept - step;
        want[i] = (up - loss(t, r, b, h)) / (2 * step);
        x[i] = kept;
        most = fmax(most, fabs(want[i]));
    }
    for (size_t i = 0; i < rows * r->d; i++)
        check_near((double)got[i / r->d * ld + h * r->d + i % r->d], want[i], most * (1e-5 + 8 * problem_unit * worst), what, b, h,
                   i);
    free(want);
}

static void test_gradients(void **state) {
    (void)state;
    char text[96];
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    for (size_t n = 0; n < VARIANTS; n++)
        for (int mode = 0; mode < MODES; mode++) {
            if (mode == IN_PLACE || (n % 2 == 0 && n / 2 % 3 != 1)) continue; /* p = 1 may have g = 0 unless |x| < 1 */
            attention_problem t;
            fastmax_problem(&t, 5000 + n * 5 + (uint64_t)mode, mode, 20, (n / 2 + (size_t)mode) % 2, n / 6 % 2, variant(n, text));
            attention_problem_forward(&t, kernels, 1);
            attention_problem_backward(&t, kernels, 2);
            for (size_t b = 0; b < t.p.texts; b++)
                for (size_t h = 0; h < t.p.heads; h++) {
                    reference r = reference_of(&t, b, h);
                    check_gradient(&t, &r, b, h, r.q, r.queries, t.dq + t.q_offsets[b] * t.p.ldq, t.p.ldq, "dq");
                    check_gradient(&t, &r, b, h, r.k, r.keys, t.dk + t.k_offsets[b] * t.p.ldk, t.p.ldk, "dk");
                    check_gradient(&t, &r, b, h, r.v, r.keys, t.dv + t.k_offsets[b] * t.p.ldv, t.p.ldv, "dv");
                    reference_free(&r);
                }
            attention_problem_untouched(&t, true);
            attention_problem_free(&t);
        }
}

static void test_threads(void **state) {
    (void)state;
    char text[96];
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < VARIANTS; n += 5)
        for (int mode = 0; mode < MODES; mode++) {
            if (mode == IN_PLACE) continue;
            attention_problem t;
            fastmax_problem(&t, 7000 + n, mode, 75, n & 1, true, variant(n, text));
            attention_problem_forward(&t, kernels, 1);
            attention_problem_backward(&t, kernels, 1);
            float *dq = block_copy(t.dq, t.q_floats), *dk = block_copy(t.dk, t.k_floats), *dv = block_copy(t.dv, t.v_floats);
            attention_problem_backward(&t, kernels, 5);
            assert_memory_equal(dq, t.dq, t.q_floats * sizeof *dq);
            assert_memory_equal(dk, t.dk, t.k_floats * sizeof *dk);
            assert_memory_equal(dv, t.dv, t.v_floats * sizeof *dv);
            free(dq);
            free(dk);
            free(dv);
            attention_problem_free(&t);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
