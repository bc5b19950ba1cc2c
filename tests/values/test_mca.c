/* test_mca.c: Monte-Carlo values through the raw-buffer interface, against formulas in double precision.
 *
 * The draws are reproducible, so the statistical tests are too: they pass or fail for good. Their bounds are 5 standard errors,
 * which a right estimator exceeds once in 1.7 million comparisons; each test makes at most a few hundred. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "foveate/attention.h"

enum { D = 64, H = 2, E = 8, N = 6, HE = H * E, SEEDS = 20000 };

static const size_t one_text[] = {0, N};
static uint64_t state;

static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static float normal(void) {
    return (float)(sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform()));
}

static void fill(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = normal();
}

/* Weights with rows of very different norms, so that p is far from uniform. */
static void make_weights(float *w) {
    fill(w, HE * D);
    for (size_t i = 0; i < D; i++)
        for (size_t o = 0; o < HE; o++) w[o * D + i] *= i % 7 == 0 ? 3.f : .3f + (float)(i % 3);
}

static void exact(const float *w, const float *b, const float *x, size_t n, double *out) {
    for (size_t j = 0; j < n; j++)
        for (size_t o = 0; o < HE; o++) {
            double sum = (double)b[o];
            for (size_t i = 0; i < D; i++) sum += (double)x[j * D + i] * (double)w[o * D + i];
            out[j * HE + o] = sum;
        }
}

/* Importance that eq. 9 turns into r draws: (n m / alpha)^2 just below r. */
static float importance_for(double r, double n, double alpha) {
    return (float)(sqrt(r) * alpha / n * (1 - 1e-6));
}

static fov_projection *projection(const char *method, const float *w, const float *b) {
    fov_projection *p = NULL;
    fov_error error;
    assert_int_equal(fov_projection_create(method, w, b, D, H, E, NULL, &p, &error), FOV_OK);
    return p;
}

static double run(const fov_projection *p, const fov_projection_problem *q) {
    size_t bytes = 0;
    double done = -1;
    fov_error error;
    assert_int_equal(fov_projection_workspace(p, q, &bytes, &error), FOV_OK);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_int_equal(fov_projection_run(p, q, workspace, bytes, &done, &error), FOV_OK);
    free(workspace);
    return done;
}

static const double counts[N] = {1, 3, 7, 20, 50, 64};

/* E[H~] = H (eq. 5), and E ||H~ - H||^2 = (||x||^2 ||W||_F^2 - ||x W||^2) / r (Lemma 1 with p of eq. 6). */
static void check_moments(const char *method) {
    static float w[HE * D], b[HE], x[N * D], v[N * HE], col_max[H * N];
    static double mean[N * HE], square[N * HE], error[H * N], error2[H * N], h[N * HE];
    state = 1;
    make_weights(w);
    fill(b, HE);
    fill(x, N * D);
    for (size_t i = 0; i < H * N; i++) col_max[i] = importance_for(counts[i % N], N, .05);
    exact(w, b, x, N, h);
    memset(mean, 0, sizeof mean);
    memset(square, 0, sizeof square);
    memset(error, 0, sizeof error);
    memset(error2, 0, sizeof error2);
    fov_projection *p = projection(method, w, b);
    fov_projection_problem q = {.texts = 1, .offsets = one_text, .x = x, .v = v, .col_max = col_max, .threads = 1};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        q.seed = seed;
        run(p, &q);
        for (size_t j = 0; j < N; j++)
            for (size_t t = 0; t < H; t++) {
                double distance = 0;
                for (size_t c = 0; c < E; c++) {
                    size_t at = j * HE + t * E + c;
                    double off = (double)v[at] - h[at];
                    mean[at] += off / SEEDS;
                    square[at] += off * off / SEEDS;
                    distance += off * off;
                }
                error[t * N + j] += distance / SEEDS;
                error2[t * N + j] += distance * distance / SEEDS;
            }
    }
    fov_projection_free(p);
    for (size_t j = 0; j < N; j++)
        for (size_t t = 0; t < H; t++) {
            double x2 = 0, w2 = 0, xw2 = 0;
            for (size_t i = 0; i < D; i++) x2 += (double)x[j * D + i] * (double)x[j * D + i];
            for (size_t c = 0; c < E; c++) {
                size_t at = j * HE + t * E + c;
                double xw = h[at] - (double)b[t * E + c];
                xw2 += xw * xw;
                for (size_t i = 0; i < D; i++) w2 += (double)w[(t * E + c) * D + i] * (double)w[(t * E + c) * D + i];
                if (counts[j] >= D)
                    assert_true(sqrt(square[at]) <= 1e-5 * sqrt(x2)); /* exact but for f32 rounding */
                else
                    assert_true(fabs(mean[at]) <= 5 * sqrt(square[at] / SEEDS));
            }
            if (counts[j] >= D) continue;
            double expected = (x2 * w2 - xw2) / counts[j], spread = sqrt((error2[t * N + j] - pow(error[t * N + j], 2)) / SEEDS);
            assert_true(fabs(error[t * N + j] - expected) <= 5 * spread);
            assert_true(spread < .05 * expected);                     /* the test can tell 25 % */
            assert_true(sqrt(expected) <= sqrt(x2 * w2 / counts[j])); /* Lemma 1's bound */
        }
}

static void test_moments_shared(void **s) {
    (void)s;
    check_moments("mca:alpha=.05");
}

static void test_moments_independent(void **s) {
    (void)s;
    check_moments("mca:alpha=.05,draws=independent");
}

/* Theorem 2: E ||Y~[i] - Y[i]|| <= alpha beta ||W||_F, and with probability >= 1 - delta at most that / delta. */
static void test_theorem_2(void **s) {
    (void)s;
    enum { T = 24, RUNS = 400 };
    static float w[HE * D], b[HE], x[T * D], v[T * HE], q[T * HE], k[T * HE], a[H * T * T], col_max[H * T];
    static double h[T * HE], sum[H * T];
    const size_t offsets[] = {0, T};
    const double alphas[] = {.2, .5, 1}, delta = .1;
    state = 2;
    make_weights(w);
    fill(b, HE);
    fill(x, T * D);
    fill(q, T * HE);
    fill(k, T * HE);
    exact(w, b, x, T, h);
    fov_error error;
    fov_attention_problem attention = {
        .texts = 1, .heads = H, .head_size = E, .queries = T, .keys = T, .q = q, .k = k, .threads = 1};
    size_t bytes;
    assert_int_equal(fov_attention_workspace(&attention, &bytes, &error), FOV_OK);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_int_equal(fov_attention_weights(&attention, a, col_max, NULL, workspace, bytes, &error), FOV_OK);
    free(workspace);
    double beta = 0;
    for (size_t j = 0; j < T; j++) {
        double x2 = 0;
        for (size_t i = 0; i < D; i++) x2 += (double)x[j * D + i] * (double)x[j * D + i];
        beta += sqrt(x2) / T;
    }
    for (size_t run_alpha = 0; run_alpha < 3; run_alpha++) {
        char method[64];
        snprintf(method, sizeof method, "mca:alpha=%g", alphas[run_alpha]);
        fov_projection *p = projection(method, w, b);
        size_t beyond = 0;
        memset(sum, 0, sizeof sum);
        fov_projection_problem problem = {.texts = 1, .offsets = offsets, .x = x, .v = v, .col_max = col_max, .threads = 1};
        for (uint64_t seed = 0; seed < RUNS; seed++) {
            problem.seed = seed;
            run(p, &problem);
            for (size_t t = 0; t < H; t++) {
                double w2 = 0;
                for (size_t i = 0; i < E * D; i++) w2 += (double)w[t * E * D + i] * (double)w[t * E * D + i];
                for (size_t i = 0; i < T; i++) {
                    double distance = 0;
                    for (size_t c = 0; c < E; c++) {
                        double off = 0;
                        for (size_t j = 0; j < T; j++)
                            off += (double)a[(t * T + i) * T + j] * ((double)v[j * HE + t * E + c] - h[j * HE + t * E + c]);
                        distance += off * off;
                    }
                    double bound = alphas[run_alpha] * beta * sqrt(w2);
                    sum[t * T + i] += sqrt(distance) / bound / RUNS;
                    beyond += sqrt(distance) > bound / delta;
                }
            }
        }
        fov_projection_free(p);
        for (size_t i = 0; i < H * T; i++) assert_true(sum[i] <= 1);
        assert_true((double)beyond <= delta * RUNS * H * T);
    }
}

/* Eq. 9 and the cost: r = clamp(ceil((n max A / alpha)^2), 1, d), n real or padded. */
static void test_counts(void **s) {
    (void)s;
    static float w[HE * D], x[N * D], v[N * HE], col_max[H * N], work[N];
    static const struct {
        const char *method;
        double n, alpha;
    } cases[] = {{"mca:alpha=.3", N, .3},
                 {"mca:alpha=1", N, 1},
                 {"mca:alpha=.3,length=padded:20", 20, .3},
                 {"mca:alpha=.3,draws=independent", N, .3},
                 {"mca:alpha=1e-6", N, 1e-6}};
    state = 3;
    make_weights(w);
    fill(x, N * D);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double draws = 0;
        double share[N] = {0};
        for (size_t i = 0; i < H * N; i++) {
            col_max[i] = (float)uniform() * .4f;
            double r = ceil(pow(cases[c].n * (double)col_max[i] / cases[c].alpha, 2));
            r = fmin(fmax(r, 1), D);
            draws += r;
            share[i % N] += r / D / H;
        }
        fov_projection *p = projection(cases[c].method, w, NULL);
        fov_projection_problem q = {.texts = 1, .offsets = one_text, .x = x, .v = v, .col_max = col_max, .work = work};
        assert_true(run(p, &q) == draws * E);
        for (size_t j = 0; j < N; j++) assert_true(fabs((double)work[j] - share[j]) < 1e-6);
        fov_projection_free(p);
    }
}

/* alpha -> 0 is the exact projection, bit for bit. */
static void test_exact_limit(void **s) {
    (void)s;
    static float w[HE * D], b[HE], x[N * D], v[2][N * HE], col_max[H * N];
    state = 4;
    make_weights(w);
    fill(b, HE);
    fill(x, N * D);
    for (size_t i = 0; i < H * N; i++) col_max[i] = .01f + (float)uniform();
    const char *methods[] = {"exact", "mca:alpha=1e-6"};
    for (size_t i = 0; i < 2; i++) {
        fov_projection *p = projection(methods[i], w, b);
        fov_projection_problem q = {.texts = 1, .offsets = one_text, .x = x, .v = v[i], .col_max = col_max};
        run(p, &q);
        fov_projection_free(p);
    }
    assert_memory_equal(v[0], v[1], sizeof v[0]);
}

/* Features whose weights are all zero have p = 0: never drawn, whatever X holds there. A head of zeros gives its bias. */
static void test_zero_rows(void **s) {
    (void)s;
    static float w[HE * D], b[HE], x[N * D], v[N * HE], col_max[H * N];
    state = 5;
    make_weights(w);
    fill(b, HE);
    fill(x, N * D);
    for (size_t i = 0; i < D; i += 3)
        for (size_t o = 0; o < HE; o++) w[o * D + i] = 0;
    for (size_t o = E; o < HE; o++)
        for (size_t i = 0; i < D; i++) w[o * D + i] = 0; /* head 1 */
    for (size_t j = 0; j < N; j++)
        for (size_t i = 0; i < D; i += 3) x[j * D + i] = NAN;
    for (size_t i = 0; i < H * N; i++) col_max[i] = importance_for(i < N ? 40 : 1, N, .05);
    for (size_t j = 0; j < N; j++) x[j * D + 1] = 1e30f;
    fov_projection *p = projection("mca:alpha=.05", w, b);
    fov_projection_problem q = {.texts = 1, .offsets = one_text, .x = x, .v = v, .col_max = col_max};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        q.seed = seed;
        run(p, &q);
        for (size_t j = 0; j < N; j++)
            for (size_t c = 0; c < E; c++) assert_true(isfinite(v[j * HE + c]));
    }
    fov_projection_free(p);
}

/* The bits depend on seed, text, layer and head alone: not on threads, batch, or place in it. */
static void test_reproducible(void **s) {
    (void)s;
    enum { B = 9 };
    static float w[HE * D], b[HE], x[B * N * D], v[B * N * HE], single[N * HE], col_max[H * B * N], one_max[H * N];
    size_t offsets[B + 1];
    uint64_t hashes[B];
    const char *methods[] = {"mca:alpha=.05", "mca:alpha=.05,draws=independent"};
    state = 6;
    make_weights(w);
    fill(b, HE);
    fill(x, B * N * D);
    for (size_t i = 0; i <= B; i++) offsets[i] = i * N;
    for (size_t i = 0; i < B; i++) hashes[i] = 1000 + i;
    for (size_t i = 0; i < H * B * N; i++) col_max[i] = importance_for(1 + uniform() * 80, N, .05);
    for (size_t m = 0; m < 2; m++) {
        fov_projection *p = projection(methods[m], w, b);
        for (unsigned threads = 1; threads <= 3; threads++) {
            fov_projection_problem batch = {.texts = B,
                                            .offsets = offsets,
                                            .x = x,
                                            .v = v,
                                            .col_max = col_max,
                                            .hashes = hashes,
                                            .seed = 7,
                                            .layer = 2,
                                            .threads = threads};
            run(p, &batch);
            for (size_t t = 0; t < B; t++) {
                for (size_t h = 0; h < H; h++) memcpy(one_max + h * N, col_max + h * B * N + t * N, N * sizeof *one_max);
                fov_projection_problem one = {.texts = 1,
                                              .offsets = one_text,
                                              .x = x + t * N * D,
                                              .v = single,
                                              .col_max = one_max,
                                              .hashes = &hashes[t],
                                              .seed = 7,
                                              .layer = 2,
                                              .threads = 1};
                run(p, &one);
                assert_memory_equal(single, v + t * N * HE, sizeof single);
                fov_projection_problem other[] = {one, one, one};
                uint64_t hash = 5;
                other[0].seed = 8;
                other[1].layer = 3;
                other[2].hashes = &hash;
                for (size_t o = 0; o < 3; o++) {
                    static float differs[N * HE];
                    other[o].v = differs;
                    run(p, &other[o]);
                    assert_memory_not_equal(single, differs, sizeof single);
                }
            }
        }
        fov_projection_free(p);
    }
}

/* Shared draws: equal tokens with equal r get equal rows. Independent draws: they do not. */
static void test_sharing(void **s) {
    (void)s;
    static float w[HE * D], x[N * D], v[N * HE], col_max[H * N];
    state = 7;
    make_weights(w);
    fill(x, D);
    for (size_t j = 1; j < N; j++) memcpy(x + j * D, x, D * sizeof *x);
    for (size_t i = 0; i < H * N; i++) col_max[i] = importance_for(12, N, .05);
    for (int independent = 0; independent < 2; independent++) {
        fov_projection *p = projection(independent ? "mca:alpha=.05,draws=independent" : "mca:alpha=.05", w, NULL);
        fov_projection_problem q = {.texts = 1, .offsets = one_text, .x = x, .v = v, .col_max = col_max, .seed = 1};
        run(p, &q);
        for (size_t j = 1; j < N; j++) {
            if (independent)
                assert_memory_not_equal(v, v + j * HE, HE * sizeof *v);
            else
                assert_memory_equal(v, v + j * HE, HE * sizeof *v);
        }
        fov_projection_free(p);
    }
}

static void test_refusals(void **s) {
    (void)s;
    static const struct {
        const char *method, *word;
    } cases[] = {{"mca:alpha=0", "alpha"},
                 {"mca:alpha=1.5", "alpha"},
                 {"mca:alpha=-1", "alpha"},
                 {"mca:alpha=", "alpha"},
                 {"mca:alpha=nan", "alpha"},
                 {"mca:alhpa=.1", "did you mean 'alpha'"},
                 {"mcaa", "did you mean 'mca'"},
                 {"mca:", "missing"},
                 {"mca:alpha=.1,", "missing"},
                 {"mca:alpha=.1,alpha=.2", "twice"},
                 {"mca:length=padded", "padded:N"},
                 {"mca:length=padded:0", "padded:N"},
                 {"mca:draws=some", "shared|independent"},
                 {"exact:alpha=1", "no parameters"},
                 {"mca:alpha", "key=value"},
                 {"", "unknown"}};
    float w[HE * D] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fov_projection *p = NULL;
        fov_error error = {0};
        assert_int_equal(fov_projection_create(cases[i].method, w, NULL, D, H, E, NULL, &p, &error), FOV_ERR_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].word));
        assert_null(p);
    }
    fov_projection *p = projection("mca", w, NULL);
    float x[N * D] = {0}, v[N * HE];
    fov_projection_problem q = {.texts = 1, .offsets = one_text, .x = x, .v = v};
    size_t bytes;
    fov_error error;
    assert_int_equal(fov_projection_workspace(p, &q, &bytes, &error), FOV_OK);
    char *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_int_equal(fov_projection_run(p, &q, workspace, bytes, NULL, &error), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(error.message, "col_max"));
    float col_max[H * N] = {0};
    q.col_max = col_max;
    assert_int_equal(fov_projection_run(p, &q, workspace, bytes - 1, NULL, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_projection_run(p, &q, workspace + 4, bytes, NULL, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_projection_run(p, &q, workspace, bytes, NULL, &error), FOV_OK);
    free(workspace);
    fov_projection_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments_shared), cmocka_unit_test(test_moments_independent),
        cmocka_unit_test(test_theorem_2),      cmocka_unit_test(test_counts),
        cmocka_unit_test(test_exact_limit),    cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_reproducible),   cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
