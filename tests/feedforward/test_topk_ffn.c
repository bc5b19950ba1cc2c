/* test_topk_ffn.c: the top-k feed-forward layer against a double reference on every tier. Inputs are small whole numbers where
 * selection is tested: pre-activations are then exact in f32 and tie often. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feedforward/feedforward.h"
#include "support/random.h"
#include "support/tiers.h"

enum { GUARD = 64 };

static const float canary = -12345.75f;
static const double unit = 0x1p-24;

typedef struct layer {
    fov_ffn_weights w;
    fov_ffn p;
    fov_setting setting;
    float *up, *up_bias, *down, *down_bias, *x, *y; /* as in a checkpoint: [hidden, width], [width, hidden] */
    float *packed_up, *packed_down;
    double multiply_adds;
    bool by_size;
} layer;

static float *floats_of(size_t count) {
    float *block = aligned_alloc(64, (count * sizeof(float) + 64) / 64 * 64);
    assert_non_null(block);
    return block;
}

static float *random_of(test_rng *rng, size_t count, bool whole, float range) {
    float *block = floats_of(count);
    for (size_t i = 0; i < count; i++) block[i] = whole ? (float)test_between(rng, 0, 2) - 1 : range * test_float(rng);
    return block;
}

static fov_setting setting_of(const char *text) {
    size_t count;
    const fov_method_info *const *infos = fov_ffn_infos(&count);
    fov_setting setting;
    assert_int_equal(fov_setting_parse(&setting, infos, count, text, NULL), FOV_OK);
    return setting;
}

static void layer_make(layer *t, uint64_t seed, size_t n, size_t width, size_t hidden, size_t k, fov_activation act, bool biased,
                       bool by_size) {
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    *t = (layer){.w = {.activation = act}, .p = {.n = n}};
    t->up = random_of(&rng, hidden * width, true, 1);
    t->up_bias = random_of(&rng, hidden, true, 1);
    t->down = random_of(&rng, hidden * width, false, 1);
    t->down_bias = random_of(&rng, width, false, 1);
    t->x = random_of(&rng, n * width, true, 1);
    t->y = floats_of(n * width + GUARD);
    t->packed_up = floats_of(fov_packed_size(hidden, width));
    t->packed_down = floats_of(fov_packed_size(width, hidden));
    t->w.up = (fov_linear){.m = hidden, .k = width, .w = t->packed_up, .bias = biased ? t->up_bias : NULL};
    t->w.down = (fov_linear){.m = width, .k = hidden, .w = t->packed_down, .bias = biased ? t->down_bias : NULL};
    t->p.x = t->x;
    t->p.y = t->y;
    char text[40];
    snprintf(text, sizeof text, "topk:k=%zu,by=%s", k, by_size ? "size" : "score");
    t->by_size = by_size;
    t->setting = setting_of(text);
}

static void layer_free(layer *t) {
    float *blocks[] = {t->up, t->up_bias, t->down, t->down_bias, t->x, t->y, t->packed_up, t->packed_down};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

static void run_row(layer *t, const fov_ffn_row *row, const fov_kernels *kernels, unsigned threads) {
    size_t bytes = row->workspace(t->p.n, t->w.up.m);
    unsigned char *scratch = aligned_alloc(64, (bytes + 127) / 64 * 64);
    float *gemm = floats_of(threads * fov_gemm_scratch());
    assert_non_null(scratch);
    memset(scratch, 0xFF, bytes);
    memset(scratch + bytes, 0xC5, 64 - bytes % 64);
    kernels->pack_t(t->up, t->w.up.k, t->w.up.m, t->w.up.k, t->packed_up);
    kernels->pack_t(t->down, t->w.up.m, t->w.up.k, t->w.up.m, t->packed_down);
    for (size_t i = 0; i < t->p.n * t->w.up.k + GUARD; i++) t->y[i] = canary;
    t->multiply_adds = 0;
    fov_ffn_run run = {kernels, &t->setting, &t->w, threads, scratch, gemm, &t->multiply_adds, NULL};
    row->forward(&run, &t->p);
    for (size_t i = 0; i < 64 - bytes % 64; i++) assert_int_equal(scratch[bytes + i], 0xC5);
    for (size_t i = 0; i < GUARD; i++) assert_true(t->y[t->p.n * t->w.up.k + i] == canary);
    free(scratch);
    free(gemm);
}

static double activate(fov_activation act, double x) {
    if (act == FOV_ACT_RELU) return x > 0 ? x : 0;
    if (act == FOV_ACT_GELU) return x / 2 * erfc(-x / sqrt(2.));
    return act == FOV_ACT_TANH ? tanh(x) : x;
}

/* What units are ranked by. */
static double rank_of(const layer *t, double s) {
    return t->by_size ? fabs(activate(t->w.activation, s)) : s;
}

/* Token i: pre-activations s; kept[j]: j is among the k best, the lower unit of equal ones first. */
static void select_units(const layer *t, size_t i, size_t k, double *s, bool *kept) {
    size_t hidden = t->w.up.m, width = t->w.up.k;
    for (size_t j = 0; j < hidden; j++) {
        s[j] = t->w.up.bias ? (double)t->up_bias[j] : 0;
        for (size_t c = 0; c < width; c++) s[j] += (double)t->x[i * width + c] * (double)t->up[j * width + c];
    }
    for (size_t j = 0; j < hidden; j++) {
        size_t better = 0;
        double rank = rank_of(t, s[j]);
        for (size_t l = 0; l < hidden; l++) better += rank_of(t, s[l]) > rank || (rank_of(t, s[l]) >= rank && l < j);
        kept[j] = better < k;
    }
}

static void check_layer(const layer *t, size_t k) {
    size_t hidden = t->w.up.m, width = t->w.up.k;
    double *s = malloc(hidden * sizeof *s), done = (double)(t->p.n * width * hidden);
    bool *kept = malloc(hidden * sizeof *kept);
    assert_true(s && kept);
    for (size_t i = 0; i < t->p.n; i++) {
        select_units(t, i, k, s, kept);
        for (size_t j = 0; j < hidden; j++) done += kept[j] && activate(t->w.activation, s[j]) != 0 ? (double)width : 0;
        for (size_t c = 0; c < width; c++) {
            double y = (double)t->x[i * width + c] + (t->w.down.bias ? (double)t->down_bias[c] : 0), size = fabs(y) + 2;
            for (size_t j = 0; j < hidden; j++) {
                double part = kept[j] ? activate(t->w.activation, s[j]) * (double)t->down[c * hidden + j] : 0;
                y += part;
                size += fabs(part);
            }
            double got = (double)t->y[i * width + c], tolerance = size * unit * ((double)(k < hidden ? k : hidden) + 12);
            if (!(fabs(got - y) <= tolerance))
                fail_msg("token %zu, column %zu: %.9g, not %.9g (tolerance %.3g)", i, c, got, y, tolerance);
        }
    }
    /* A GELU far below 0 is 0 in f32, but not in double. */
    assert_true(t->multiply_adds <= done && (t->w.activation == FOV_ACT_GELU || t->multiply_adds >= done));
    free(s);
    free(kept);
}

static void test_reference(void **state) {
    (void)state;
    static const fov_activation acts[] = {FOV_ACT_RELU, FOV_ACT_GELU, FOV_ACT_TANH, FOV_ACT_NONE};
    static const size_t shapes[][4] = {{1, 1, 1, 1},    {3, 5, 40, 7},      {9, 33, 96, 1}, {17, 64, 130, 64},
                                       {2, 31, 50, 50}, {2, 100, 70, 1000}, {340, 8, 20, 6}}; /* n, width, hidden, k */
    FOR_EACH_TIER(kernels)
    for (int by_size = 0; by_size < 2; by_size++)
        for (size_t a = 0; a < sizeof acts / sizeof *acts; a++)
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                if (by_size && acts[a] == FOV_ACT_TANH) continue; /* saturates: ties in f32 that are none in double */
                layer t;
                layer_make(&t, 10 * a + i, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], acts[a], i % 2 == 0, by_size);
                run_row(&t, &fov_ffn_topk, kernels, 1 + (unsigned)i % 3);
                check_layer(&t, shapes[i][3]);
                layer_free(&t);
            }
}

/* ReLU with at most k positive pre-activations, and any activation with k >= hidden: the dense layer, but for the order of sums. */
static void test_exact(void **state) {
    (void)state;
    enum { N = 20, WIDTH = 48, HIDDEN = 200 };
    FOR_EACH_TIER(kernels)
    for (int relu = 0; relu < 2; relu++) {
        layer t;
        layer_make(&t, 77, N, WIDTH, HIDDEN, relu ? 60 : HIDDEN, relu ? FOV_ACT_RELU : FOV_ACT_GELU, true, false);
        for (size_t j = 0; relu && j < HIDDEN; j++) t.up_bias[j] = -4; /* few are positive */
        double s[HIDDEN];
        bool kept[HIDDEN];
        size_t active = 0;
        for (size_t i = 0; relu && i < N; i++) {
            select_units(&t, i, 60, s, kept);
            for (size_t j = 0; j < HIDDEN; j++) {
                active += s[j] > 0;
                assert_true(kept[j] || s[j] <= 0);
            }
        }
        assert_true(!relu || active > N);
        run_row(&t, &fov_ffn_topk, kernels, 2);
        float y[N * WIDTH];
        memcpy(y, t.y, sizeof y);
        run_row(&t, &fov_ffn_exact, kernels, 2);
        for (size_t i = 0; i < N * WIDTH; i++) /* sums of at most 200 terms of about 10 */
            if (!(fabs((double)y[i] - (double)t.y[i]) <= 200 * 10 * 20 * unit))
                fail_msg("%zu: %g, not %g", i, (double)y[i], (double)t.y[i]);
        layer_free(&t);
    }
}

/* The same bits for every thread count, and for a token alone. */
static void test_bits_equal(void **state) {
    (void)state;
    enum { N = 350, WIDTH = 70, HIDDEN = 90 };
    FOR_EACH_TIER(kernels) {
        layer t;
        layer_make(&t, 5, N, WIDTH, HIDDEN, 11, FOV_ACT_GELU, true, true);
        run_row(&t, &fov_ffn_topk, kernels, 1);
        float *y = floats_of(N * WIDTH);
        memcpy(y, t.y, N * WIDTH * sizeof *y);
        run_row(&t, &fov_ffn_topk, kernels, 5);
        assert_memory_equal(y, t.y, N * WIDTH * sizeof *y);
        t.p.n = 1;
        for (size_t i = 0; i < N; i += 29) {
            t.p.x = t.x + i * WIDTH;
            run_row(&t, &fov_ffn_topk, kernels, 1);
            assert_memory_equal(y + i * WIDTH, t.y, WIDTH * sizeof *y);
        }
        free(y);
        layer_free(&t);
    }
}

static void test_nan(void **state) {
    (void)state;
    layer t;
    layer_make(&t, 6, 3, 40, 50, 4, FOV_ACT_RELU, true, false);
    t.x[40] = NAN;
    run_row(&t, &fov_ffn_topk, fov_kernels_get(NULL), 1);
    for (size_t c = 0; c < 120; c++) assert_true(!isnan(t.y[c]) == (c < 40 || c >= 80));
    layer_free(&t);
}

static void test_parameters(void **state) {
    (void)state;
    size_t count;
    const fov_method_info *const *infos = fov_ffn_infos(&count);
    static const char *const wrong[] = {"topk:k=0", "topk:k=-4", "topk:k=.5", "topk:n=3", "topk:by=luck"};
    fov_setting setting;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(fov_setting_parse(&setting, infos, count, wrong[i], NULL), FOV_ERR_ARGUMENT);
    setting = setting_of("topk");
    assert_true(fov_setting_get(&setting, "k") == 1024);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_exact),      cmocka_unit_test(test_bits_equal),
        cmocka_unit_test(test_nan),       cmocka_unit_test(test_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
