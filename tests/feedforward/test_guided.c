/* test_guided.c: narrow and guided feed-forward layers against their formulas in double, with tables made by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feedforward/feedforward.h"
#include "support/random.h"

enum { N = 60, WIDTH = 40, HIDDEN = 96, LEVELS = 3, TOP = 36, SUM = 8 + 36, TEXTS = 4 };

static const uint32_t level[LEVELS] = {0, 8, TOP};
static const size_t offsets[TEXTS + 1] = {0, 1, 23, 24, N};

typedef struct layer {
    float up[HIDDEN * WIDTH], up_bias[HIDDEN], down[WIDTH * HIDDEN], down_bias[WIDTH]; /* as in a checkpoint */
    float weight[SUM * WIDTH], bias[LEVELS * WIDTH], error[LEVELS], energy;
    uint32_t order[TOP];
    float x[N * WIDTH], y[N * WIDTH], importance[N];
    float *packed_up, *packed_down, up_scale[HIDDEN], down_scale[WIDTH];
    int32_t up_sum[HIDDEN], down_sum[WIDTH];
    fov_ffn_profile profile;
    fov_ffn_weights w;
    double done;
} layer;
static layer t;

static void fill(test_rng *rng, float *x, size_t n, float range) {
    for (size_t i = 0; i < n; i++) x[i] = range * test_float(rng);
}

static void make(fov_type type, fov_activation act) {
    const fov_kernels *kernels = fov_kernels_get(NULL);
    test_rng rng = {77};
    float words[FOV_PANEL * HIDDEN];
    fill(&rng, t.up, HIDDEN * WIDTH, .3f);
    fill(&rng, t.up_bias, HIDDEN, 1);
    fill(&rng, t.down, WIDTH * HIDDEN, .3f);
    fill(&rng, t.down_bias, WIDTH, 1);
    fill(&rng, t.weight, SUM * WIDTH, .3f);
    fill(&rng, t.bias, LEVELS * WIDTH, 1);
    fill(&rng, t.x, N * WIDTH, 2);
    for (size_t i = 0; i < TOP; i++) t.order[i] = (uint32_t)((i * 41 + 5) % HIDDEN);
    for (size_t i = 0; i < N; i++) t.importance[i] = (float)pow(10, -3 * (double)(test_bits(&rng) >> 11) * 0x1p-53);
    t.error[0] = 1.4f;
    t.error[1] = 1;
    t.error[2] = .2f;
    t.energy = 10;
    t.packed_up = aligned_alloc(64, fov_packed_size(HIDDEN, WIDTH) * sizeof(float));
    t.packed_down = aligned_alloc(64, (fov_packed_size(WIDTH, HIDDEN) * sizeof(float) + 63) / 64 * 64);
    assert_true(t.packed_up && t.packed_down);
    fov_pack_type(kernels, type, t.up, WIDTH, HIDDEN, WIDTH, t.packed_up, t.up_scale, t.up_sum, words);
    fov_pack_type(kernels, type, t.down, HIDDEN, WIDTH, HIDDEN, t.packed_down, t.down_scale, t.down_sum, words);
    t.w.up = (fov_linear){HIDDEN, WIDTH, type, t.packed_up, t.up_scale, t.up_sum, t.up_bias};
    t.w.down = (fov_linear){WIDTH, HIDDEN, type, t.packed_down, t.down_scale, t.down_sum, t.down_bias};
    t.w.activation = act;
    t.profile = (fov_ffn_profile){"test", LEVELS, level, t.order, t.weight, t.bias, t.error, &t.energy};
}

static void unmake(void) {
    free(t.packed_up);
    free(t.packed_down);
}

static fov_setting setting_of(const char *text) {
    size_t count;
    const fov_method_info *const *infos = fov_ffn_infos(&count);
    fov_setting setting;
    assert_int_equal(fov_setting_parse(&setting, infos, count, text, NULL), FOV_OK);
    return setting;
}

/* Rows [first, first + n) with a workspace of exactly the size asked for. */
static void run(const char *method, unsigned threads, const float *x, size_t n, size_t texts, const size_t *starts,
                const float *importance, float *y) {
    const fov_setting setting = setting_of(method);
    const fov_ffn_row *row = fov_ffn_row_of(&setting);
    const fov_allocator *allocator = fov_allocator_or_default(NULL);
    void *bound = NULL;
    if (row->bind) assert_int_equal(row->bind(&setting, &t.w, &t.profile, allocator, &bound, NULL), FOV_OK);
    void *scratch = aligned_alloc(64, (row->workspace(n, HIDDEN) + 63) / 64 * 64);
    float *gemm = aligned_alloc(64, (threads * fov_gemm_scratch() * sizeof(float) + 63) / 64 * 64);
    assert_true(scratch && gemm);
    t.done = 0;
    const fov_ffn_run r = {fov_kernels_get(NULL), &setting, &t.w, threads, scratch, gemm, &t.done, bound};
    const fov_ffn p = {n, x, y, texts, starts, importance};
    row->forward(&r, &p);
    free(gemm);
    free(scratch);
    fov_release(allocator, bound);
}

static double activate(double x) {
    return t.w.activation == FOV_ACT_GELU ? x / 2 * erfc(-x / sqrt(2.)) : x > 0 ? x : 0;
}

/* Column c of token i at level l; LEVELS: the layer itself. size: sum of the absolute terms. */
static double reference(size_t i, size_t l, size_t c, double *size) {
    const size_t units = l < LEVELS ? level[l] : HIDDEN;
    double y = (double)t.x[i * WIDTH + c] + (double)(l < LEVELS ? t.bias[l * WIDTH + c] : t.down_bias[c]);
    const float *weight = t.weight;
    for (size_t k = 0; k < l && l < LEVELS; k++) weight += level[k] * WIDTH;
    *size = fabs(y) + 2;
    for (size_t k = 0; k < units; k++) {
        const size_t unit = l < LEVELS ? t.order[k] : k;
        double s = (double)t.up_bias[unit];
        for (size_t m = 0; m < WIDTH; m++) s += (double)t.up[unit * WIDTH + m] * (double)t.x[i * WIDTH + m];
        const double part = activate(s) * (double)(l < LEVELS ? weight[c * units + k] : t.down[c * HIDDEN + k]);
        y += part;
        *size += fabs(part);
    }
    return y;
}

/* Level of every token by the formula; LEVELS + 1: too near a tie for f32. */
static void choose(double lambda, double beta, size_t *choice) {
    for (size_t b = 0; b < TEXTS; b++) {
        double sum = 0;
        for (size_t i = offsets[b]; i < offsets[b + 1]; i++) sum += (double)t.importance[i];
        for (size_t i = offsets[b]; i < offsets[b + 1]; i++) {
            const double a = (double)t.importance[i] * (double)(offsets[b + 1] - offsets[b]) / sum;
            double least = lambda, second = INFINITY;
            choice[i] = LEVELS;
            for (size_t l = 0; l < LEVELS && i > offsets[b]; l++) {
                const double loss = pow(a, beta) * (double)t.error[l] / (double)t.energy + lambda * level[l] / HIDDEN;
                if (loss < least) {
                    second = least;
                    least = loss;
                    choice[i] = l;
                } else if (loss < second) {
                    second = loss;
                }
            }
            if (second - least < 1e-5 * least) choice[i] = LEVELS + 1;
        }
    }
}

/* bf16 rounds x, the weights and the activations to 2^-9 of their size each. */
static void check(const size_t *choice, double tolerance) {
    double cost = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(choice[i] <= LEVELS);
        cost += 2. * WIDTH * (choice[i] < LEVELS ? level[choice[i]] : HIDDEN);
        for (size_t c = 0; c < WIDTH; c++) {
            double size;
            const double y = reference(i, choice[i], c, &size);
            if (!(fabs((double)t.y[i * WIDTH + c] - y) <= tolerance * size))
                fail_msg("token %zu at level %zu: %g, not %g", i, choice[i], (double)t.y[i * WIDTH + c], y);
        }
    }
    assert_true(fabs(t.done - cost) < .5);
}

static void test_formula(void **state) {
    (void)state;
    static const double lambdas[] = {.05, .3, .02}, betas[] = {.5, 1, 0};
    for (size_t k = 0; k < 6; k++) {
        make(k < 3 ? FOV_TYPE_F32 : FOV_TYPE_BF16, k % 2 ? FOV_ACT_GELU : FOV_ACT_RELU);
        size_t choice[N], seen[LEVELS + 1] = {0};
        char method[60];
        snprintf(method, sizeof method, "guided:lambda=%g,beta=%g", lambdas[k % 3], betas[k % 3]);
        run(method, 2, t.x, N, TEXTS, offsets, t.importance, t.y);
        choose(lambdas[k % 3], betas[k % 3], choice);
        for (size_t i = 0; i < N; i++) {
            assert_true(choice[i] <= LEVELS);
            seen[choice[i]]++;
        }
        for (size_t l = 0; k % 3 == 0 && l <= LEVELS; l++) assert_true(seen[l] > 0);
        check(choice, k < 3 ? 200 * 0x1p-24 : 0x1p-6);
        unmake();
    }
}

static void test_narrow(void **state) {
    (void)state;
    for (size_t l = 0; l < LEVELS; l++) {
        make(FOV_TYPE_F32, FOV_ACT_GELU);
        size_t choice[N];
        char method[60];
        for (size_t i = 0; i < N; i++) choice[i] = l;
        for (size_t b = 0; b < TEXTS; b++) choice[offsets[b]] = LEVELS;
        snprintf(method, sizeof method, "narrow:m=%u", level[l]);
        run(method, 3, t.x, N, TEXTS, offsets, NULL, t.y);
        check(choice, 200 * 0x1p-24);
        unmake();
    }
}

/* At the full level, and for rows that are read, the bits of the exact method. */
static void test_exact(void **state) {
    (void)state;
    static const char *const whole[] = {"guided:lambda=0", "narrow:m=96", "narrow:m=5000"};
    static float y[N * WIDTH];
    for (int type = 0; type < FOV_TYPES; type++) {
        make((fov_type)type, FOV_ACT_GELU);
        run("exact", 1, t.x, N, TEXTS, offsets, NULL, y);
        for (size_t i = 0; i < 3; i++) {
            run(whole[i], 2, t.x, N, TEXTS, offsets, t.importance, t.y);
            assert_memory_equal(y, t.y, sizeof y);
        }
        run("guided:lambda=9", 2, t.x, N, TEXTS, NULL, NULL, t.y);
        assert_memory_equal(y, t.y, sizeof y);
        run("narrow:m=8", 2, t.x, N, TEXTS, NULL, NULL, t.y);
        assert_memory_equal(y, t.y, sizeof y);
        unmake();
    }
}

/* A text gives the same bits alone as in any batch, for any number of threads; a NaN stays with its text. */
static void test_same_bits(void **state) {
    (void)state;
    static float one[N * WIDTH];
    for (int type = 0; type < FOV_TYPES; type++)
        for (unsigned threads = 1; threads <= 3; threads++) {
            make((fov_type)type, FOV_ACT_GELU);
            run("guided:lambda=.05", threads, t.x, N, TEXTS, offsets, t.importance, t.y);
            for (size_t b = 0; b < TEXTS; b++) {
                const size_t first = offsets[b], n = offsets[b + 1] - first, starts[] = {0, n};
                run("guided:lambda=.05", 1, t.x + first * WIDTH, n, 1, starts, t.importance + first, one);
                assert_memory_equal(one, t.y + first * WIDTH, n * WIDTH * sizeof *one);
            }
            t.x[30 * WIDTH] = t.importance[30] = NAN;
            run("guided:lambda=.05", threads, t.x, N, TEXTS, offsets, t.importance, t.y);
            for (size_t c = 0; c < WIDTH; c++) assert_true(isnan(t.y[30 * WIDTH + c]));
            for (size_t i = 0; i < 24 * WIDTH; i++) assert_true(!isnan(t.y[i]));
            unmake();
        }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const methods[] = {"guided", "narrow:m=8"};
    fov_error error;
    void *bound = NULL;
    make(FOV_TYPE_F32, FOV_ACT_GELU);
    for (size_t i = 0; i < 2; i++) {
        const fov_setting s = setting_of(methods[i]);
        assert_int_equal(fov_ffn_row_of(&s)->bind(&s, &t.w, NULL, fov_allocator_or_default(NULL), &bound, &error),
                         FOV_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "foveate calibrate"));
    }
    const fov_setting s = setting_of("narrow:m=9");
    assert_int_equal(fov_ffn_narrow.bind(&s, &t.w, &t.profile, fov_allocator_or_default(NULL), &bound, &error),
                     FOV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "0, 8, 36, or 96"));
    assert_null(bound);
    unmake();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula),   cmocka_unit_test(test_narrow),  cmocka_unit_test(test_exact),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
