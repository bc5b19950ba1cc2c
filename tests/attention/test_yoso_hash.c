/* test_yoso_hash.c: the hashes of sampled YOSO against dense products in double, and the statistics they promise. Seeds are fixed;
 * bounds are four or five standard errors of what is estimated, from the formula beside each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/yoso_reference.h"

static const fov_kernels *kernels;

typedef struct hashes {
    fov_yoso_hasher hasher;
    void *block;
} hashes;

static hashes hashes_make(unsigned tau, size_t m, bool hadamard, size_t d) {
    fov_yoso_settings s = {tau, m, hadamard, false};
    hashes h;
    fov_arena arena = {0};
    fov_yoso_hasher_carve(&arena, &s, d, &h.hasher);
    h.block = aligned_alloc(64, arena.used);
    assert_non_null(h.block);
    arena = (fov_arena){h.block, 0, arena.used, false};
    fov_yoso_hasher_carve(&arena, &s, d, &h.hasher);
    return h;
}

static void key(hashes *h, uint64_t seed, size_t text, size_t head) {
    fov_attention p = {.seed = seed};
    fov_yoso_head at = {.text = text, .head = head};
    fov_yoso_hasher_key(&h->hasher, &p, &at);
}

/* Unit vectors with given cosines to row 0, otherwise in generic directions. */
static void vectors(test_rng *rng, size_t d, const double *cosines, size_t n, float *x) {
    double first[Y_DIM], other[Y_DIM];
    for (size_t c = 0; c < d; c++) first[c] = (double)test_float(rng);
    double norm = y_norm(first, d);
    for (size_t c = 0; c < d; c++) x[c] = (float)(first[c] /= norm);
    for (size_t i = 0; i < n; i++) {
        double dot = 0;
        for (size_t c = 0; c < d; c++) dot += (other[c] = (double)test_float(rng)) * first[c];
        for (size_t c = 0; c < d; c++) other[c] -= dot * first[c];
        norm = y_norm(other, d);
        for (size_t c = 0; c < d; c++)
            x[(i + 1) * d + c] = (float)(cosines[i] * first[c] + sqrt(1 - cosines[i] * cosines[i]) * other[c] / norm);
    }
}

/* T5: bits are the signs of H D3 H D2 H D1 x, and of R x; within 1e-4 |z| of 0 either sign will do. */
static void test_bits_of_projections(void **state) {
    (void)state;
    static const struct {
        unsigned tau;
        size_t d, padded;
    } sizes[] = {{8, 64, 64}, {9, 48, 64}, {24, 7, 32}, {1, 33, 64}, {5, 32, 32}, {12, 72, 128}};
    for (size_t t = 0; t < 6; t++)
        for (int hadamard = 0; hadamard < 2; hadamard++) {
            size_t d = sizes[t].d, padded = sizes[t].padded;
            unsigned tau = sizes[t].tau;
            hashes h = hashes_make(tau, 1000, hadamard, d);
            enum { N = 61 };
            float x[N * Y_DIM];
            uint32_t *codes = malloc(N * h.hasher.group * sizeof *codes);
            test_rng rng = {t + 5};
            for (size_t i = 0; i < N * d; i++) x[i] = test_float(&rng);
            key(&h, 9, 2, 1);
            fov_yoso_hasher_draw(&h.hasher, kernels, h.hasher.group);
            fov_yoso_hasher_codes(&h.hasher, kernels, h.hasher.group, x, N, codes);
            for (size_t i = 0; i < N; i++) {
                double z[2 * 128] = {0}, next[128];
                size_t outputs = h.hasher.group * tau;
                for (size_t c = 0; hadamard && c < d; c++) z[c] = (double)x[i * d + c];
                for (size_t round = 0; hadamard && round < 3; round++) {
                    for (size_t r = 0; r < padded; r++) {
                        next[r] = 0;
                        for (size_t c = 0; c < padded; c++) {
                            double sign = (double)h.hasher.signs[round * padded + c];
                            next[r] += __builtin_popcountll(r & c) & 1 ? -sign * z[c] : sign * z[c];
                        }
                    }
                    memcpy(z, next, padded * sizeof *z);
                }
                for (size_t r = 0; !hadamard && r < outputs; r++)
                    for (size_t c = 0; c < d; c++) z[r] += (double)h.hasher.matrix[r * d + c] * (double)x[i * d + c];
                double size = y_norm(z, outputs);
                for (size_t r = 0; r < outputs; r++)
                    if (fabs(z[r]) > 1e-4 * size) assert_int_equal(codes[r / tau * N + i] >> (r % tau) & 1, z[r] > 0);
            }
            free(codes);
            free(h.block);
        }
}

/* Moments of the Gaussian draws: the mean of n has standard error 1 / sqrt n; of squares sqrt(2 / n), of fourth powers sqrt(96 /
 * n). */
static void test_normals(void **state) {
    (void)state;
    hashes h = hashes_make(8, 1 << 16, false, 61);
    double sum[5] = {0}, n = 0, product = 0, before = 0;
    key(&h, 1, 0, 0);
    for (size_t first = 0; first < 2000; first += h.hasher.group) {
        fov_yoso_hasher_draw(&h.hasher, kernels, first);
        for (size_t i = 0; i < h.hasher.group * 8 * 61; i++) {
            double x = (double)h.hasher.matrix[i], power = 1;
            for (size_t e = 0; e < 5; e++, power *= x) sum[e] += power;
            product += x * before;
            before = x;
        }
    }
    n = sum[0];
    assert_true(n >= 2000 * 8 * 61);
    assert_true(fabs(sum[1] / n) < 4 / sqrt(n) && fabs(sum[2] / n - 1) < 4 * sqrt(2 / n) && fabs(product / n) < 4 / sqrt(n));
    assert_true(fabs(sum[3] / n) < 4 * sqrt(15 / n) && fabs(sum[4] / n - 3) < 4 * sqrt(96 / n));
    free(h.block);
}

enum { CASES = 6 };
static const double cosines[CASES] = {-.5, 0, .5, .8, .95, 1};

/* Share of m hashes in which rows 1.. meet row 0. */
static void shares(hashes *h, size_t m, const float *x, double *share) {
    uint32_t codes[64 * (CASES + 1)];
    memset(share, 0, CASES * sizeof *share);
    for (size_t first = 0; first < m; first += h->hasher.group) {
        size_t count = m - first < h->hasher.group ? m - first : h->hasher.group;
        fov_yoso_hasher_draw(&h->hasher, kernels, first);
        fov_yoso_hasher_codes(&h->hasher, kernels, count, x, CASES + 1, codes);
        for (size_t g = 0; g < count; g++)
            for (size_t i = 0; i < CASES; i++) share[i] += codes[g * (CASES + 1)] == codes[g * (CASES + 1) + i + 1];
    }
    for (size_t i = 0; i < CASES; i++) share[i] /= (double)m;
}

/* S1, S2, S3: the mean share is w for Gaussian hashes, 0.6 to 1.02 w for Hadamard ones at D = 64 (and 4 standard errors); its
 * variance is w (1 - w) / m, whose estimate from R runs has the relative standard error sqrt(2 / R) and the share's kurtosis. */
static void test_collisions(void **state) {
    (void)state;
    enum { RUNS = 1500, M = 8 };
    static const unsigned taus[] = {4, 8, 9};
    for (size_t t = 0; t < 3; t++)
        for (int hadamard = 0; hadamard < 2; hadamard++) {
            float x[(CASES + 1) * 64];
            double share[CASES], sum[CASES] = {0}, squares[CASES] = {0};
            test_rng rng = {t + 40};
            vectors(&rng, 64, cosines, CASES, x);
            hashes h = hashes_make(taus[t], M, hadamard, 64);
            for (uint64_t r = 0; r < RUNS; r++) {
                key(&h, r, t, 1);
                shares(&h, M, x, share);
                for (size_t i = 0; i < CASES; i++) {
                    sum[i] += share[i];
                    squares[i] += share[i] * share[i];
                }
            }
            for (size_t i = 0; i < CASES; i++) {
                double w = pow(1 - acos(cosines[i]) / y_pi, taus[t]), mean = sum[i] / RUNS;
                double one = w * (1 - w) / M, error = sqrt(one / RUNS),
                       kurtosis = one > 0 ? (1 - 6 * w * (1 - w)) / (one * M * M) : 0;
                if (i == CASES - 1) assert_true(mean >= 1 && mean <= 1);
                if (hadamard && (mean > 1.02 * w + 4 * error || (i && mean < .6 * w - 4 * error)))
                    fail_msg("tau %u, cosine %g: a share of %g, not .6 to 1.02 of %g", taus[t], cosines[i], mean, w);
                if (!hadamard && fabs(mean - w) > 4 * error)
                    fail_msg("tau %u, cosine %g: a share of %g, not %g +- %g", taus[t], cosines[i], mean, w, error);
                double ratio = one > 0 ? (squares[i] / RUNS - mean * mean) / one : 1;
                if (!hadamard && fabs(ratio - 1) > 4 * sqrt((2 + kurtosis / M) / RUNS) + 4 * error / fmax(w, 1e-9))
                    fail_msg("tau %u, cosine %g: variance %g times w (1 - w) / m", taus[t], cosines[i], ratio);
            }
            free(h.block);
        }
}

/* S6: another head, text, layer or seed has other hashes: codes of one vector then agree with probability 2^-tau. */
static void test_independence(void **state) {
    (void)state;
    enum { M = 4000, TAU = 4 };
    static uint32_t a[M], b[M];
    float x[32];
    test_rng rng = {3};
    for (size_t c = 0; c < 32; c++) x[c] = test_float(&rng);
    static const struct {
        uint64_t seed;
        size_t text, head;
    } others[] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    hashes h = hashes_make(TAU, M, false, 32);
    for (size_t o = 0; o < 4; o++) {
        double same = 0, p = 1. / (1 << TAU);
        uint32_t *codes = o ? b : a;
        key(&h, others[o].seed, others[o].text, others[o].head);
        for (size_t first = 0; first + h.hasher.group <= M; first += h.hasher.group) {
            fov_yoso_hasher_draw(&h.hasher, kernels, first);
            fov_yoso_hasher_codes(&h.hasher, kernels, h.hasher.group, x, 1, codes + first);
        }
        for (size_t i = 0; i < M; i++) same += a[i] == codes[i];
        if (o) assert_true(fabs(same / M - p) < 4 * sqrt(p * (1 - p) / M));
    }
    free(h.block);
}

/* S3 for the output: the error of the sampled output against the expectation form falls as m^-1/2: over 16 times the hashes, four
 * times. 40 rows of 32 over 12 seeds give the ratio to some 2 %; the norm's bias, of order 1 / m, adds a few per cent at m = 64. */
static double output_error(const char *method, uint64_t seeds) {
    enum { T = 40, D = 32 };
    static float x[3][T * D], y[T * D], want[T * D];
    static const size_t offsets[] = {0, T};
    test_rng rng = {91};
    for (size_t a = 0; a < 3; a++)
        for (size_t i = 0; i < T * D; i++) x[a][i] = test_float(&rng) + (a < 2 ? (float)(i % D % 4 == 0) : 0); /* alike */
    double error = 0;
    for (uint64_t seed = 0; seed <= seeds; seed++) {
        const fov_method_info *const info = &fov_attention_yoso.info;
        fov_setting setting;
        assert_int_equal(fov_setting_parse(&setting, &info, 1, seed ? method : "yoso:tau=4", NULL), FOV_OK);
        fov_attention p = {.texts = 1,
                           .heads = 1,
                           .head_size = D,
                           .q_offsets = offsets,
                           .k_offsets = offsets,
                           .y_offsets = offsets,
                           .q = x[0],
                           .k = x[1],
                           .v = x[2],
                           .y = seed ? y : want,
                           .ldq = D,
                           .ldk = D,
                           .ldv = D,
                           .ldy = D,
                           .seed = seed};
        fov_attention_size size = {T, 1, T, 1, D, 1, 0, 0, false};
        void *block = aligned_alloc(64, fov_attention_yoso.workspace(&setting, &size));
        fov_attention_run run = {kernels, &setting, 1, block};
        fov_attention_yoso.forward(&run, &p);
        free(block);
        for (size_t i = 0; seed && i < T * D; i++) error += pow((double)y[i] - (double)want[i], 2);
    }
    return sqrt(error / (double)(seeds * T * D));
}

static void test_error_slope(void **state) {
    (void)state;
    double ratio = output_error("yoso:tau=4,m=64", 12) / output_error("yoso:tau=4,m=1024", 12);
    if (!(fabs(ratio - 4) < .4)) fail_msg("16 times the hashes divide the error by %g, not 4", ratio);
    assert_true(output_error("yoso:tau=4,m=4096", 4) < .05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_projections), cmocka_unit_test(test_normals),     cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_independence),        cmocka_unit_test(test_error_slope),
    };
    kernels = fov_kernels_get(NULL);
    if (!kernels) return 77; /* FOV_CPU names a tier that this processor lacks: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
