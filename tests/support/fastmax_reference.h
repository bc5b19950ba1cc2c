/* fastmax_reference.h: Fastmax of one text and head in double, from its definition: all pairs, weights f(x_ij), rows divided by
 * their sums; how far an f32 computation may be off; and problems for it. */
#ifndef FOV_TESTS_SUPPORT_FASTMAX_REFERENCE_H
#define FOV_TESTS_SUPPORT_FASTMAX_REFERENCE_H

#include <stdio.h>

#include "support/attention_problem.h"

enum { NONE, L2MAX, STANDARDIZE };

typedef struct reference {
    size_t queries, keys, d;
    int p, normalize;
    double factor; /* of the scores, scale included where it counts */
    const uint8_t *mask;
    long long *last; /* [queries] last key seen, -1: none */
    double *q, *k, *v, *y, *slack;
} reference;

static inline double *doubles(size_t count) {
    double *block = calloc(count + 1, sizeof *block);
    assert_non_null(block);
    return block;
}

/* rows normalised into `to`; condition[i]: by how much rounding of x grows in it. */
static inline void normalize_rows(const reference *r, const double *x, size_t n, const uint8_t *mask, double *to,
                                  double *condition) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        double mean = 0, square = 0, most = 0;
        condition[i] = 1;
        if (mask && !mask[i]) continue;
        for (size_t c = 0; c < r->d; c++) mean += x[i * r->d + c] / (double)r->d;
        for (size_t c = 0; c < r->d; c++) {
            square += pow(x[i * r->d + c] - (r->normalize == STANDARDIZE ? mean : 0), 2);
            most = fmax(most, fabs(x[i * r->d + c]));
        }
        const double deviation = sqrt(square / (double)r->d) + 1e-6;
        if (r->normalize == STANDARDIZE) condition[i] += most / deviation;
        largest = fmax(largest, sqrt(square));
        for (size_t c = 0; c < r->d; c++)
            to[i * r->d + c] = r->normalize == STANDARDIZE ? (x[i * r->d + c] - mean) / deviation : x[i * r->d + c];
    }
    for (size_t i = 0; r->normalize == L2MAX && largest > 0 && i < n * r->d; i++) to[i] /= largest;
}

/* y, and in slack how far an f32 computation may be off. Rounding of a score: (D + 8) u of the sum of |q k|, times the condition
 * of its rows; of a sum over n keys: n u of the sum of magnitudes; numerator and denominator alike. */
static inline void reference_run(const reference *r) {
    const size_t d = r->d;
    double *q = doubles(r->queries * d), *k = doubles(r->keys * d), *cq = doubles(r->queries), *ck = doubles(r->keys);
    double *f = doubles(r->keys), *size = doubles(r->keys);
    normalize_rows(r, r->q, r->queries, NULL, q, cq);
    normalize_rows(r, r->k, r->keys, r->mask, k, ck);
    for (size_t i = 0; i < r->queries; i++) {
        double g = 0, sizes = 0, n = 0;
        for (size_t j = 0; j < r->keys; j++) {
            f[j] = size[j] = 0;
            if ((r->mask && !r->mask[j]) || (long long)j > r->last[i]) continue;
            double x = 0, sum = 0;
            for (size_t c = 0; c < d; c++) {
                x += r->factor * q[i * d + c] * k[j * d + c];
                sum += fabs(r->factor * q[i * d + c] * k[j * d + c]);
            }
            f[j] = 1 + x + (r->p == 2 ? x * x / 2 : 0);
            size[j] = (1 + sum + (r->p == 2 ? sum * sum / 2 : 0)) * (2 * (double)(d + 8) * (cq[i] + ck[j]));
            g += f[j];
            sizes += size[j];
            n++;
        }
        const bool lost = fabs(g) < n * 0x1p-14; /* p = 1: nothing but rounding; finite is all that is asked */
        for (size_t c = 0; c < d; c++) {
            double y = 0, slack = 0;
            for (size_t j = 0; j < r->keys; j++) {
                if (size[j] <= 0) continue;
                y += f[j] * r->v[j * d + c];
                slack += size[j] * fabs(r->v[j * d + c]);
            }
            r->y[i * d + c] = n > 0 && !lost ? y / g : 0;
            r->slack[i * d + c] = lost && n > 0 ? 1e30
                                  : n > 0       ? problem_unit * (1 + n / 16) * (slack + sizes * fabs(y / g)) / fabs(g)
                                                : 0;
        }
    }
    double *blocks[] = {q, k, cq, ck, f, size};
    for (size_t i = 0; i < 6; i++) free(blocks[i]);
}

static inline double *gather(const float *x, size_t first, size_t n, size_t ld, size_t head, size_t d) {
    double *to = doubles(n * d);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[i * d + c] = (double)x[(first + i) * ld + head * d + c];
    return to;
}

static inline reference reference_of(const attention_problem *t, size_t b, size_t h) {
    const fov_attention *p = &t->p;
    reference r = {.queries = problem_queries(t, b),
                   .keys = problem_keys(t, b),
                   .d = p->head_size,
                   .p = (int)fov_setting_get(&t->setting, "p"),
                   .normalize = (int)fov_setting_get(&t->setting, "normalize"),
                   .factor = t->scales ? (double)t->scales[h] : 1,
                   .mask = t->mask ? t->mask + t->k_offsets[b] : NULL};
    if (r.normalize != L2MAX) r.factor *= (double)p->scale;
    r.q = gather(t->q, t->q_offsets[b], r.queries, p->ldq, h, r.d);
    r.k = gather(t->k, t->k_offsets[b], r.keys, p->ldk, h, r.d);
    r.v = gather(t->v, t->k_offsets[b], r.keys, p->ldv, h, r.d);
    r.y = doubles(r.queries * r.d);
    r.slack = doubles(r.queries * r.d);
    r.last = calloc(r.queries + 1, sizeof *r.last);
    assert_non_null(r.last);
    for (size_t i = 0; i < r.queries; i++) {
        r.last[i] = (long long)r.keys;
        if (p->causal) r.last[i] = (long long)i + (long long)r.keys - (long long)r.queries;
        if (p->causal && t->q_position) r.last[i] = t->q_position[t->q_offsets[b] + i];
    }
    reference_run(&r);
    return r;
}

static inline void reference_free(reference *r) {
    double *blocks[] = {r->q, r->k, r->v, r->y, r->slack};
    for (size_t i = 0; i < 5; i++) free(blocks[i]);
    free(r->last);
}

/* ---- problems ---- */

enum { PLAIN, IN_PLACE, FEW_QUERIES, MANY_QUERIES, LISTED, MODES };

/* Up to 4 texts of up to `most` keys, some of them empty. FEW_QUERIES: at ascending positions, as the encoder has them; LISTED: at
 * any, with any outputs. */
static inline void fastmax_problem(attention_problem *t, uint64_t seed, int mode, size_t most, bool causal, bool masked,
                                   const char *setting) {
    static const size_t sizes[] = {1, 2, 5, 31, 32, 33};
    enum { OUTPUTS = 90 };
    test_rng rng = rng_of(seed);
    const size_t texts = test_between(&rng, 1, 4), heads = test_between(&rng, 1, 3);
    attention_problem_begin(t, &fov_attention_fastmax, setting, heads, sizes[test_between(&rng, 0, most > 30 ? 5 : 2)]);
    t->p.causal = causal;
    t->k_offsets[0] = test_between(&rng, 0, 5);
    t->q_offsets[0] = mode == FEW_QUERIES || mode == MANY_QUERIES ? test_between(&rng, 0, 5) : t->k_offsets[0];
    t->y_offsets[0] = mode == LISTED ? test_between(&rng, 0, 5) : t->q_offsets[0];
    while (t->p.texts < texts) {
        size_t keys = test_between(&rng, 0, 5) ? test_between(&rng, 1, most) : test_between(&rng, 0, 1), queries = keys;
        if (mode == FEW_QUERIES) queries = keys ? test_between(&rng, 1, keys) : 0;
        if (mode == MANY_QUERIES) queries = keys + test_between(&rng, 0, most / 2);
        attention_problem_add(t, keys, queries, mode != LISTED ? queries : queries ? test_between(&rng, 0, OUTPUTS) : 0);
    }
    attention_problem_fill(t, &rng, 1.5f, mode == IN_PLACE);
    if (masked) attention_problem_mask(t, &rng, 3);
    if (mode == FEW_QUERIES || mode == LISTED) attention_problem_place(t, &rng, mode == FEW_QUERIES);
    if (mode == LISTED) attention_problem_list(t, &rng);
    if (!test_between(&rng, 0, 1)) return;
    t->p.layer.score_scale = t->scales = block_make(heads, 1);
    for (size_t h = 0; h < heads; h++) t->scales[h] = .5f + .5f * test_float(&rng) * test_float(&rng);
}

/* Method string number n: order, normalisation, form and block size. */
static inline const char *variant(size_t n, char text[96]) {
    static const char *const normalize[] = {"none", "l2max", "standardize"}, *const form[] = {"pairs", "moments", "auto"};
    static const int blocks[] = {1, 7, 16, 128};
    snprintf(text, 96, "fastmax:p=%zu,normalize=%s,form=%s,block=%d", 1 + n % 2, normalize[n / 2 % 3], form[n / 6 % 3],
             blocks[n / 18 % 4]);
    return text;
}
enum { VARIANTS = 72 };

#endif
