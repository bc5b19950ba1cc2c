/* test_dense_masks.c: dense attention on texts of several tiles, causal, with positions and with absent keys that hold NaN: Y,
 * weights and gradients against double references, on every tier. Y and weights in bf16 too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "attention/attention.h"
#include "support/bf16.h"
#include "support/random.h"
#include "support/tiers.h"

enum { TEXTS = 3, HEADS = 2, D = 6, WIDTH = HEADS * D, QUERIES = 870, KEYS = 1610 };
static const size_t q_offsets[TEXTS + 1] = {0, 130, 843, QUERIES}, k_offsets[TEXTS + 1] = {0, 130, 930, KEYS};

typedef struct problem {
    float q[QUERIES * WIDTH], k[KEYS * WIDTH], v[KEYS * WIDTH], y[QUERIES * WIDTH], dy[QUERIES * WIDTH];
    uint32_t position[QUERIES];
    uint8_t mask[KEYS];
    fov_attention p;
} problem;

enum { MASKED = 1, CAUSAL = 2, PLACED = 4, BF16 = 8, MODES = 16 };

static void fill(test_rng *rng, float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = 2 * test_float(rng);
}

static void make(problem *t, int mode) {
    test_rng rng = {1234567};
    fill(&rng, t->q, QUERIES * WIDTH);
    fill(&rng, t->k, KEYS * WIDTH);
    fill(&rng, t->v, KEYS * WIDTH);
    fill(&rng, t->dy, QUERIES * WIDTH);
    for (size_t i = 0; i < QUERIES; i++) t->position[i] = (uint32_t)test_between(&rng, 0, 900);
    for (size_t i = 0; i < KEYS; i++) {
        t->mask[i] = test_between(&rng, 0, 3) != 0 && !(i >= 950 && i < 1450); /* a whole tile of the third text is absent */
        for (size_t c = 0; mode & MASKED && !t->mask[i] && c < WIDTH; c++) t->k[i * WIDTH + c] = t->v[i * WIDTH + c] = NAN;
    }
    t->p = (fov_attention){.texts = TEXTS,
                           .heads = HEADS,
                           .head_size = D,
                           .key_size = D,
                           .q_offsets = q_offsets,
                           .k_offsets = k_offsets,
                           .y_offsets = q_offsets,
                           .q_position = mode & PLACED ? t->position : NULL,
                           .q = t->q,
                           .k = t->k,
                           .v = t->v,
                           .y = t->y,
                           .ldq = WIDTH,
                           .ldk = WIDTH,
                           .ldv = WIDTH,
                           .ldy = WIDTH,
                           .type = mode & BF16 ? FOV_TYPE_BF16 : FOV_TYPE_F32,
                           .scale = 0.75f,
                           .causal = (mode & CAUSAL) != 0,
                           .key_mask = mode & MASKED ? t->mask : NULL};
}

static bool sees(const problem *t, size_t b, size_t i, size_t j) {
    const size_t queries = q_offsets[b + 1] - q_offsets[b], keys = k_offsets[b + 1] - k_offsets[b];
    const ptrdiff_t at = t->p.q_position ? (ptrdiff_t)t->position[q_offsets[b] + i] : (ptrdiff_t)(i + keys) - (ptrdiff_t)queries;
    return (!t->p.key_mask || t->mask[k_offsets[b] + j]) && (!t->p.causal || (ptrdiff_t)j <= at);
}

static double dot(const float *a, const float *b) {
    double sum = 0;
    for (size_t c = 0; c < D; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

static double dot_bf16(const float *a, const float *b) {
    double sum = 0;
    for (size_t c = 0; c < D; c++) sum += bf16_of(a[c]) * bf16_of(b[c]);
    return sum;
}

/* Weights of query i of text b and head h over its keys. */
static void reference_weights(const problem *t, size_t b, size_t h, size_t i, double *a) {
    const size_t keys = k_offsets[b + 1] - k_offsets[b];
    double top = -INFINITY, sum = 0;
    double (*const product)(const float *, const float *) = t->p.type == FOV_TYPE_BF16 ? dot_bf16 : dot;
    for (size_t j = 0; j < keys; j++) {
        a[j] = sees(t, b, i, j) ? (double)t->p.scale *
                                      product(t->q + (q_offsets[b] + i) * WIDTH + h * D, t->k + (k_offsets[b] + j) * WIDTH + h * D)
                                : -INFINITY;
        top = fmax(top, a[j]);
    }
    for (size_t j = 0; j < keys; j++) sum += a[j] = a[j] > -INFINITY ? exp(a[j] - top) : 0;
    for (size_t j = 0; sum > 0 && j < keys; j++) a[j] /= sum;
}

/* Scores reach 24 and are off by up to (D + 2) roundings of that: weights by 2e-5 of themselves. */
static const double tolerance = 2e-5;

static void near(double got, double want, double size, const char *what, int mode, size_t row) {
    if (!(fabs(got - want) <= tolerance * size + 1e-30))
        fail_msg("%s, mode %d, row %zu: %.9g, not %.9g (size %.3g)", what, mode, row, got, want, size);
}

/* Of one tier, one way. */
typedef struct result {
    float *y, *weights; /* weights NULL: they are not stored */
} result;

/* The results of all tiers, so that the reference is made once. */
static void check_rows(const problem *t, const result *results, size_t count, const size_t *starts, int mode) {
    static double a[KEYS];
    for (size_t b = 0; b < TEXTS; b++)
        for (size_t h = 0; h < HEADS; h++)
            for (size_t i = 0; i < q_offsets[b + 1] - q_offsets[b]; i++) {
                const size_t keys = k_offsets[b + 1] - k_offsets[b], queries = q_offsets[b + 1] - q_offsets[b];
                const size_t at = HEADS * starts[b] + (h * queries + i) * keys, row = (q_offsets[b] + i) * WIDTH + h * D;
                double y[D] = {0}, size[D] = {0};
                reference_weights(t, b, h, i, a);
                for (size_t j = 0; j < keys; j++)
                    for (size_t c = 0; a[j] > 0 && c < D; c++) {
                        const float v = t->v[(k_offsets[b] + j) * WIDTH + h * D + c];
                        const double value = mode & BF16 ? bf16_of(v) : (double)v;
                        y[c] += a[j] * value;
                        size[c] += a[j] * fabs(value) * (mode & BF16 ? 1 + bf16_unit / tolerance : 1); /* A is rounded too */
                    }
                for (size_t n = 0; n < count; n++) {
                    const result *r = &results[n];
                    for (size_t j = 0; r->weights && j < keys; j++) near((double)r->weights[at + j], a[j], a[j], "weight", mode, i);
                    for (size_t c = 0; c < D; c++)
                        near((double)r->y[row + c], y[c], size[c], r->weights ? "applied" : "y", mode, i);
                }
            }
}

static float *y_of(const problem *t) {
    float *y = malloc(sizeof t->y);
    assert_non_null(y);
    memcpy(y, t->y, sizeof t->y);
    return y;
}

static fov_attention_run run_of(const fov_kernels *kernels, size_t bytes, unsigned threads) {
    fov_attention_run run = {kernels, NULL, threads, aligned_alloc(64, (bytes + 63) / 64 * 64)};
    assert_non_null(run.scratch);
    memset(run.scratch, 0xFF, bytes);
    return run;
}

static const fov_attention_size size_3 = {800, TEXTS, KEYS, HEADS, D, 3, 0, 0, false};

static void test_forward(void **state) {
    (void)state;
    problem *t = malloc(sizeof *t);
    const size_t starts[] = {0, 130 * 130, 130 * 130 + 713 * 800}, cells = starts[2] + 27 * 680;
    assert_non_null(t);
    for (int mode = 0; mode < MODES; mode++) {
        result results[2 * MOST_TIERS];
        size_t count = 0;
        make(t, mode);
        FOR_EACH_TIER(kernels) {
            float *weights = malloc(HEADS * cells * sizeof *weights);
            assert_true(weights && count < 2 * MOST_TIERS);
            fov_attention_run run = run_of(kernels, fov_attention_dense.workspace(NULL, &size_3), 3);
            for (size_t i = 0; i < QUERIES * WIDTH; i++) t->y[i] = NAN;
            fov_attention_dense.forward(&run, &t->p);
            results[count++] = (result){y_of(t), NULL};
            fov_attention_weight_set set = {weights, starts, NULL, NULL};
            for (size_t i = 0; i < QUERIES * WIDTH; i++) t->y[i] = NAN;
            fov_attention_dense.weights(&run, &t->p, &set);
            fov_attention_dense.apply(&run, &t->p, &set);
            results[count++] = (result){y_of(t), weights};
            free(run.scratch);
        }
        check_rows(t, results, count, starts, mode);
        for (size_t n = 0; n < count; n++) {
            free(results[n].y);
            free(results[n].weights);
        }
    }
    free(t);
}

typedef struct gradient {
    float *d[3]; /* of q, k and v */
} gradient;

static const size_t gradient_floats[] = {QUERIES * WIDTH, KEYS *WIDTH, KEYS *WIDTH};

/* The formulas of the gradient, in double, against what every tier made. */
static void check_gradient(const problem *t, const gradient *got, size_t tiers, int mode) {
    double *want[3], *size[3];
    for (size_t i = 0; i < 3; i++) {
        want[i] = calloc(gradient_floats[i], sizeof(double));
        size[i] = calloc(gradient_floats[i], sizeof(double));
        assert_true(want[i] && size[i]);
    }
    static double a[KEYS];
    for (size_t b = 0; b < TEXTS; b++)
        for (size_t h = 0; h < HEADS; h++)
            for (size_t i = q_offsets[b]; i < q_offsets[b + 1]; i++) {
                const size_t keys = k_offsets[b + 1] - k_offsets[b], row = i * WIDTH + h * D;
                double delta = 0, bulk = 0;
                reference_weights(t, b, h, i - q_offsets[b], a);
                for (size_t j = 0; j < keys; j++)
                    if (a[j] > 0) {
                        const double da = dot(t->dy + row, t->v + (k_offsets[b] + j) * WIDTH + h * D);
                        delta += a[j] * da;
                        bulk += a[j] * fabs(da);
                    }
                for (size_t j = 0; j < keys; j++) {
                    const size_t key = (k_offsets[b] + j) * WIDTH + h * D;
                    if (!(a[j] > 0)) continue;
                    const double scale = (double)t->p.scale;
                    const double da = dot(t->dy + row, t->v + key), ds = scale * a[j] * (da - delta);
                    const double large = scale * a[j] * (fabs(da) + bulk);
                    for (size_t c = 0; c < D; c++) {
                        want[0][row + c] += ds * (double)t->k[key + c];
                        size[0][row + c] += large * fabs((double)t->k[key + c]);
                        want[1][key + c] += ds * (double)t->q[row + c];
                        size[1][key + c] += large * fabs((double)t->q[row + c]);
                        want[2][key + c] += a[j] * (double)t->dy[row + c];
                        size[2][key + c] += a[j] * fabs((double)t->dy[row + c]);
                    }
                }
            }
    for (size_t i = 0; i < 3; i++) {
        const char *const names[] = {"dq", "dk", "dv"};
        for (size_t n = 0; n < tiers; n++)
            for (size_t x = 0; x < gradient_floats[i]; x++)
                near((double)got[n].d[i][x], want[i][x], 2 * size[i][x], names[i], mode, x / WIDTH);
        free(want[i]);
        free(size[i]);
    }
}

static gradient gradient_of(const problem *t, const fov_kernels *kernels, unsigned threads) {
    gradient g;
    for (size_t i = 0; i < 3; i++) {
        g.d[i] = malloc(gradient_floats[i] * sizeof(float));
        assert_non_null(g.d[i]);
    }
    const fov_attention_gradient to = {t->dy, g.d[0], g.d[1], g.d[2]};
    fov_attention_run run = run_of(kernels, fov_attention_dense.backward_workspace(NULL, &size_3), threads);
    fov_attention_dense.backward(&run, &t->p, &to);
    free(run.scratch);
    return g;
}

static void gradient_free(gradient *g) {
    for (size_t i = 0; i < 3; i++) free(g->d[i]);
}

static void test_backward(void **state) {
    (void)state;
    problem *t = malloc(sizeof *t);
    assert_non_null(t);
    for (int mode = 0; mode < BF16; mode++) {
        gradient got[MOST_TIERS];
        size_t tiers = 0;
        make(t, mode);
        FOR_EACH_TIER(kernels) {
            fov_attention_run run = run_of(kernels, fov_attention_dense.workspace(NULL, &size_3), 3);
            fov_attention_dense.forward(&run, &t->p);
            free(run.scratch);
            assert_true(tiers < MOST_TIERS);
            got[tiers] = gradient_of(t, kernels, 1);
            gradient other = gradient_of(t, kernels, 3);
            for (size_t i = 0; i < 3; i++) assert_memory_equal(got[tiers].d[i], other.d[i], gradient_floats[i] * sizeof(float));
            gradient_free(&other);
            tiers++;
        }
        check_gradient(t, got, tiers, mode);
        while (tiers) gradient_free(&got[--tiers]);
    }
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward), cmocka_unit_test(test_backward)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
