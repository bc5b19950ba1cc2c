/* values_test.h: a value projection with a profile made from known moments, for tests of the calibrated estimators through the
 * room's own interface; references in double. */
#ifndef FOV_TESTS_VALUES_TEST_H
#define FOV_TESTS_VALUES_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/gemm.h"
#include "support/random.h"
#include "values/lowrank_fit.h"
#include "values/regress_fit.h"
#include "values/values.h"

enum {
    VT_D = 72,
    VT_H = 3,
    VT_E = 10,
    VT_HE = VT_H * VT_E,
    VT_LEVELS = 4,
    VT_SUM = 16 + 32 + 48,
    VT_TOP = 48,
    VT_RANK = VT_TOP / 2
};

typedef struct vt_case {
    test_rng rng;
    double mix[VT_D][VT_D]; /* x = mean + mix z */
    double c[VT_D][VT_D];
    float mean[VT_D], covariance[VT_D * VT_D], share[VT_H];
    float weight[VT_HE * VT_D], bias[VT_HE]; /* as in a checkpoint: [H * e, d] */
    uint32_t level[VT_LEVELS], order[VT_H * VT_TOP];
    float fits[VT_H * VT_SUM * VT_E], errors[VT_H * VT_LEVELS];
    float basis[VT_RANK * VT_HE], basis_errors[VT_LEVELS];
    double w[VT_H * VT_D * VT_E]; /* [heads][d][e] */
    float *packed;
    fov_value_profile profile;
    fov_value_weights weights;
} vt_case;

static inline double vt_normal(test_rng *rng) {
    const double u = (double)(test_bits(rng) >> 11) * 0x1p-53, v = (double)(test_bits(rng) >> 11) * 0x1p-53;
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

static inline double vt_w(const vt_case *t, size_t head, size_t i, size_t c) {
    return (double)t->weight[(head * VT_E + c) * VT_D + i];
}

static inline void vt_make_basis(vt_case *t) {
    double residual[VT_RANK + 1], *scratch = malloc(fov_lowrank_fit_scratch(VT_D, VT_HE, VT_RANK) * sizeof *scratch);
    assert_non_null(scratch);
    const fov_lowrank_fit fit = {.width = VT_D,
                                 .heads = VT_H,
                                 .head_size = VT_E,
                                 .rank = VT_RANK,
                                 .threads = 2,
                                 .covariance = &t->c[0][0],
                                 .w = t->w,
                                 .basis = t->basis,
                                 .residual = residual};
    fov_lowrank_fit_run(&fit, scratch);
    for (size_t l = 0; l < VT_LEVELS; l++) t->basis_errors[l] = (float)residual[t->level[l] / 2];
    free(scratch);
}

/* The case's weights in a type; vt_make leaves them in f32. */
static inline void vt_retype(vt_case *t, fov_type type) {
    static float scale[VT_HE], words[FOV_PANEL * VT_D];
    static int32_t sum[VT_HE];
    const size_t per_head = fov_packed_size(VT_E, fov_words(type, VT_D));
    for (size_t h = 0; h < VT_H; h++)
        fov_pack_type(fov_kernels_get(NULL), type, t->weight + h * VT_E * VT_D, VT_D, VT_E, VT_D, t->packed + h * per_head,
                      scale + h * VT_E, sum + h * VT_E, words);
    t->weights.type = type;
    t->weights.scale = scale;
    t->weights.sum = sum;
}

/* Inputs of unequal, correlated features, and weights of unequal rows; the fits are the engine's. */
static inline void vt_make(vt_case *t, uint64_t seed) {
    t->rng.state = seed;
    for (size_t i = 0; i < VT_D; i++) {
        const double scale = i % 9 == 0 ? 3 : .2 + .1 * (double)(i % 5);
        t->mean[i] = (float)vt_normal(&t->rng);
        for (size_t k = 0; k < VT_D; k++) t->mix[i][k] = scale * (i == k ? 1 : k < 6 ? .5 * vt_normal(&t->rng) : 0);
    }
    for (size_t i = 0; i < VT_D; i++)
        for (size_t k = 0; k < VT_D; k++) {
            t->c[i][k] = 0;
            for (size_t m = 0; m < VT_D; m++) t->c[i][k] += t->mix[i][m] * t->mix[k][m];
            t->covariance[i * VT_D + k] = (float)t->c[i][k];
        }
    for (size_t o = 0; o < VT_HE; o++) {
        t->bias[o] = (float)vt_normal(&t->rng);
        for (size_t i = 0; i < VT_D; i++) t->weight[o * VT_D + i] = (float)(vt_normal(&t->rng) * (.2 + (double)(i % 7) / 5));
    }
    const uint32_t levels[VT_LEVELS] = {0, 16, 32, 48};
    memcpy(t->level, levels, sizeof levels);
    t->packed = aligned_alloc(64, VT_H * fov_packed_size(VT_E, VT_D) * sizeof(float));
    double *scratch = malloc(fov_regress_fit_scratch(VT_D, VT_E, VT_TOP) * sizeof *scratch);
    assert_true(t->packed && scratch);
    for (size_t h = 0; h < VT_H; h++) {
        t->share[h] = .5f + .5f * (float)h;
        double *w = t->w + h * VT_D * VT_E;
        for (size_t i = 0; i < VT_D * VT_E; i++) w[i] = vt_w(t, h, i / VT_E, i % VT_E);
        const fov_regress_fit fit = {.width = VT_D,
                                     .head_size = VT_E,
                                     .covariance = &t->c[0][0],
                                     .w = w,
                                     .levels = VT_LEVELS,
                                     .level = t->level,
                                     .order = t->order + h * VT_TOP,
                                     .weight = t->fits + h * VT_SUM * VT_E,
                                     .error = t->errors + h * VT_LEVELS};
        fov_regress_fit_run(&fit, scratch);
    }
    free(scratch);
    vt_make_basis(t);
    t->profile = (fov_value_profile){.file = "test",
                                     .mean = t->mean,
                                     .variance = t->covariance,
                                     .variance_step = VT_D + 1,
                                     .share = t->share,
                                     .levels = VT_LEVELS,
                                     .level = t->level,
                                     .order = t->order,
                                     .regress_weight = t->fits,
                                     .regress_error = t->errors,
                                     .basis = t->basis,
                                     .basis_error = t->basis_errors};
    t->weights = (fov_value_weights){
        .width = VT_D, .heads = VT_H, .head_size = VT_E, .packed = t->packed, .bias = t->bias, .profile = &t->profile};
    vt_retype(t, FOV_TYPE_F32);
}

/* n inputs of the case's distribution. */
static inline void vt_inputs(vt_case *t, float *x, size_t n) {
    double z[VT_D];
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < VT_D; i++) z[i] = vt_normal(&t->rng);
        for (size_t i = 0; i < VT_D; i++) {
            double sum = (double)t->mean[i];
            for (size_t k = 0; k < VT_D; k++) sum += t->mix[i][k] * z[k];
            x[j * VT_D + i] = (float)sum;
        }
    }
}

/* ||x - mu||^2 / tr C. */
static inline double vt_distance(const vt_case *t, const float *x) {
    double sum = 0, trace = 0;
    for (size_t i = 0; i < VT_D; i++) {
        sum += pow((double)x[i] - (double)t->mean[i], 2);
        trace += (double)t->covariance[i * VT_D + i];
    }
    return sum / trace;
}

/* An estimator bound to the case. */
typedef struct vt_bound {
    fov_setting setting;
    const fov_values_row *row;
    void *tables;
} vt_bound;

static inline vt_bound vt_bind(const vt_case *t, const char *method) {
    size_t count;
    vt_bound b = {.tables = NULL};
    const fov_method_info *const *infos = fov_values_infos(&count);
    assert_int_equal(fov_setting_parse(&b.setting, infos, count, method, NULL), FOV_OK);
    b.row = fov_values_row_of(&b.setting);
    if (b.row->bind)
        assert_int_equal(b.row->bind(&b.setting, &t->weights, fov_allocator_or_default(NULL), &b.tables, NULL), FOV_OK);
    return b;
}

/* Run with a workspace of exactly the size asked for; returns the multiply-adds. */
static inline double vt_run(const vt_case *t, const vt_bound *b, fov_values *v, unsigned threads) {
    double done = 0;
    size_t longest = 0;
    for (size_t i = 0; i < v->texts; i++)
        if (v->offsets[i + 1] - v->offsets[i] > longest) longest = v->offsets[i + 1] - v->offsets[i];
    const fov_values_size size = {v->offsets[v->texts], v->texts, longest, VT_D, VT_H, VT_E, threads};
    void *scratch = aligned_alloc(64, (b->row->workspace(&size) + 63) / 64 * 64);
    float *gemm = aligned_alloc(64, (threads * fov_gemm_scratch() * sizeof(float) + 63) / 64 * 64);
    assert_true(scratch && gemm);
    v->ldx = VT_D;
    v->ldv = VT_HE;
    const fov_values_run run = {fov_kernels_get(NULL), &b->setting, &t->weights, b->tables, threads, scratch, gemm, &done};
    b->row->forward(&run, v);
    free(gemm);
    free(scratch);
    return done;
}

static inline void vt_release(vt_bound *b) {
    fov_release(fov_allocator_or_default(NULL), b->tables);
}

/* The same bits for any batch and number of threads, and NaN kept to its own token. v holds `texts` texts with all that a run
 * reads; rows of the batch are compared with each text's single run. */
static inline void vt_check_reproducible(const vt_case *t, const vt_bound *b, const fov_values *v) {
    const size_t n = v->offsets[v->texts];
    float *all = malloc(n * VT_HE * sizeof *all), *one = malloc(n * VT_HE * sizeof *one),
          *importance = malloc(VT_H * n * sizeof *one);
    assert_true(all && one && importance);
    for (unsigned threads = 1; threads <= 3; threads++) {
        fov_values batch = *v;
        batch.v = all;
        vt_run(t, b, &batch, threads);
        for (size_t text = 0; text < v->texts; text++) {
            const size_t first = v->offsets[text], rows = v->offsets[text + 1] - first, offsets[] = {0, rows};
            for (size_t h = 0; h < VT_H; h++)
                memcpy(importance + h * rows, (v->col_energy ? v->col_energy : v->col_max) + h * n + first,
                       rows * sizeof *importance);
            fov_values single = *v;
            single.texts = 1;
            single.offsets = offsets;
            single.hashes = v->hashes + text;
            single.x = v->x + first * VT_D;
            single.v = one;
            single.col_energy = single.col_max = importance;
            single.q_offsets = NULL;
            vt_run(t, b, &single, 1);
            assert_memory_equal(one, all + first * VT_HE, rows * VT_HE * sizeof *one);
        }
    }
    free(importance);
    free(one);
    free(all);
}

/* ---- three texts, importance over three decades ---- */

enum { VT_N = 40 };

typedef struct vt_batch {
    float x[VT_N * VT_D], v[VT_N * VT_HE], energy[VT_H * VT_N], work[VT_N];
    size_t offsets[4], q_offsets[4];
    uint64_t hashes[3];
    fov_values values;
} vt_batch;

static inline void vt_batch_make(vt_case *t, vt_batch *q) {
    vt_inputs(t, q->x, VT_N);
    for (size_t i = 0; i < VT_H * VT_N; i++) q->energy[i] = (float)pow(10, -3 * (double)(test_bits(&t->rng) >> 11) * 0x1p-53);
    const size_t offsets[] = {0, 17, 18, VT_N};
    memcpy(q->offsets, offsets, sizeof offsets);
    for (size_t i = 0; i < 3; i++) q->hashes[i] = i + 1;
    q->values = (fov_values){
        .texts = 3, .offsets = q->offsets, .hashes = q->hashes, .x = q->x, .v = q->v, .col_energy = q->energy, .work = q->work};
}

/* What is the dense projection, bit for bit. */
static inline void vt_check_exact(vt_case *t, vt_batch *q, uint64_t seed, fov_type type, const char *method) {
    static float exact[VT_N * VT_HE];
    vt_make(t, seed);
    vt_retype(t, type);
    vt_batch_make(t, q);
    vt_bound dense = vt_bind(t, "exact"), b = vt_bind(t, method);
    fov_values v = q->values;
    v.v = exact;
    vt_run(t, &dense, &v, 1);
    vt_run(t, &b, &q->values, 1);
    assert_memory_equal(exact, q->v, sizeof exact);
    vt_release(&b);
    vt_release(&dense);
    free(t->packed);
}

/* A NaN, in the input or in the importance, is computed densely and stays in its row. */
static inline void vt_check_nan(vt_case *t, vt_batch *q, uint64_t seed, fov_type type, const char *method) {
    static float clean[VT_N * VT_HE];
    vt_make(t, seed);
    vt_retype(t, type);
    vt_batch_make(t, q);
    vt_bound b = vt_bind(t, method);
    vt_run(t, &b, &q->values, 1);
    memcpy(clean, q->v, sizeof clean);
    q->x[5 * VT_D + 11] = NAN;
    q->energy[VT_N + 9] = NAN;
    vt_run(t, &b, &q->values, 1);
    for (size_t j = 0; j < VT_N; j++)
        for (size_t i = 0; i < VT_HE; i++) {
            const float now = q->v[j * VT_HE + i];
            if (j == 5) assert_true(isnan(now));
            if (j != 5 && j != 9) assert_true(now == clean[j * VT_HE + i]);
            if (j == 9) assert_true(isfinite(now));
        }
    vt_release(&b);
    free(t->packed);
}

#endif
