/* test_fastmax.c: Fastmax attention against a reference in double on ragged, strided, masked, causal problems, in both forms and
 * several block sizes, on every tier; its gradients against finite differences of that reference; and its invariants. Whatever no
 * problem owns is NaN (inputs, scratch) or a canary (outputs). */
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

#include "attention/attention.h"
#include "support/random.h"

enum { MAX_TEXTS = 4, GUARD = 64, OUTPUTS = 90 };
enum { PLAIN, IN_PLACE, FEW_QUERIES, MANY_QUERIES, LISTED, MODES };
enum { NONE, L2MAX, STANDARDIZE };

static const float canary = -12345.75f;
static const double unit = 0x1p-24; /* rounding of one f32 operation */

typedef struct problem {
    fov_attention p;
    fov_setting setting;
    size_t q_offsets[MAX_TEXTS + 1], k_offsets[MAX_TEXTS + 1], y_offsets[MAX_TEXTS + 1];
    uint32_t *y_query, *q_position;
    uint8_t *mask;
    float *q, *k, *v, *y, *dy, *dq, *dk, *dv, *scales;
    size_t longest, q_floats, k_floats, v_floats, y_floats;
} problem;

/* ---- the reference: one text and head ---- */

typedef struct reference {
    size_t queries, keys, d;
    int p, normalize;
    double factor; /* of the scores, scale included where it counts */
    const uint8_t *mask;
    long long *last; /* [queries] last key seen, -1: none */
    double *q, *k, *v, *y, *slack;
} reference;

static double *doubles(size_t count) {
    double *block = calloc(count + 1, sizeof *block);
    assert_non_null(block);
    return block;
}

/* rows normalised into `to`; condition[i]: by how much rounding of x grows in it. */
static void normalize_rows(const reference *r, const double *x, size_t n, const uint8_t *mask, double *to, double *condition) {
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
static void reference_run(const reference *r) {
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
            r->slack[i * d + c] = lost && n > 0 ? 1e30 : n > 0 ? unit * (1 + n / 16) * (slack + sizes * fabs(y / g)) / fabs(g) : 0;
        }
    }
    double *blocks[] = {q, k, cq, ck, f, size};
    for (size_t i = 0; i < 6; i++) free(blocks[i]);
}

static double *gather(const float *x, size_t first, size_t n, size_t ld, size_t head, size_t d) {
    double *to = doubles(n * d);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[i * d + c] = (double)x[(first + i) * ld + head * d + c];
    return to;
}

static reference reference_of(const problem *t, size_t b, size_t h) {
    const fov_attention *p = &t->p;
    reference r = {.queries = t->q_offsets[b + 1] - t->q_offsets[b],
                   .keys = t->k_offsets[b + 1] - t->k_offsets[b],
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

static void reference_free(reference *r) {
    double *blocks[] = {r->q, r->k, r->v, r->y, r->slack};
    for (size_t i = 0; i < 5; i++) free(blocks[i]);
    free(r->last);
}

/* ---- problems ---- */

static float *filled(size_t floats, float value) {
    float *block = malloc((floats + GUARD) * sizeof *block);
    assert_non_null(block);
    for (size_t i = 0; i < floats + GUARD; i++) block[i] = value;
    return block;
}

static float *random_rows(test_rng *rng, const size_t *offsets, size_t texts, size_t columns, size_t ld) {
    float *block = filled(offsets[texts] * ld, NAN);
    for (size_t i = offsets[0]; i < offsets[texts]; i++)
        for (size_t c = 0; c < columns; c++) block[i * ld + c] = 1.5f * test_float(rng);
    return block;
}

static void make_offsets(test_rng *rng, problem *t, int mode, size_t most) {
    t->k_offsets[0] = test_between(rng, 0, 5);
    t->q_offsets[0] = mode == FEW_QUERIES || mode == MANY_QUERIES ? test_between(rng, 0, 5) : t->k_offsets[0];
    t->y_offsets[0] = mode == LISTED ? test_between(rng, 0, 5) : t->q_offsets[0];
    for (size_t b = 0; b < t->p.texts; b++) {
        size_t keys = test_between(rng, 0, 5) ? test_between(rng, 1, most) : test_between(rng, 0, 1), queries = keys;
        if (mode == FEW_QUERIES) queries = keys ? test_between(rng, 1, keys) : 0;
        if (mode == MANY_QUERIES) queries = keys + test_between(rng, 0, most / 2);
        const size_t outputs = mode == LISTED ? (queries ? test_between(rng, 0, OUTPUTS) : 0) : queries;
        t->k_offsets[b + 1] = t->k_offsets[b] + keys;
        t->q_offsets[b + 1] = t->q_offsets[b] + queries;
        t->y_offsets[b + 1] = t->y_offsets[b] + outputs;
        if (queries > t->longest) t->longest = queries;
        if (keys > t->longest) t->longest = keys;
    }
}

static void make_lists(test_rng *rng, problem *t, int mode, bool masked) {
    const size_t keys = t->k_offsets[t->p.texts], queries = t->q_offsets[t->p.texts], outputs = t->y_offsets[t->p.texts];
    if (masked) {
        t->mask = malloc(keys + 1);
        assert_non_null(t->mask);
        for (size_t i = 0; i < keys; i++) t->mask[i] = test_between(rng, 0, 3) != 0;
        for (size_t i = t->k_offsets[0]; i < keys; i++)
            for (size_t c = 0; !t->mask[i] && c < t->p.ldk; c++) t->k[i * t->p.ldk + c] = NAN;
        for (size_t i = t->k_offsets[0]; i < keys; i++)
            for (size_t c = 0; !t->mask[i] && c < t->p.ldv; c++) t->v[i * t->p.ldv + c] = NAN;
    }
    if (mode == FEW_QUERIES || mode == LISTED) {
        t->q_position = calloc(queries + 1, sizeof *t->q_position);
        assert_non_null(t->q_position);
        /* FEW_QUERIES: ascending, as the encoder has them; LISTED: in any order. */
        for (size_t b = 0; b < t->p.texts; b++)
            for (size_t i = t->q_offsets[b], n = t->k_offsets[b + 1] - t->k_offsets[b]; i < t->q_offsets[b + 1]; i++)
                t->q_position[i] = (uint32_t)(mode == LISTED ? test_between(rng, 0, n - 1)
                                                             : (i - t->q_offsets[b]) * n / (t->q_offsets[b + 1] - t->q_offsets[b]));
    }
    if (mode != LISTED) return;
    t->y_query = calloc(outputs + 1, sizeof *t->y_query);
    assert_non_null(t->y_query);
    for (size_t b = 0; b < t->p.texts; b++)
        for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
            t->y_query[o] = (uint32_t)test_between(rng, 0, t->q_offsets[b + 1] - t->q_offsets[b] - 1);
}

static void set(problem *t, const char *text) {
    const fov_method_info *const info[] = {&fov_attention_fastmax.info};
    assert_int_equal(fov_setting_parse(&t->setting, info, 1, text, NULL), FOV_OK);
}

static void problem_make(problem *t, uint64_t seed, int mode, size_t most, bool causal, bool masked, const char *setting) {
    static const size_t sizes[] = {1, 2, 5, 31, 32, 33};
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    memset(t, 0, sizeof *t);
    fov_attention *p = &t->p;
    set(t, setting);
    p->texts = test_between(&rng, 1, MAX_TEXTS);
    p->heads = test_between(&rng, 1, 3);
    p->head_size = sizes[test_between(&rng, 0, most > 30 ? 5 : 2)];
    p->causal = causal;
    make_offsets(&rng, t, mode, most);
    const size_t width = p->heads * p->head_size;
    p->ldq = width + test_between(&rng, 0, 3);
    p->ldk = width + test_between(&rng, 0, 3);
    p->ldv = width + test_between(&rng, 0, 3);
    p->ldy = mode == IN_PLACE ? p->ldq : width + test_between(&rng, 0, 3);
    p->q_offsets = t->q_offsets;
    p->k_offsets = t->k_offsets;
    p->y_offsets = t->y_offsets;
    t->q = random_rows(&rng, t->q_offsets, p->texts, width, p->ldq);
    t->k = random_rows(&rng, t->k_offsets, p->texts, width, p->ldk);
    t->v = random_rows(&rng, t->k_offsets, p->texts, width, p->ldv);
    t->dy = random_rows(&rng, t->y_offsets, p->texts, width, p->ldy);
    make_lists(&rng, t, mode, masked);
    p->scale = 1 / sqrtf((float)p->head_size);
    if (test_between(&rng, 0, 1)) {
        t->scales = filled(p->heads, 1);
        for (size_t h = 0; h < p->heads; h++) t->scales[h] = .5f + .5f * test_float(&rng) * test_float(&rng);
    }
    t->q_floats = t->q_offsets[p->texts] * p->ldq;
    t->k_floats = t->k_offsets[p->texts] * p->ldk;
    t->v_floats = t->k_offsets[p->texts] * p->ldv;
    t->y_floats = t->y_offsets[p->texts] * p->ldy;
    t->y = filled(t->y_floats, canary);
    t->dq = filled(t->q_floats, canary);
    t->dk = filled(t->k_floats, canary);
    t->dv = filled(t->v_floats, canary);
    p->q = mode == IN_PLACE ? t->y : t->q;
    p->k = t->k;
    p->v = t->v;
    p->y = t->y;
    p->y_query = t->y_query;
    p->q_position = t->q_position;
    p->key_mask = t->mask;
    p->layer.score_scale = t->scales;
}

static void problem_free(problem *t) {
    void *blocks[] = {t->q, t->k, t->v, t->y, t->dy, t->dq, t->dk, t->dv, t->scales, t->y_query, t->q_position, t->mask};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

/* Runs with exactly the workspace asked for, full of NaN. */
static void run(problem *t, const fov_kernels *kernels, unsigned threads, bool backward) {
    const fov_attention_size size = {t->longest, t->p.texts, t->k_offsets[t->p.texts], t->p.heads, t->p.head_size, threads, 0, 0};
    const fov_attention_row *row = &fov_attention_fastmax;
    const size_t bytes = backward ? row->backward_workspace(&t->setting, &size) : row->workspace(&t->setting, &size);
    assert_int_equal(bytes % 64, 0);
    unsigned char *block = aligned_alloc(64, bytes + 64);
    assert_non_null(block);
    memset(block, 0xFF, bytes);
    memset(block + bytes, 0xC5, 64);
    const fov_attention_run r = {kernels, &t->setting, threads, (float *)(void *)block};
    if (!backward) {
        for (size_t i = 0; i < t->y_floats; i++) t->y[i] = canary;
        if (t->p.q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
        row->forward(&r, &t->p);
    } else {
        const fov_attention_gradient g = {t->dy, t->dq, t->dk, t->dv};
        row->backward(&r, &t->p, &g);
    }
    for (size_t i = 0; i < 64; i++) assert_int_equal(block[bytes + i], 0xC5);
    free(block);
}

static void check_untouched(const problem *t, const float *block, size_t floats, size_t ld, size_t first) {
    for (size_t i = 0; i < floats + GUARD; i++) {
        if (i < floats && i / ld >= first && i % ld < t->p.heads * t->p.head_size) continue;
        const bool same = block == t->p.q && i < floats ? isnan(block[i]) : block[i] == canary;
        if (!same) fail_msg("float %zu in row %zu belongs to no output, but was written", i % ld, i / ld);
    }
}

static void check_near(double got, double want, double tolerance, const char *what, size_t text, size_t head, size_t at) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, head %zu, number %zu: %.9g, not %.9g (tolerance %.3g)", what, text, head, at, got, want,
                 tolerance);
}

static void check_outputs(const problem *t) {
    const size_t d = t->p.head_size;
    for (size_t b = 0; b < t->p.texts; b++)
        for (size_t h = 0; h < t->p.heads; h++) {
            reference r = reference_of(t, b, h);
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
                for (size_t c = 0; c < d; c++) {
                    const size_t i = (t->y_query ? t->y_query[o] : o - t->y_offsets[b]) * d + c;
                    check_near((double)t->y[o * t->p.ldy + h * d + c], r.y[i], r.slack[i], "y", b, h, i);
                }
            reference_free(&r);
        }
    check_untouched(t, t->y, t->y_floats, t->p.ldy, t->y_offsets[0]);
}

static const fov_kernels *tier(size_t i) {
    const char *name = fov_kernels_names()[i];
    return name ? fov_kernels_named(name) : NULL;
}

#define FOR_EACH_TIER(kernels)                                                                                                     \
    for (size_t tier_ = 0; fov_kernels_names()[tier_]; tier_++)                                                                    \
        for (const fov_kernels *kernels = tier(tier_); kernels; kernels = NULL)

/* Method string number n: order, normalisation, form and block size. */
static const char *variant(size_t n, char text[96]) {
    static const char *const normalize[] = {"none", "l2max", "standardize"}, *const form[] = {"pairs", "moments", "auto"};
    static const int blocks[] = {1, 7, 16, 128};
    snprintf(text, 96, "fastmax:p=%zu,normalize=%s,form=%s,block=%d", 1 + n % 2, normalize[n / 2 % 3], form[n / 6 % 3],
             blocks[n / 18 % 4]);
    return text;
}
enum { VARIANTS = 72 };

/* ---- tests ---- */

static void test_reference(void **state) {
    (void)state;
    char text[96];
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < VARIANTS; n++)
        for (int mode = 0; mode < MODES; mode++)
            for (int way = 0; way < 4; way++) {
                problem t;
                problem_make(&t, n * 20 + (uint64_t)(mode * 4 + way), mode, 75, way & 1, way & 2, variant(n, text));
                run(&t, kernels, 1, false);
                check_outputs(&t);
                problem_free(&t);
            }
}

static double loss(const problem *t, const reference *r, size_t b, size_t h) {
    double sum = 0;
    reference_run(r);
    for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
        for (size_t c = 0; c < r->d; c++)
            sum += (double)t->dy[o * t->p.ldy + h * r->d + c] * r->y[(t->y_query ? t->y_query[o] : o - t->y_offsets[b]) * r->d + c];
    return sum;
}

/* By how much normalising multiplies a gradient at most. */
static double gain(const reference *r, const double *x, size_t rows) {
    double least = 1e30, largest = 0;
    for (size_t i = 0; i < rows && r->normalize != NONE; i++) {
        double mean = 0, square = 0;
        if (isnan(x[i * r->d])) continue;
        for (size_t c = 0; c < r->d; c++) mean += x[i * r->d + c] / (double)r->d;
        for (size_t c = 0; c < r->d; c++) square += pow(x[i * r->d + c] - (r->normalize == STANDARDIZE ? mean : 0), 2);
        least = fmin(least, sqrt(square / (double)r->d) + 1e-6);
        largest = fmax(largest, sqrt(square));
    }
    return r->normalize == NONE ? 1 : 1 / (r->normalize == L2MAX ? largest + 1e-6 : least);
}

/* Central differences of the reference: exact to 1e-8 here. f32 sums whose terms may cancel: 1e-5 of the largest gradient and of
 * the gain, and more where a row is ill-conditioned (slack of y, relative to its rounding, says by how much). */
static void check_gradient(const problem *t, reference *r, size_t b, size_t h, double *x, size_t rows, const float *got, size_t ld,
                           const char *what) {
    const double step = 1e-5;
    double *want = doubles(rows * r->d), most = x == r->v ? 1 : gain(r, x, rows), worst = 0;
    for (size_t i = 0; i < r->queries * r->d; i++) worst = fmax(worst, r->slack[i] / unit);
    for (size_t i = 0; i < rows * r->d; i++) {
        const double kept = x[i];
        if (isnan(kept)) continue; /* a masked key: 0 */
        x[i] = kept + step;
        const double up = loss(t, r, b, h);
        x[i] = kept - step;
        want[i] = (up - loss(t, r, b, h)) / (2 * step);
        x[i] = kept;
        most = fmax(most, fabs(want[i]));
    }
    for (size_t i = 0; i < rows * r->d; i++)
        check_near((double)got[i / r->d * ld + h * r->d + i % r->d], want[i], most * (1e-5 + 8 * unit * worst), what, b, h, i);
    free(want);
}

static void test_gradients(void **state) {
    (void)state;
    char text[96];
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    for (size_t n = 0; n < VARIANTS; n++)
        for (int mode = 0; mode < MODES; mode++) {
            if (mode == IN_PLACE || (n % 2 == 0 && n / 2 % 3 != 1)) continue; /* p = 1 may have g = 0 unless |x| < 1 */
            problem t;
            problem_make(&t, 5000 + n * 5 + (uint64_t)mode, mode, 20, (n / 2 + (size_t)mode) % 2, n / 6 % 2, variant(n, text));
            run(&t, kernels, 1, false);
            run(&t, kernels, 2, true);
            for (size_t b = 0; b < t.p.texts; b++)
                for (size_t h = 0; h < t.p.heads; h++) {
                    reference r = reference_of(&t, b, h);
                    check_gradient(&t, &r, b, h, r.q, r.queries, t.dq + t.q_offsets[b] * t.p.ldq, t.p.ldq, "dq");
                    check_gradient(&t, &r, b, h, r.k, r.keys, t.dk + t.k_offsets[b] * t.p.ldk, t.p.ldk, "dk");
                    check_gradient(&t, &r, b, h, r.v, r.keys, t.dv + t.k_offsets[b] * t.p.ldv, t.p.ldv, "dv");
                    reference_free(&r);
                }
            check_untouched(&t, t.dq, t.q_floats, t.p.ldq, t.q_offsets[0]);
            check_untouched(&t, t.dk, t.k_floats, t.p.ldk, t.k_offsets[0]);
            check_untouched(&t, t.dv, t.v_floats, t.p.ldv, t.k_offsets[0]);
            problem_free(&t);
        }
}

static float *copy_of(const float *x, size_t floats) {
    float *copy = filled(floats, 0);
    memcpy(copy, x, floats * sizeof *x);
    return copy;
}

static void test_threads(void **state) {
    (void)state;
    char text[96];
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < VARIANTS; n += 5)
        for (int mode = 0; mode < MODES; mode++) {
            problem t;
            problem_make(&t, 7000 + n, mode, 75, n & 1, true, variant(n, text));
            run(&t, kernels, 1, false);
            float *y = copy_of(t.y, t.y_floats);
            run(&t, kernels, 3, false);
            assert_memory_equal(y, t.y, t.y_floats * sizeof *y);
            if (mode != IN_PLACE) {
                run(&t, kernels, 1, true);
                float *dq = copy_of(t.dq, t.q_floats), *dk = copy_of(t.dk, t.k_floats), *dv = copy_of(t.dv, t.v_floats);
                run(&t, kernels, 5, true);
                assert_memory_equal(dq, t.dq, t.q_floats * sizeof *y);
                assert_memory_equal(dk, t.dk, t.k_floats * sizeof *y);
                assert_memory_equal(dv, t.dv, t.v_floats * sizeof *y);
                free(dq);
                free(dk);
                free(dv);
            }
            free(y);
            problem_free(&t);
        }
}

/* A text of a batch has the bits it has alone: slices of the offsets, the same arrays. */
static void test_alone(void **state) {
    (void)state;
    char text[96];
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < VARIANTS; n++)
        for (int mode = 0; mode < MODES; mode++) {
            problem t;
            problem_make(&t, 8000 + n, mode, 150, n / 2 % 2, n / 4 % 2, variant(n, text));
            run(&t, kernels, 2, false);
            float *y = copy_of(t.y, t.y_floats);
            for (size_t b = 0; b < t.p.texts; b++) {
                problem one = t;
                one.p.texts = 1;
                one.p.q_offsets += b;
                one.p.k_offsets += b;
                one.p.y_offsets += b;
                run(&one, kernels, 1, false);
                for (size_t o = t.y_offsets[b]; o < t.y_offsets[b + 1]; o++)
                    assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, t.p.heads * t.p.head_size * sizeof *y);
            }
            free(y);
            problem_free(&t);
        }
}

/* ---- one text, one head ---- */

enum { N = 61, D = 9 };

typedef struct single {
    size_t q_offsets[2], k_offsets[2];
    float q[N * D], k[N * D], v[N * D], y[N * D];
    uint8_t mask[N];
    fov_attention p;
    problem t;
} single;

static single *single_make(uint64_t seed, size_t queries, size_t keys, const char *setting) {
    single *s = calloc(1, sizeof *s);
    assert_non_null(s);
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    for (size_t i = 0; i < N * D; i++) {
        s->q[i] = test_float(&rng);
        s->k[i] = test_float(&rng);
        s->v[i] = test_float(&rng);
    }
    memset(s->mask, 1, sizeof s->mask);
    set(&s->t, setting);
    s->q_offsets[1] = queries;
    s->k_offsets[1] = keys;
    s->p = (fov_attention){.texts = 1,
                           .heads = 1,
                           .head_size = D,
                           .q_offsets = s->q_offsets,
                           .k_offsets = s->k_offsets,
                           .y_offsets = s->q_offsets,
                           .q = s->q,
                           .k = s->k,
                           .v = s->v,
                           .ldq = D,
                           .ldk = D,
                           .ldv = D,
                           .y = s->y,
                           .ldy = D,
                           .scale = 1 / 3.f};
    return s;
}

static void single_run(single *s) {
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    s->t.p = s->p;
    s->t.longest = N;
    s->t.y = s->y;
    s->t.y_floats = 0; /* y keeps what it holds */
    s->t.k_offsets[1] = N;
    run(&s->t, kernels, 1, false);
}

static const char *const forms[] = {
    "fastmax:form=pairs,normalize=none", "fastmax:form=moments,normalize=none",    "fastmax:form=pairs,block=8",
    "fastmax:form=moments,block=8",      "fastmax:form=pairs,p=1,normalize=l2max", "fastmax:form=moments,p=1,normalize=l2max"};
enum { FORMS = 6 };

/* Rows of A sum to 1: v = 1 gives 1, v + c gives y + c; q = 0 gives the mean, or prefix mean, of v. (N + D^2) u of rounding. */
static void test_sums(void **state) {
    (void)state;
    const double tolerance = (N + D * D) * unit * 4;
    for (size_t form = 0; form < FORMS; form++)
        for (int causal = 0; causal < 2; causal++) {
            single *s = single_make(1, N - 5, N, forms[form]);
            s->p.causal = causal;
            single_run(s);
            float before[N * D];
            memcpy(before, s->y, sizeof before);
            for (size_t i = 0; i < N * D; i++) s->v[i] += 2;
            single_run(s);
            for (size_t i = 0; i < (N - 5) * D; i++)
                check_near((double)s->y[i], (double)before[i] + 2, 8 * tolerance, "shift", 0, 0, i);
            for (size_t i = 0; i < N * D; i++) s->v[i] = 1;
            single_run(s);
            for (size_t i = 0; i < (N - 5) * D; i++) check_near((double)s->y[i], 1, tolerance, "sum", 0, 0, i);
            for (size_t i = 0; i < N * D; i++) {
                s->q[i] = 0;
                s->v[i] = (float)(i / D);
            }
            single_run(s);
            for (size_t i = 0; i < (N - 5) * D; i++)
                check_near((double)s->y[i], causal ? (double)(i / D + 5) / 2 : (N - 1) / 2., N * tolerance, "mean", 0, 0, i);
            free(s);
        }
}

/* A masked key is as if it were not there, bit for bit; all masked: zeros. */
static void test_masks(void **state) {
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        single *s = single_make(2, N, N, forms[form]), *r = single_make(2, N, 0, forms[form]);
        size_t kept = 0;
        for (size_t j = 0; j < N; j++) {
            s->mask[j] = j % 3 != 1;
            if (!s->mask[j]) continue;
            memcpy(r->k + kept * D, s->k + j * D, D * sizeof(float));
            memcpy(r->v + kept++ * D, s->v + j * D, D * sizeof(float));
        }
        s->p.key_mask = s->mask;
        r->k_offsets[1] = kept;
        single_run(s);
        single_run(r);
        assert_memory_equal(s->y, r->y, sizeof s->y);
        memset(s->mask, 0, N);
        single_run(s);
        r->k_offsets[1] = 0;
        single_run(r);
        for (size_t i = 0; i < N * D; i++) assert_true(s->y[i] == 0 && r->y[i] == 0);
        free(s);
        free(r);
    }
}

/* Causal: a row keeps its bits whatever later tokens hold (not l2max, whose norm looks ahead). Not causal: the order of keys is
 * rounding alone. */
static void test_order(void **state) {
    (void)state;
    for (size_t form = 0; form < 4; form++) {
        single *s = single_make(3, N, N, forms[form]), *r = single_make(3, N, N, forms[form]);
        s->p.causal = r->p.causal = true;
        for (size_t i = 20 * D; i < N * D; i++) r->k[i] = r->v[i] = r->q[i] = 3;
        single_run(s);
        single_run(r);
        assert_memory_equal(s->y, r->y, 20 * D * sizeof(float));
        memcpy(r, s, sizeof *r);
        r->p = s->p;
        r->p.q_offsets = r->p.y_offsets = r->q_offsets;
        r->p.k_offsets = r->k_offsets;
        r->p.q = r->q;
        r->p.k = r->k;
        r->p.v = r->v;
        r->p.y = r->y;
        s->p.causal = r->p.causal = false;
        for (size_t i = 0; i < N * D; i++) {
            r->k[i] = s->k[(N - 1 - i / D) * D + i % D];
            r->v[i] = s->v[(N - 1 - i / D) * D + i % D];
        }
        single_run(s);
        single_run(r);
        for (size_t i = 0; i < N * D; i++)
            check_near((double)r->y[i], (double)s->y[i], (N + D * D) * unit * 8, "permuted", 0, 0, i);
        free(s);
        free(r);
    }
}

/* NaN in a text stays in it and its head. */
static void test_nan(void **state) {
    (void)state;
    char text[96];
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    for (size_t n = 0; n < VARIANTS; n++) {
        problem t;
        problem_make(&t, 9000 + n, PLAIN, 75, false, false, variant(n, text));
        run(&t, kernels, 2, false);
        float *y = copy_of(t.y, t.y_floats);
        const size_t sick = t.p.texts - 1, d = t.p.head_size, last = t.k_offsets[sick + 1];
        if (last > t.k_offsets[sick]) t.k[(last - 1) * t.p.ldk] = NAN;
        run(&t, kernels, 2, false);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[sick + 1]; o++)
            for (size_t c = 0; c < t.p.heads * d; c++) {
                const size_t i = o * t.p.ldy + c;
                if (o >= t.y_offsets[sick] && c < d)
                    assert_true(isnan(t.y[i]));
                else
                    assert_memory_equal(&t.y[i], &y[i], sizeof *y);
            }
        free(y);
        problem_free(&t);
    }
}

/* Weights of a query over keys 1 e_j: v = identity rows give the weights themselves. */
static void weights_of(const double *x, size_t keys, const char *setting, double *weights) {
    single *s = single_make(4, 1, keys, setting);
    memset(s->q, 0, sizeof s->q);
    memset(s->k, 0, sizeof s->k);
    memset(s->v, 0, sizeof s->v);
    s->q[0] = 1;
    s->p.scale = 1;
    for (size_t j = 0; j < keys; j++) {
        s->k[j * D] = (float)x[j];
        s->v[j * D + j] = 1;
    }
    single_run(s);
    for (size_t j = 0; j < keys; j++) weights[j] = (double)s->y[j];
    free(s);
}

/* p = 2 grows again below -1: f(-3) = 2.5 > f(0) = 1. */
static void test_tail(void **state) {
    (void)state;
    const double x[4] = {0, -3, 0, 0};
    double a[4];
    for (size_t form = 0; form < 2; form++) {
        weights_of(x, 4, forms[form], a);
        for (size_t j = 0; j < 4; j++) check_near(a[j], j == 1 ? 2.5 / 5.5 : 1 / 5.5, 8 * unit, "weight", 0, 0, j);
    }
}

/* Against softmax on scores of eps x: the error falls as eps^(p + 1), and within |x| <= r it keeps to the bound of total variation
 * (sqrt(rho) - 1) / (sqrt(rho) + 1), rho = f(-r) e^r / (f(r) e^-r). */
static void test_softmax(void **state) {
    (void)state;
    for (int p = 1; p <= 2; p++) {
        double error[2], a[D];
        for (int half = 0; half < 2; half++) {
            double x[D], sum = 0;
            for (size_t j = 0; j < D; j++) sum += exp(x[j] = (half ? .2 : .4) * ((double)j / (D - 1) * 2 - 1));
            weights_of(x, D, p == 1 ? "fastmax:p=1,normalize=none" : "fastmax:p=2,normalize=none", a);
            error[half] = 0;
            for (size_t j = 0; j < D; j++) error[half] += fabs(a[j] - exp(x[j]) / sum) / 2;
        }
        const double slope = log2(error[0] / error[1]);
        if (!(fabs(slope - (p + 1)) < .3)) fail_msg("p = %d: the error falls with power %.3f", p, slope);
    }
    for (double r = .25; r <= 2; r *= 2) {
        double x[D], a[D], sum = 0, error = 0, least = 1;
        for (size_t j = 0; j < D; j++) sum += exp(x[j] = j < 2 ? r : -r);
        weights_of(x, D, "fastmax:p=2,normalize=none", a);
        for (size_t j = 0; j < D; j++) {
            error += fabs(a[j] - exp(x[j]) / sum) / 2;
            least = fmin(least, a[j]);
        }
        const double root = sqrt((1 - r + r * r / 2) * exp(r) / ((1 + r + r * r / 2) * exp(-r)));
        assert_true(error <= (root - 1) / (root + 1));
        assert_true(least > 0);
    }
}

/* p = 1, every score -1: the row sum is 0, and the result is finite. */
static void test_guard(void **state) {
    (void)state;
    const double x[3] = {-1, -1, -1};
    double a[3];
    weights_of(x, 3, "fastmax:p=1,normalize=none", a);
    for (size_t j = 0; j < 3; j++) assert_true(isfinite(a[j]));
}

/* Counted multiply-adds: moments are linear, pairs quadratic, auto the lesser. */
static void test_cost(void **state) {
    (void)state;
    problem t;
    for (size_t keys = 64; keys <= 65536; keys *= 4) {
        set(&t, "fastmax:form=moments");
        const double moments = fov_attention_fastmax.cost(&t.setting, keys, keys, 64);
        assert_true(moments == 2 * (double)keys * 2145 * 64);
        set(&t, "fastmax:form=pairs");
        const double pairs = fov_attention_fastmax.cost(&t.setting, keys, keys, 64);
        assert_true(pairs == 2 * (double)keys * (double)keys * 64);
        set(&t, "fastmax");
        const double least = fov_attention_fastmax.cost(&t.setting, keys, keys, 64);
        assert_true(least == (keys < 2048 ? pairs : keys > 4096 ? moments : least));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_gradients), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_alone),     cmocka_unit_test(test_sums),      cmocka_unit_test(test_masks),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_nan),       cmocka_unit_test(test_tail),
        cmocka_unit_test(test_softmax),   cmocka_unit_test(test_guard),     cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
