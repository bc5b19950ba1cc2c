/* test_fastmax.c: Fastmax attention against a reference in double on ragged, strided, masked, causal problems, in both forms and
 * several block sizes, on every tier; and the bits that threads, batches and NaN must not change. */
#include <stdio.h>

#include "support/fastmax_reference.h"

/* ys: the output of every tier, so that the reference is made once. */
static void check_outputs(const attention_problem *t, float *const *ys, size_t tiers) {
    const size_t d = t->p.head_size;
    for (size_t b = 0; b < t->p.texts; b++)
        for (size_t h = 0; h < t->p.heads; h++) {
            reference r = reference_of(t, b, h);
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
                for (size_t c = 0; c < d; c++) {
                    const size_t i = (t->y_query ? t->y_query[o] : o - t->y_offsets[b]) * d + c;
                    for (size_t y = 0; y < tiers; y++)
                        check_near((double)ys[y][o * t->p.ldy + h * d + c], r.y[i], r.slack[i], "y", b, h, i);
                }
            reference_free(&r);
        }
}

/* ---- tests ---- */

/* Of the four ways, causal or not and masked or not, two with each variant and mode, so that each variant and each mode meets all
 * four. */
static void test_reference(void **state) {
    (void)state;
    char text[96];
    for (size_t n = 0; n < VARIANTS; n++)
        for (int mode = 0; mode < MODES; mode++)
            for (int way = 0; way < 4; way++) {
                if ((way == 1 || way == 2) != ((n + n / 2 + n / 6 + (size_t)mode) % 2)) continue;
                attention_problem t;
                float *ys[MOST_TIERS];
                size_t tiers = 0;
                fastmax_problem(&t, n * 20 + (uint64_t)(mode * 4 + way), mode, 75, way & 1, way & 2, variant(n, text));
                FOR_EACH_TIER(kernels) {
                    attention_problem_forward(&t, kernels, 1);
                    attention_problem_untouched(&t, false);
                    assert_true(tiers < MOST_TIERS);
                    ys[tiers++] = block_copy(t.y, t.y_floats);
                }
                check_outputs(&t, ys, tiers);
                while (tiers) free(ys[--tiers]);
                attention_problem_free(&t);
            }
}

static void test_threads(void **state) {
    (void)state;
    char text[96];
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < VARIANTS; n += 5)
        for (int mode = 0; mode < MODES; mode++) {
            attention_problem t;
            fastmax_problem(&t, 7000 + n, mode, 75, n & 1, true, variant(n, text));
            attention_problem_forward(&t, kernels, 1);
            float *y = block_copy(t.y, t.y_floats);
            attention_problem_forward(&t, kernels, 3);
            assert_memory_equal(y, t.y, t.y_floats * sizeof *y);
            free(y);
            attention_problem_free(&t);
        }
}

/* A text of a batch has the bits it has alone: slices of the offsets, the same arrays. */
static void test_alone(void **state) {
    (void)state;
    char text[96];
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < VARIANTS; n++)
        for (int mode = 0; mode < MODES; mode++) {
            attention_problem t;
            fastmax_problem(&t, 8000 + n, mode, 150, n / 2 % 2, n / 4 % 2, variant(n, text));
            attention_problem_forward(&t, kernels, 2);
            float *y = block_copy(t.y, t.y_floats);
            for (size_t b = 0; b < t.p.texts; b++) {
                attention_problem one = attention_problem_alone(&t, b);
                attention_problem_forward(&one, kernels, 1);
                for (size_t o = t.y_offsets[b]; o < t.y_offsets[b + 1]; o++)
                    assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, t.p.heads * t.p.head_size * sizeof *y);
            }
            free(y);
            attention_problem_free(&t);
        }
}

/* NaN in a text stays in it and its head. */
static void test_nan(void **state) {
    (void)state;
    char text[96];
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    for (size_t n = 0; n < VARIANTS; n++) {
        attention_problem t;
        fastmax_problem(&t, 9000 + n, PLAIN, 75, false, false, variant(n, text));
        attention_problem_forward(&t, kernels, 2);
        float *y = block_copy(t.y, t.y_floats);
        const size_t sick = t.p.texts - 1, d = t.p.head_size, last = t.k_offsets[sick + 1];
        if (last > t.k_offsets[sick]) t.k[(last - 1) * t.p.ldk] = NAN;
        attention_problem_forward(&t, kernels, 2);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[sick + 1]; o++)
            for (size_t c = 0; c < t.p.heads * d; c++) {
                const size_t i = o * t.p.ldy + c;
                if (o >= t.y_offsets[sick] && c < d)
                    assert_true(isnan(t.y[i]));
                else
                    assert_memory_equal(&t.y[i], &y[i], sizeof *y);
            }
        free(y);
        attention_problem_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
