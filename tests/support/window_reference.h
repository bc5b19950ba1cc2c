/* window_reference.h: problems for windowed attention with global tokens, and a reference in double that follows Longformer's
 * definition: global projections of every token, nothing folded. */
#ifndef FOV_TESTS_SUPPORT_WINDOW_REFERENCE_H
#define FOV_TESTS_SUPPORT_WINDOW_REFERENCE_H

#include "support/attention_problem.h"

enum { MAX_TEXTS = 5, MAX_LENGTH = 300, MAX_WIDTH = 40, MAX_HEADS = 3, MODES = 5 };
enum { ALL_ROWS, IN_PLACE, POSITIONS, LISTED_OUTPUTS, CAUSAL }; /* modes */

typedef struct window_problem {
    attention_problem a;
    fov_attention_global global;
    float *x, *wq, *wk, *wv, *bq, *bk, *bv; /* global projections [C, d], as a checkpoint has them */
    float *packed_q, *packed_k, *packed_v;  /* as the engine has them */
    size_t half, globals;
} window_problem;

static inline void window_add_texts(window_problem *t, test_rng *rng, size_t texts, int mode) {
    static const size_t lengths[] = {1, 2, 31, 63, 64, 65, 129, 300};
    while (t->a.p.texts < texts) {
        const bool edge = test_between(rng, 0, 1) == 0;
        const size_t keys = edge ? lengths[test_between(rng, 0, 7)] : test_between(rng, 1, MAX_LENGTH);
        size_t queries = keys;
        if (mode == POSITIONS) queries = test_between(rng, 1, keys);
        if (mode == CAUSAL) queries = test_between(rng, 1, keys + 3);
        attention_problem_add(&t->a, keys, queries, mode == LISTED_OUTPUTS ? test_between(rng, 0, 80) : queries);
    }
}

static inline void window_make_global(test_rng *rng, window_problem *t) {
    const size_t c = t->a.p.heads * t->a.p.head_size, d = test_between(rng, 1, MAX_WIDTH), h = t->a.p.heads, e = t->a.p.head_size;
    const fov_kernels *kernels = fov_kernels_named("ref");
    const float range = 1.5f / sqrtf((float)d);
    t->global.width = d;
    t->global.ldx = d + test_between(rng, 0, 3);
    t->x = block_rows(rng, t->a.k_offsets[0], t->a.k_offsets[t->a.p.texts], d, t->global.ldx, 2);
    float **blocks[] = {&t->wq, &t->wk, &t->wv};
    for (size_t i = 0; i < 3; i++) *blocks[i] = block_rows(rng, 0, c, d, d, range);
    float **biases[] = {&t->bq, &t->bk, &t->bv};
    for (size_t i = 0; i < 3; i++) *biases[i] = block_rows(rng, 0, 1, c, c, 1);
    t->packed_q = block_make(fov_packed_size(c, d), NAN);
    t->packed_k = block_make(fov_packed_size(c, d), NAN);
    t->packed_v = block_make(h * fov_packed_size(e, d), NAN);
    kernels->pack_t(t->wq, d, c, d, t->packed_q);
    kernels->pack_t(t->wk, d, c, d, t->packed_k);
    for (size_t i = 0; i < h; i++) kernels->pack_t(t->wv + i * e * d, d, e, d, t->packed_v + i * fov_packed_size(e, d));
    t->global = (fov_attention_global){t->x, t->global.ldx, d, t->packed_q, t->bq, t->packed_k, t->bk, t->packed_v, t->bv};
    t->a.p.layer.globals = t->globals;
    t->a.p.layer.global = &t->global;
}

/* A masked token holds NaN, but a global one's query needs its x. */
static inline void window_mask(window_problem *t, test_rng *rng) {
    attention_problem_mask(&t->a, rng, test_between(rng, 0, 4));
    for (size_t b = 0; t->x && b < t->a.p.texts; b++)
        for (size_t i = t->a.k_offsets[b] + t->globals; i < t->a.k_offsets[b + 1]; i++)
            for (size_t c = 0; !t->a.mask[i] && c < t->global.width; c++) t->x[i * t->global.ldx + c] = NAN;
}

static inline void window_problem_make(window_problem *t, uint64_t seed, int mode) {
    static const size_t sizes[] = {1, 7, 32, 33, 64}, windows[] = {1, 2, 5, 16, 63, 64, 66, 100, 128, 256, 1000};
    test_rng rng = rng_of(seed);
    const size_t w = windows[test_between(&rng, 0, 10)], heads = test_between(&rng, 1, MAX_HEADS);
    memset(t, 0, sizeof *t);
    attention_problem_begin(&t->a, &fov_attention_window, "window", heads, sizes[test_between(&rng, 0, 4)]);
    t->a.setting.values[0] = (double)w;
    t->half = w / 2;
    t->globals = t->a.p.layer.globals = test_between(&rng, 0, 2);
    t->a.p.causal = mode == CAUSAL;
    t->a.k_offsets[0] = test_between(&rng, 0, 9);
    t->a.q_offsets[0] = mode == POSITIONS ? test_between(&rng, 0, 9) : t->a.k_offsets[0];
    t->a.y_offsets[0] = mode == LISTED_OUTPUTS ? test_between(&rng, 0, 9) : t->a.q_offsets[0];
    window_add_texts(t, &rng, test_between(&rng, 1, MAX_TEXTS), mode);
    attention_problem_fill(&t->a, &rng, 3, mode == IN_PLACE);
    if (t->globals) window_make_global(&rng, t);
    if (mode == POSITIONS) attention_problem_place(&t->a, &rng, true);
    if (mode == LISTED_OUTPUTS) attention_problem_list(&t->a, &rng);
    if (test_between(&rng, 0, 1)) window_mask(t, &rng);
}

static inline void window_problem_free(window_problem *t) {
    float *blocks[] = {t->x, t->wq, t->wk, t->wv, t->bq, t->bk, t->bv, t->packed_q, t->packed_k, t->packed_v};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    attention_problem_free(&t->a);
}

/* ---- the reference ---- */

static inline long position_of(const window_problem *t, size_t text, size_t query) {
    if (t->a.q_position) return (long)t->a.q_position[t->a.q_offsets[text] + query];
    if (!t->a.p.causal) return (long)query;
    return (long)query + (long)problem_keys(&t->a, text) - (long)(t->a.q_offsets[text + 1] - t->a.q_offsets[text]);
}

/* a = softmax over what is not hidden of the given scores; no key: zeros. */
static inline void softmax(double *a, const bool *hidden, size_t keys) {
    double peak = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++)
        if (!hidden[j]) peak = fmax(peak, a[j]);
    for (size_t j = 0; j < keys; j++) sum += a[j] = hidden[j] ? 0 : exp(a[j] - peak);
    for (size_t j = 0; j < keys && sum > 0; j++) a[j] /= sum;
}

/* Local weights of a query. *slack: how far an f32 computation may be off, relative to a weight: the scores' rounding, (D + 2) u
 * per product sum, counts twice (numerator and sum); exp and the division some more. */
static inline void local_weights(const window_problem *t, size_t text, size_t head, size_t query, double *a, double *slack) {
    const fov_attention *p = &t->a.p;
    const size_t d = p->head_size, keys = problem_keys(&t->a, text);
    const long i = position_of(t, text, query);
    const float *q = t->a.q + (t->a.q_offsets[text] + query) * p->ldq + head * d;
    bool hidden[MAX_LENGTH];
    double largest = 0;
    for (size_t j = 0; j < keys; j++) {
        const long key = (long)j, far = labs(key - i);
        hidden[j] = (far > (long)t->half && j >= t->globals) || (p->causal && key > i);
        hidden[j] = hidden[j] || (t->a.mask && !t->a.mask[t->a.k_offsets[text] + j]);
        const float *k = t->a.k + (t->a.k_offsets[text] + j) * p->ldk + head * d;
        double dot = 0, size = 0;
        for (size_t c = 0; c < d && !hidden[j]; c++) {
            dot += (double)q[c] * (double)k[c];
            size += fabs((double)q[c] * (double)k[c]);
        }
        a[j] = dot * (double)p->scale;
        largest = fmax(largest, size * (double)p->scale);
    }
    softmax(a, hidden, keys);
    *slack = problem_unit * (2 * (double)(d + 2) * largest + (double)keys + 16);
}

/* (W x + b)[r] of a row of x; *size: the same of absolute values. */
static inline double projected(const window_problem *t, const float *w, const float *b, size_t row, size_t r, double *size) {
    const float *x = t->x + row * t->global.ldx;
    double sum = (double)b[r];
    *size = fabs(sum);
    for (size_t c = 0; c < t->global.width; c++) {
        const double term = (double)w[r * t->global.width + c] * (double)x[c];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* Output of a global token, as defined: every token is projected. Slack: sums of d, then D (or keys), then d terms. */
static inline void check_global(const window_problem *t, size_t text, size_t head, size_t token, const float *y) {
    const fov_attention *p = &t->a.p;
    const size_t e = p->head_size, keys = problem_keys(&t->a, text), first = t->a.k_offsets[text], d = t->global.width;
    double a[MAX_LENGTH], largest = 0;
    bool hidden[MAX_LENGTH];
    for (size_t j = 0; j < keys; j++) {
        double dot = 0, size = 0;
        hidden[j] = (p->causal && j > token) || (t->a.mask && !t->a.mask[first + j]);
        for (size_t c = 0; c < e && !hidden[j]; c++) {
            double q_size, k_size;
            const double q = projected(t, t->wq, t->bq, first + token, head * e + c, &q_size);
            dot += q * projected(t, t->wk, t->bk, first + j, head * e + c, &k_size);
            size += q_size * k_size;
        }
        a[j] = dot * (double)p->scale;
        largest = fmax(largest, size * (double)p->scale);
    }
    softmax(a, hidden, keys);
    const double slack = problem_unit * (2 * (double)(2 * d + e + 4) * largest + (double)keys + 16);
    for (size_t c = 0; c < e; c++) {
        double sum = 0, size = 0;
        for (size_t j = 0; j < keys; j++) {
            double v_size;
            if (hidden[j]) continue;
            sum += a[j] * projected(t, t->wv, t->bv, first + j, head * e + c, &v_size);
            size += a[j] * v_size;
        }
        check_near((double)y[c], sum, size * (slack + problem_unit * (double)(keys + d)), "global y", text, head, token);
    }
}

static inline void check_outputs(const window_problem *t) {
    const fov_attention *p = &t->a.p;
    const size_t d = p->head_size;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->a.y_offsets[b]; o < t->a.y_offsets[b + 1]; o++) {
                double a[MAX_LENGTH], slack;
                const size_t keys = problem_keys(&t->a, b), query = p->y_query ? p->y_query[o] : o - t->a.y_offsets[b];
                const long i = position_of(t, b, query);
                if (i >= 0 && (size_t)i < t->globals) {
                    check_global(t, b, h, (size_t)i, t->a.y + o * p->ldy + h * d);
                    continue;
                }
                local_weights(t, b, h, query, a, &slack);
                for (size_t c = 0; c < d; c++) {
                    double y = 0, size = 0;
                    for (size_t j = 0; j < keys; j++) {
                        if (!(a[j] > 0)) continue;
                        const double v = (double)t->a.v[(t->a.k_offsets[b] + j) * p->ldv + h * d + c];
                        y += a[j] * v;
                        size += a[j] * fabs(v);
                    }
                    check_near((double)t->a.y[o * p->ldy + h * d + c], y, size * (slack + problem_unit * (double)keys), "y", b, h,
                               o);
                }
            }
}

#endif
