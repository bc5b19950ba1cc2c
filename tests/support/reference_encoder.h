/* reference_encoder.h: BERT with a classifier, written from the paper in plain loops, for comparison with the engine. It shares
 * nothing with the engine but the reader of tensors. Every operation is done in double and, when `single` is set, rounded to f32
 * at once: then it is the plain f32 loop, whose error is the yardstick of an f32 engine's. */
#ifndef FOV_TESTS_SUPPORT_REFERENCE_ENCODER_H
#define FOV_TESTS_SUPPORT_REFERENCE_ENCODER_H

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

#include "model/safetensors.h"

typedef struct reference {
    const fov_tensors *tensors;
    size_t layers, heads, width, hidden, labels;
    bool single;
    size_t top, top_hidden; /* keys kept per query, hidden units per token; 0: all */
} reference;

/* The value of 16 bits; all 65536 are made at the first call. */
static inline double reference_half(uint16_t bits) {
    static double values[1 << 16];
    if (values[0x3C00] == 0) /* one */
        for (int i = 0; i < 1 << 16; i++) {
            const int exponent = i >> 10 & 31, fraction = i & 1023;
            const double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
            values[i] = i >> 15 ? -size : size;
        }
    return values[bits];
}

/* `count` numbers of a tensor from `first` on, in double; the caller frees them. */
static inline double *reference_part(const reference *r, const fov_tensor *t, size_t first, size_t count) {
    double *out = malloc(count * sizeof *out);
    const size_t size = t->dtype == FOV_F32 ? 4 : 2;
    char *stored = malloc(count * size + 1);
    assert_true(out && stored && (t->dtype == FOV_F32 || t->dtype == FOV_F16));
    assert_int_equal(fov_tensors_read(r->tensors, t, first * size, count * size, stored, NULL), FOV_OK);
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        float full;
        if (size == 4) {
            memcpy(&full, stored + i * 4, 4);
            out[i] = (double)full;
        } else {
            memcpy(&half, stored + i * 2, 2);
            out[i] = reference_half(half);
        }
    }
    free(stored);
    return out;
}

static inline const fov_tensor *reference_find(const reference *r, const char *name) {
    const fov_tensor *t = fov_tensors_find(r->tensors, name);
    if (!t) fail_msg("no tensor %s", name);
    return t;
}

/* A whole one. */
static inline double *reference_tensor(const reference *r, const char *name) {
    const fov_tensor *t = reference_find(r, name);
    return reference_part(r, t, 0, t->count);
}

/* x[n] -> the k largest stay, the others become `out`; of equal ones the earlier stay. */
static inline void reference_keep(double *x, size_t n, size_t k, double out) {
    bool *kept = malloc(n * sizeof *kept);
    assert_non_null(kept);
    for (size_t i = 0; i < n; i++) {
        size_t better = 0;
        for (size_t j = 0; j < n; j++) better += x[j] > x[i] || (x[j] >= x[i] && j < i);
        kept[i] = !k || better < k;
    }
    for (size_t i = 0; i < n; i++)
        if (!kept[i]) x[i] = out;
    free(kept);
}

static inline double reference_round(const reference *r, double x) {
    return r->single ? (double)(float)x : x;
}

/* y[n, m] = x[n, k] W^T + b, W [m, k]. */
static inline void reference_dense(const reference *r, const char *base, const double *x, size_t n, size_t k, size_t m, double *y) {
    char name[160];
    snprintf(name, sizeof name, "%s.weight", base);
    double *w = reference_tensor(r, name);
    snprintf(name, sizeof name, "%s.bias", base);
    double *bias = reference_tensor(r, name);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double sum = 0;
            if (r->single)
                for (size_t s = 0; s < k; s++) sum = (double)(float)(sum + (double)(float)(x[i * k + s] * w[j * k + s]));
            else
                for (size_t s = 0; s < k; s++) sum += x[i * k + s] * w[j * k + s];
            y[i * m + j] = reference_round(r, sum + bias[j]);
        }
    free(w);
    free(bias);
}

/* x = norm(x + y); y may be NULL. */
static inline void reference_norm(const reference *r, const char *base, double *x, const double *y, size_t n) {
    char name[160];
    size_t c = r->width;
    snprintf(name, sizeof name, "%s.weight", base);
    double *gamma = reference_tensor(r, name);
    snprintf(name, sizeof name, "%s.bias", base);
    double *beta = reference_tensor(r, name);
    for (double *row = x; row < x + n * c; row += c) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < c; i++) {
            if (y) row[i] = reference_round(r, row[i] + *y++);
            mean = reference_round(r, mean + row[i]);
        }
        mean = reference_round(r, mean / (double)c);
        for (size_t i = 0; i < c; i++) {
            double d = reference_round(r, row[i] - mean);
            variance = reference_round(r, variance + reference_round(r, d * d));
        }
        double deviation = reference_round(r, sqrt(reference_round(r, reference_round(r, variance / (double)c) + 1e-12)));
        for (size_t i = 0; i < c; i++) {
            double z = reference_round(r, reference_round(r, row[i] - mean) / deviation);
            row[i] = reference_round(r, reference_round(r, z * gamma[i]) + beta[i]);
        }
    }
    free(gamma);
    free(beta);
}

/* y[n, C] = softmax(Q K^T / sqrt(D)) V, head by head. */
static inline void reference_attend(const reference *r, const double *q, const double *k, const double *v, size_t n, double *y) {
    size_t c = r->width, d = c / r->heads;
    double *a = malloc(n * sizeof *a);
    assert_non_null(a);
    for (size_t h = 0; h < r->heads; h++)
        for (size_t i = 0; i < n; i++) {
            double peak = -INFINITY, sum = 0;
            for (size_t j = 0; j < n; j++) {
                a[j] = 0;
                for (size_t s = h * d; s < (h + 1) * d; s++)
                    a[j] = reference_round(r, a[j] + reference_round(r, q[i * c + s] * k[j * c + s]));
                a[j] = reference_round(r, a[j] / reference_round(r, sqrt((double)d)));
                peak = fmax(peak, a[j]);
            }
            if (r->top) reference_keep(a, n, r->top, -INFINITY);
            for (size_t j = 0; j < n; j++) {
                a[j] = reference_round(r, exp(reference_round(r, a[j] - peak)));
                sum = reference_round(r, sum + a[j]);
            }
            for (size_t s = h * d; s < (h + 1) * d; s++) {
                double out = 0;
                for (size_t j = 0; j < n; j++)
                    out = reference_round(r, out + reference_round(r, reference_round(r, a[j] / sum) * v[j * c + s]));
                y[i * c + s] = out;
            }
        }
    free(a);
}

static inline void reference_layer(const reference *r, size_t layer, double *x, size_t n) {
    size_t c = r->width, f = r->hidden;
    double *q = malloc(4 * n * c * sizeof *q), *hidden = malloc(n * f * sizeof *hidden);
    assert_true(q && hidden);
    double *k = q + n * c, *v = k + n * c, *y = v + n * c;
    char name[120];
    const struct {
        const char *part;
        double *to;
    } projections[] = {{"query", q}, {"key", k}, {"value", v}};
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "bert.encoder.layer.%zu.attention.self.%s", layer, projections[i].part);
        reference_dense(r, name, x, n, c, c, projections[i].to);
    }
    reference_attend(r, q, k, v, n, y);
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.attention.output.dense", layer);
    reference_dense(r, name, y, n, c, c, q);
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.attention.output.LayerNorm", layer);
    reference_norm(r, name, x, q, n);
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.intermediate.dense", layer);
    reference_dense(r, name, x, n, c, f, hidden);
    for (size_t i = 0; i < n && r->top_hidden; i++) reference_keep(hidden + i * f, f, r->top_hidden, -0x1p100); /* gelu: -0 */
    for (size_t i = 0; i < n * f; i++) hidden[i] = reference_round(r, hidden[i] / 2 * (1 + erf(hidden[i] / sqrt(2.))));
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.output.dense", layer);
    reference_dense(r, name, hidden, n, f, c, y);
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.output.LayerNorm", layer);
    reference_norm(r, name, x, y, n);
    free(hidden);
    free(q);
}

/* Last hidden states [n, C] of one text. */
static inline void reference_encode(const reference *r, const int32_t *ids, const uint8_t *types, size_t n, double *x) {
    const fov_tensor *words = reference_find(r, "bert.embeddings.word_embeddings.weight");
    const fov_tensor *positions = reference_find(r, "bert.embeddings.position_embeddings.weight");
    double *position = reference_part(r, positions, 0, n * r->width);
    double *type = reference_tensor(r, "bert.embeddings.token_type_embeddings.weight");
    for (size_t i = 0; i < n; i++) {
        double *word = reference_part(r, words, (size_t)ids[i] * r->width, r->width);
        for (size_t c = 0; c < r->width; c++)
            x[i * r->width + c] =
                reference_round(r, reference_round(r, word[c] + type[types[i] * r->width + c]) + position[i * r->width + c]);
        free(word);
    }
    free(position);
    free(type);
    reference_norm(r, "bert.embeddings.LayerNorm", x, NULL, n);
    for (size_t l = 0; l < r->layers; l++) reference_layer(r, l, x, n);
}

/* Logits [labels] from the hidden state of the first token. */
static inline void reference_classify(const reference *r, const double *hidden, double *logits) {
    double *pooled = malloc(r->width * sizeof *pooled);
    assert_non_null(pooled);
    reference_dense(r, "bert.pooler.dense", hidden, 1, r->width, r->width, pooled);
    for (size_t i = 0; i < r->width; i++) pooled[i] = reference_round(r, tanh(pooled[i]));
    reference_dense(r, "classifier", pooled, 1, r->width, r->labels, logits);
    free(pooled);
}

#endif
