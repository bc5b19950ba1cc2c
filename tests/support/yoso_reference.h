/* yoso_reference.h: problems for YOSO and a reference in double, O(T^2), from the formulas alone: weights of all pairs, then Y,
 * then its norm, then the convolution; and the gradients of all of it. The sampled form takes its collisions from a list of codes.
 */
#ifndef FOV_TESTS_SUPPORT_YOSO_REFERENCE_H
#define FOV_TESTS_SUPPORT_YOSO_REFERENCE_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "attention/yoso.h"
#include "support/random.h"

enum { Y_MAX = 72, Y_DIM = 72, Y_TEXTS = 4 };
static const double y_pi = 3.14159265358979323846, y_unit = 0x1p-24;

/* One text and head in double. */
typedef struct y_case {
    size_t queries, keys, d, width;
    double q[Y_MAX][Y_DIM], k[Y_MAX][Y_DIM], v[Y_MAX][Y_DIM], conv[16];
    size_t sees[Y_MAX];  /* causal: keys below it */
    size_t token[Y_MAX]; /* of each query, for the convolution */
    bool there[Y_MAX];
    double w[Y_MAX][Y_MAX], slope[Y_MAX][Y_MAX], slack[Y_MAX][Y_MAX]; /* slack: how far an f32 w may be off */
    double y[Y_MAX][Y_DIM], o[Y_MAX][Y_DIM], bound[Y_MAX];            /* bound: of every element of o */
    double dq[Y_MAX][Y_DIM], dk[Y_MAX][Y_DIM], dv[Y_MAX][Y_DIM];
    double terms; /* the largest term that the gradients sum, before what cancels */
} y_case;

static inline double y_norm(const double *x, size_t d) {
    double sum = 0;
    for (size_t c = 0; c < d; c++) sum += x[c] * x[c];
    return sqrt(sum);
}

static inline double y_cosine(const y_case *r, size_t i, size_t j) {
    double dot = 0, a = y_norm(r->q[i], r->d), b = y_norm(r->k[j], r->d);
    for (size_t c = 0; c < r->d; c++) dot += r->q[i][c] * r->k[j][c];
    dot /= fmax(a, 1e-12) * fmax(b, 1e-12);
    return fmin(fmax(dot, -1), 1);
}

/* w and w' of the expectation form. slack: a cosine is off by (D + 8) u at most, which moves the angle by that over its sine, or by
 * the square root of twice that next to 0 and pi; P of acos is off by 2e-8; the power multiplies relative errors by tau. */
static inline void y_expectation(y_case *r, unsigned tau, bool surrogate) {
    for (size_t i = 0; i < r->queries; i++)
        for (size_t j = 0; j < r->keys; j++) {
            double s = y_cosine(r, i, j), p = 1 - acos(s) / y_pi, sine = sqrt(1 - s * s), off = (double)(r->d + 8) * y_unit;
            bool on = r->there[j] && j < r->sees[i];
            double angle = 2 * off / fmax(sine, sqrt(2 * off)) + 1e-7;
            r->w[i][j] = on ? pow(p, tau) : 0;
            r->slack[i][j] = on ? tau * pow(fmin(p + angle / y_pi, 1), tau - 1.) * angle / y_pi + 4 * tau * y_unit * r->w[i][j] : 0;
            r->slope[i][j] =
                on ? surrogate ? tau / 2. * r->w[i][j] : tau * pow(p, tau - 1.) / (y_pi * sqrt(fmax(1 - s * s, 1e-6))) : 0;
        }
}

/* The same from m hashes: codes [m][rows]. */
static inline void y_sampled(y_case *r, unsigned tau, bool surrogate, size_t m, const uint32_t *q_codes, const uint32_t *k_codes) {
    for (size_t i = 0; i < r->queries; i++)
        for (size_t j = 0; j < r->keys; j++) {
            double s = y_cosine(r, i, j), p = 1 - acos(s) / y_pi, hits = 0;
            for (size_t l = 0; l < m; l++) hits += q_codes[l * r->queries + i] == k_codes[l * r->keys + j];
            if (!r->there[j] || j >= r->sees[i]) hits = 0;
            r->w[i][j] = hits / (double)m;
            r->slack[i][j] = 4 * y_unit * r->w[i][j];
            r->slope[i][j] = r->w[i][j] * tau / (surrogate ? 2 : y_pi * fmax(p, 1e-4) * sqrt(fmax(1 - s * s, 1e-6)));
        }
}

static inline double y_tap(const y_case *r, size_t i, size_t j) {
    size_t half = r->width / 2;
    bool in = r->width && r->there[j] && j < r->sees[i] && j + half >= r->token[i] && j + half < r->token[i] + r->width;
    return in ? r->conv[j + half - r->token[i]] : 0;
}

static inline void y_forward(y_case *r) {
    for (size_t i = 0; i < r->queries; i++) {
        double off = 0;
        for (size_t c = 0; c < r->d; c++) {
            double y = 0, e = 0;
            for (size_t j = 0; j < r->keys; j++) {
                y += r->there[j] ? r->w[i][j] * r->v[j][c] : 0;
                e += r->there[j] ? fabs(r->v[j][c]) * (r->slack[i][j] + y_unit * (double)(r->keys + 4) * r->w[i][j]) : 0;
            }
            r->y[i][c] = y;
            off += e * e;
        }
        double norm = fmax(y_norm(r->y[i], r->d), 1e-12), taps = 0;
        for (size_t c = 0; c < r->d; c++) {
            r->o[i][c] = r->y[i][c] / norm;
            for (size_t j = 0; j < r->keys; j++) {
                double tap = y_tap(r, i, j);
                if (r->there[j]) r->o[i][c] += tap * r->v[j][c];
                if (r->there[j]) taps += fabs(tap * r->v[j][c]);
            }
        }
        r->bound[i] = 2 * sqrt(off) / norm + 8 * y_unit * (1 + taps); /* of Y, through the norm */
    }
}

/* dq, dk, dv of sum dy . o, by the chain rule with r->slope for dw / ds. */
static inline void y_backward(y_case *r, double dy[Y_MAX][Y_DIM]) {
    size_t d = r->d;
    r->terms = 0;
    memset(r->dq, 0, sizeof r->dq);
    memset(r->dk, 0, sizeof r->dk);
    memset(r->dv, 0, sizeof r->dv);
    for (size_t i = 0; i < r->queries; i++) {
        double norm = y_norm(r->y[i], d), dot = 0, g[Y_DIM], a = y_norm(r->q[i], d);
        for (size_t c = 0; c < d; c++) dot += dy[i][c] * r->y[i][c] / norm;
        for (size_t c = 0; c < d; c++) g[c] = norm > 1e-12 ? (dy[i][c] - dot * r->y[i][c] / norm) / norm : 0;
        for (size_t j = 0; j < r->keys; j++) {
            if (!r->there[j]) continue;
            double gv = 0, b = y_norm(r->k[j], d), s = y_cosine(r, i, j);
            for (size_t c = 0; c < d; c++) gv += g[c] * r->v[j][c];
            gv *= r->slope[i][j];
            double most = fmax(r->slope[i][j] / fmax(fmin(a, b), .1), r->w[i][j]);
            if (norm > 1e-12) r->terms = fmax(r->terms, y_norm(dy[i], d) / norm * fmax(y_norm(r->v[j], d), 1) * most);
            for (size_t c = 0; c < d; c++) {
                r->dv[j][c] += r->w[i][j] * g[c] + y_tap(r, i, j) * dy[i][c];
                if (a > 1e-12) r->dq[i][c] += gv * (r->k[j][c] / fmax(b, 1e-12) - s * r->q[i][c] / a) / a;
                if (b > 1e-12) r->dk[j][c] += gv * (r->q[i][c] / fmax(a, 1e-12) - s * r->k[j][c] / b) / b;
            }
        }
    }
}

#endif
