/* test_yoso.c: YOSO against its formulas in double (support/yoso_reference.h): both forms, masks, causal, positions, convolution,
 * gradients; its hashes against dense products; and the statistics they promise, with fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/yoso_reference.h"

static const fov_kernels *kernels;

static fov_setting setting_of(const char *text) {
    const fov_method_info *const info = &fov_attention_yoso.info;
    fov_setting setting;
    fov_error error;
    if (fov_setting_parse(&setting, &info, 1, text, &error)) fail_msg("%s: %s", text, error.message);
    return setting;
}

/* ---- problems ---- */

enum { MASKED = 1, CAUSAL = 2, CONVOLVED = 4, IN_PLACE = 8, LISTED = 16, PLACED = 32, UNHASHED = 64, LONE = 128 };

typedef struct problem {
    fov_attention p;
    size_t offsets[Y_TEXTS + 1], q_offsets[Y_TEXTS + 1], y_offsets[Y_TEXTS + 1], longest;
    uint32_t y_query[Y_TEXTS * Y_MAX], position[Y_TEXTS * Y_MAX];
    uint8_t mask[Y_TEXTS * Y_MAX];
    uint64_t hashes[Y_TEXTS];
    float conv[2 * 15];
    float *q, *k, *v, *y, *dy, *dq, *dk, *dv;
    size_t q_floats, k_floats, y_floats;
} problem;

static float *rows_of(test_rng *rng, size_t floats) {
    float *x = malloc((floats + Y_GUARD) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < floats + Y_GUARD; i++) x[i] = rng ? 2 * test_float(rng) : -77.25F;
    return x;
}

static void problem_make(problem *t, uint64_t seed, size_t d, int kind) {
    static const size_t lengths[] = {1, 2, 7, 16, 17, 33, 57, 64};
    test_rng rng = {seed * 2 + 12345};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    memset(t, 0, sizeof *t);
    t->p = (fov_attention){.texts = kind & LONE ? 1 : 3, .heads = 2, .head_size = d, .seed = seed, .layer_number = 3, .scale = 9};
    for (size_t b = 0; b < t->p.texts; b++) {
        size_t n = kind & LONE ? 6 : lengths[test_between(&rng, 0, 7)];
        size_t queries = kind & PLACED ? test_between(&rng, 1, n) : n, outputs = kind & LISTED ? test_between(&rng, 0, 9) : queries;
        t->offsets[b + 1] = t->offsets[b] + n;
        t->q_offsets[b + 1] = t->q_offsets[b] + queries;
        t->y_offsets[b + 1] = t->y_offsets[b] + outputs;
        t->hashes[b] = test_bits(&rng);
        if (n > t->longest) t->longest = n;
        for (size_t o = 0; o < outputs; o++) t->y_query[t->y_offsets[b] + o] = (uint32_t)test_between(&rng, 0, queries - 1);
        for (size_t i = 0; i < queries; i++) t->position[t->q_offsets[b] + i] = (uint32_t)test_between(&rng, 0, n - 1);
        for (size_t j = 0; j < n; j++) t->mask[t->offsets[b] + j] = test_between(&rng, 0, 3) > 0;
    }
    for (size_t i = 0; i < 30; i++) t->conv[i] = test_float(&rng);
    size_t ld = 2 * d + 3, texts = t->p.texts;
    t->q_floats = t->q_offsets[texts] * ld;
    t->k_floats = t->offsets[texts] * ld;
    t->y_floats = kind & IN_PLACE ? t->q_floats : t->y_offsets[texts] * ld;
    t->q = rows_of(&rng, t->q_floats);
    t->k = rows_of(&rng, t->k_floats);
    t->v = rows_of(&rng, t->k_floats);
    t->dy = rows_of(&rng, t->y_floats);
    t->y = rows_of(NULL, t->y_floats);
    t->dq = rows_of(NULL, t->q_floats);
    t->dk = rows_of(NULL, t->k_floats);
    t->dv = rows_of(NULL, t->k_floats);
    if (t->k_floats > 3 * ld) memset(t->k + 3 * ld, 0, d * sizeof *t->k); /* no direction: cosine 0 */
    if (t->q_floats && t->k_floats) memcpy(t->q, t->k, d * sizeof *t->q); /* cosine 1 */
    for (size_t i = 0; (kind & MASKED) && i < t->offsets[texts]; i++)     /* never read */
        for (size_t c = 0; !t->mask[i] && c < ld; c++) t->k[i * ld + c] = t->v[i * ld + c] = NAN;
    fov_attention *p = &t->p;
    p->k_offsets = t->offsets;
    p->q_offsets = t->q_offsets;
    p->y_offsets = t->y_offsets;
    p->q = kind & IN_PLACE ? t->y : t->q;
    p->k = t->k;
    p->v = t->v;
    p->y = t->y;
    p->ldq = p->ldk = p->ldv = p->ldy = ld;
    p->causal = kind & CAUSAL;
    p->key_mask = kind & MASKED ? t->mask : NULL;
    p->q_position = kind & PLACED ? t->position : NULL;
    p->y_query = kind & LISTED ? t->y_query : NULL;
    p->hashes = kind & UNHASHED ? NULL : t->hashes;
    if (kind & CONVOLVED) p->layer = (fov_attention_layer){.conv = t->conv, .conv_width = 5};
}

static void problem_free(problem *t) {
    float *all[] = {t->q, t->k, t->v, t->y, t->dy, t->dq, t->dk, t->dv};
    for (size_t i = 0; i < 8; i++) free(all[i]);
}

static void *workspace_make(size_t bytes) {
    unsigned char *block = aligned_alloc(64, bytes + 64);
    assert_non_null(block);
    memset(block, 0xFF, bytes); /* NaN: scratch read before it is written shows */
    memset(block + bytes, 0xC5, 64);
    return block;
}

static void workspace_free(unsigned char *block, size_t bytes) {
    for (size_t i = 0; i < 64; i++)
        if (block[bytes + i] != 0xC5) fail_msg("a workspace of %zu bytes is overrun at + %zu", bytes, i);
    free(block);
}

static void run_forward(problem *t, const fov_setting *setting, unsigned threads) {
    fov_attention_size size = {t->longest, t->p.texts, t->offsets[t->p.texts], t->p.heads, t->p.head_size, threads, 0, 0};
    size_t bytes = fov_attention_yoso.workspace(setting, &size);
    unsigned char *block = workspace_make(bytes);
    for (size_t i = 0; i < t->y_floats + Y_GUARD; i++) t->y[i] = -77.25F;
    if (t->p.q == t->y) memcpy(t->y, t->q, t->q_floats * sizeof *t->q);
    fov_attention_run run = {kernels, setting, threads, (float *)(void *)block};
    fov_attention_yoso.forward(&run, &t->p);
    workspace_free(block, bytes);
}

static void run_backward(problem *t, const fov_setting *setting, unsigned threads) {
    fov_attention_size size = {t->longest, t->p.texts, t->offsets[t->p.texts], t->p.heads, t->p.head_size, threads, 0, 0};
    size_t bytes = fov_attention_yoso.backward_workspace(setting, &size);
    unsigned char *block = workspace_make(bytes);
    fov_attention_run run = {kernels, setting, threads, (float *)(void *)block};
    fov_attention_gradient gradient = {t->dy, t->dq, t->dk, t->dv};
    fov_attention_yoso.backward(&run, &t->p, &gradient);
    workspace_free(block, bytes);
}

/* ---- the reference of a problem ---- */

/* Codes of rows under the first m hashes of a (text, head). */
static void codes_of(const fov_attention *p, size_t text, size_t head, const fov_setting *setting, const float *x, size_t n,
                     uint32_t *codes) {
    fov_yoso_settings s = fov_yoso_settings_of(setting);
    fov_yoso_hasher hasher;
    fov_arena arena = {0};
    fov_yoso_hasher_carve(&arena, &s, p->head_size, &hasher);
    size_t bytes = arena.used;
    unsigned char *block = workspace_make(bytes);
    arena = (fov_arena){block, 0, bytes, false};
    fov_yoso_hasher_carve(&arena, &s, p->head_size, &hasher);
    fov_yoso_head h = {.text = text, .head = head};
    fov_yoso_hasher_key(&hasher, p, &h);
    for (size_t first = 0; first < s.m; first += hasher.group) {
        fov_yoso_hasher_draw(&hasher, kernels, first);
        fov_yoso_hasher_codes(&hasher, kernels, s.m - first < hasher.group ? s.m - first : hasher.group, x, n, codes + first * n);
    }
    workspace_free(block, bytes);
}

static void read_rows(const float *x, size_t ld, size_t first, size_t n, size_t column, size_t d, double to[Y_MAX][Y_DIM]) {
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[i][c] = (double)x[(first + i) * ld + column + c];
}

/* Rows as the hashes see them: unit length. */
static float *units_of(double x[Y_MAX][Y_DIM], size_t n, size_t d) {
    float *to = rows_of(NULL, n * d);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[i * d + c] = (float)(x[i][c] * (1 / fmax(y_norm(x[i], d), 1e-12)));
    return to;
}

static void case_make(y_case *r, const problem *t, const fov_setting *setting, size_t text, size_t head) {
    const fov_attention *p = &t->p;
    fov_yoso_settings s = fov_yoso_settings_of(setting);
    size_t d = p->head_size, q = t->q_offsets[text], k = t->offsets[text];
    memset(r, 0, sizeof *r);
    r->queries = t->q_offsets[text + 1] - q;
    r->keys = t->offsets[text + 1] - k;
    r->d = d;
    r->width = p->layer.conv_width;
    for (size_t i = 0; i < r->width; i++) r->conv[i] = (double)t->conv[head * r->width + i];
    read_rows(t->q, p->ldq, q, r->queries, head * d, d, r->q);
    read_rows(t->k, p->ldk, k, r->keys, head * d, d, r->k);
    read_rows(t->v, p->ldv, k, r->keys, head * d, d, r->v);
    for (size_t j = 0; j < r->keys; j++) r->there[j] = !p->key_mask || t->mask[k + j];
    for (size_t i = 0; i < r->queries; i++) {
        r->token[i] = p->q_position ? t->position[q + i] : p->causal ? i + r->keys - r->queries : i;
        r->sees[i] = p->causal ? r->token[i] + 1 : r->keys;
    }
    if (s.m) {
        uint32_t *codes = malloc(2 * s.m * Y_MAX * sizeof *codes);
        assert_non_null(codes);
        float *a = units_of(r->q, r->queries, d), *b = units_of(r->k, r->keys, d);
        codes_of(p, text, head, setting, a, r->queries, codes);
        codes_of(p, text, head, setting, b, r->keys, codes + s.m * Y_MAX);
        y_sampled(r, s.tau, s.surrogate, s.m, codes, codes + s.m * Y_MAX);
        free(codes);
        free(a);
        free(b);
    } else {
        y_expectation(r, s.tau, s.surrogate);
    }
    y_forward(r);
}

static void check(double got, double want, double tolerance, const char *what, size_t text, size_t row) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of text %zu, row %zu: %.9g, not %.9g (tolerance %.3g)", what, text, row, got, want, tolerance);
}

static y_case reference; /* large */

static void check_outputs(const problem *t, const fov_setting *setting) {
    size_t d = t->p.head_size, ld = t->p.ldy;
    for (size_t b = 0; b < t->p.texts; b++)
        for (size_t h = 0; h < 2; h++) {
            case_make(&reference, t, setting, b, h);
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                size_t i = t->p.y_query ? t->y_query[o] : o - t->y_offsets[b];
                for (size_t c = 0; c < d; c++)
                    check((double)t->y[o * ld + h * d + c], reference.o[i][c], reference.bound[i], "y", b, o);
            }
        }
    for (size_t i = 0; i < t->y_floats + Y_GUARD; i++)
        if ((i >= t->y_floats || i % ld >= 2 * d) && t->p.q != t->y) assert_true(t->y[i] == -77.25F);
}

static const int kinds[] = {0,
                            MASKED,
                            CAUSAL,
                            CONVOLVED,
                            IN_PLACE,
                            LISTED,
                            PLACED | CONVOLVED,
                            UNHASHED,
                            MASKED | CAUSAL | CONVOLVED | PLACED | LISTED,
                            MASKED | CONVOLVED | IN_PLACE};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *const settings[] = {"yoso",
                                       "yoso:tau=1",
                                       "yoso:tau=24",
                                       "yoso:tau=13",
                                       "yoso:m=1,tau=3",
                                       "yoso:m=17,tau=8",
                                       "yoso:m=33,tau=4",
                                       "yoso:m=9,tau=24",
                                       "yoso:m=65,tau=1",
                                       "yoso:m=8,tau=5,hash=hadamard",
                                       "yoso:m=33,tau=3,hash=hadamard",
                                       "yoso:m=3,tau=24,hash=hadamard"};
enum { SETTINGS = sizeof settings / sizeof *settings };

/* T1, T2: odd sizes, one token, zero rows and equal rows among them. */
static void test_forward(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 32, 48, 64, 65};
    for (size_t i = 0; i < SETTINGS; i++)
        for (size_t k = 0; k < KINDS; k++) {
            fov_setting setting = setting_of(settings[i]);
            problem t;
            problem_make(&t, i * 31 + k, sizes[(i + k) % 6], kinds[k]);
            run_forward(&t, &setting, 1);
            check_outputs(&t, &setting);
            problem_free(&t);
        }
}

/* The weight of one pair, over its whole range: absolute error of P of acos and of five roundings, times tau. */
static void test_weights(void **state) {
    (void)state;
    for (unsigned tau = 1; tau <= 24; tau++)
        for (int i = -1100; i <= 1100; i++) {
            float s = (float)i / 1000, w[2] = {s, s}, slope[2];
            double x = fmin(fmax((double)s, -1), 1), p = 1 - acos(x) / y_pi;
            fov_yoso_weights(w, 2, tau, slope, false);
            double off = 2e-8 + 6 * y_unit * p; /* of p */
            check((double)w[1], pow(p, tau), tau * pow(p + off, tau - 1.) * off + tau * y_unit * pow(p, tau) + 1e-37, "w", tau, 0);
            double want = tau * pow(p, tau - 1.) / (y_pi * sqrt(fmax(1 - x * x, 1e-6)));
            check((double)slope[0], want, want * (tau * 3 * off / fmax(p, 1e-3) + 16 * y_unit) + 1e-5 * (tau == 1) + 1e-37, "w'",
                  tau, 0);
            fov_yoso_weights(w, 1, tau, slope, true);
        }
    float nan = NAN;
    fov_yoso_weights(&nan, 1, 8, NULL, false);
    assert_true(isnan(nan));
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"yoso:tau=25", "yoso:tau=0", "yoso:tau=2.5", "yoso:m=-1", "yoso:m=65537", "yoso:hash=sha"};
    const fov_method_info *const info = &fov_attention_yoso.info;
    fov_setting setting;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(fov_setting_parse(&setting, &info, 1, bad[i], NULL), FOV_ERR_ARGUMENT);
    setting = setting_of("yoso:m=0");
    assert_int_equal(fov_yoso_settings_of(&setting).m, 0);
    assert_int_equal(fov_yoso_settings_of(&setting).tau, 8);
    assert_null(fov_attention_yoso.weights);
}

/* Same bits for any number of threads, and for a text alone. */
static void test_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < SETTINGS; i++) {
        fov_setting setting = setting_of(settings[i]);
        problem t, u;
        problem_make(&t, 500 + i, 33, MASKED | CONVOLVED);
        problem_make(&u, 500 + i, 33, MASKED | CONVOLVED);
        run_forward(&t, &setting, 1);
        run_forward(&u, &setting, 3);
        assert_memory_equal(t.y, u.y, t.y_floats * sizeof *t.y);
        run_backward(&t, &setting, 1);
        run_backward(&u, &setting, 3);
        assert_memory_equal(t.dq, u.dq, t.q_floats * sizeof *t.y);
        assert_memory_equal(t.dk, u.dk, t.k_floats * sizeof *t.y);
        assert_memory_equal(t.dv, u.dv, t.k_floats * sizeof *t.y);
        for (size_t b = 0; b < 3; b++) {
            problem one = u;
            one.p.texts = 1;
            one.p.k_offsets = u.offsets + b;
            one.p.q_offsets = u.q_offsets + b;
            one.p.y_offsets = u.y_offsets + b;
            one.p.hashes = u.hashes + b;
            run_forward(&one, &setting, 2);
            size_t first = u.y_offsets[b] * u.p.ldy, rows = u.y_offsets[b + 1] - u.y_offsets[b];
            assert_memory_equal(t.y + first, u.y + first, rows * u.p.ldy * sizeof *t.y);
        }
        problem_free(&t);
        problem_free(&u);
    }
}

/* T6: no key gives zeros; lengths of q and k do not matter (factors of two are exact); NaN stays visible. */
static void test_invariants(void **state) {
    (void)state;
    static const char *const forms[] = {"yoso", "yoso:m=16,tau=6", "yoso:m=16,tau=6,hash=hadamard"};
    for (size_t i = 0; i < 3; i++) {
        fov_setting setting = setting_of(forms[i]);
        problem t;
        problem_make(&t, 900 + i, 16, LONE);
        run_forward(&t, &setting, 1);
        float *before = rows_of(NULL, t.y_floats);
        memcpy(before, t.y, t.y_floats * sizeof *before);
        for (size_t f = 0; f < t.q_floats; f++) t.q[f] *= 8;
        for (size_t f = 0; f < t.k_floats; f++) t.k[f] *= 0.25F;
        run_forward(&t, &setting, 1);
        assert_memory_equal(t.y, before, t.y_floats * sizeof *before);
        t.k[2 * t.p.ldk] = NAN;
        run_forward(&t, &setting, 1);
        assert_true(isnan(t.y[0]) && isnan(t.y[5 * t.p.ldy]) && t.y[t.p.head_size] == before[t.p.head_size]);
        t.p.key_mask = t.mask;
        memset(t.mask, 0, sizeof t.mask);
        run_forward(&t, &setting, 1);
        for (size_t row = 0; row < 6; row++)
            for (size_t c = 0; c < 32; c++) assert_true(t.y[row * t.p.ldy + c] == 0);
        run_backward(&t, &setting, 1);
        for (size_t c = 0; c < 32; c++) assert_true(t.dq[c] == 0 && t.dk[c] == 0 && t.dv[c] == 0);
        free(before);
        problem_free(&t);
    }
}

/* ---- gradients ---- */

static double dy[Y_MAX][Y_DIM];

static double loss(y_case *r, unsigned tau) {
    double sum = 0;
    y_expectation(r, tau, false);
    y_forward(r);
    for (size_t i = 0; i < r->queries; i++)
        for (size_t c = 0; c < r->d; c++) sum += dy[i][c] * r->o[i][c];
    return sum;
}

/* T4: the reference's own gradient against central differences, so that it may judge the engine's. */
static void test_reference_gradient(void **state) {
    (void)state;
    static y_case r;
    test_rng rng = {77};
    for (unsigned tau = 1; tau <= 8; tau += 7) {
        memset(&r, 0, sizeof r);
        r = (y_case){.queries = 4, .keys = 5, .d = 6, .width = 3, .conv = {.5, -.25, 2}};
        for (size_t i = 0; i < 5; i++) {
            r.there[i] = i != 2;
            r.token[i] = i;
            r.sees[i] = 5;
            for (size_t c = 0; c < 6; c++) {
                r.q[i][c] = (double)test_float(&rng);
                r.k[i][c] = (double)test_float(&rng);
                r.v[i][c] = (double)test_float(&rng);
                dy[i][c] = (double)test_float(&rng);
            }
        }
        loss(&r, tau);
        y_backward(&r, dy);
        static y_case kept;
        kept = r;
        double *x[] = {&r.q[0][0], &r.k[0][0], &r.v[0][0]}, *g[] = {&kept.dq[0][0], &kept.dk[0][0], &kept.dv[0][0]};
        for (size_t a = 0; a < 3; a++)
            for (size_t i = 0; i < (a ? 5 : 4); i++)
                for (size_t c = 0; c < 6; c++) {
                    double *at = x[a] + i * Y_DIM + c, was = *at;
                    *at = was + 1e-6;
                    double up = loss(&r, tau);
                    *at = was - 1e-6;
                    double difference = (up - loss(&r, tau)) / 2e-6;
                    *at = was;
                    double want = g[a][i * Y_DIM + c];
                    check(difference, want, 1e-6 * (1 + fabs(want)), "difference", a, i);
                }
    }
}

static void check_rows(const float *got, size_t ld, size_t first, size_t n, size_t column, size_t d, double want[Y_MAX][Y_DIM],
                       const char *what) {
    double tolerance = 1e-5 * (reference.terms + 1);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) check((double)got[(first + i) * ld + column + c], want[i][c], tolerance, what, first, i);
}

/* T3, T4 on the engine. Tolerance: 170 roundings of the largest term: sums of up to 64 terms, each off by some roundings (products
 * of D, 1 - s^2 of f32 cosines in the slope). Parallel rows are left out: their exact slope, 1000 / pi, multiplies the rounding of
 * q^ - s k^. */
static void test_gradients(void **state) {
    (void)state;
    static const char *const forms[] = {"yoso:tau=8",
                                        "yoso:tau=3,backward=surrogate",
                                        "yoso:tau=4,m=40",
                                        "yoso:tau=4,m=40,backward=surrogate",
                                        "yoso:tau=1,m=7,backward=surrogate",
                                        "yoso:tau=3,m=40,hash=hadamard,backward=surrogate",
                                        "yoso:tau=3,m=21,hash=hadamard"};
    static const size_t sizes[] = {8, 33, 4, 64};
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (size_t k = 0; k < KINDS; k++) {
            if (kinds[k] & IN_PLACE) continue;
            fov_setting setting = setting_of(forms[f]);
            problem t;
            problem_make(&t, 2000 + f * 17 + k, sizes[(f + k) % 4], kinds[k]);
            size_t d = t.p.head_size, ld = t.p.ldq;
            for (size_t c = 0; c < d; c++) t.q[c] = t.dy[c % 16]; /* not parallel to a key */
            run_forward(&t, &setting, 1);
            run_backward(&t, &setting, 1);
            for (size_t b = 0; b < 3; b++)
                for (size_t h = 0; h < 2; h++) {
                    case_make(&reference, &t, &setting, b, h);
                    memset(dy, 0, sizeof dy);
                    for (size_t o = t.y_offsets[b]; o < t.y_offsets[b + 1]; o++)
                        for (size_t c = 0; c < d; c++)
                            dy[t.p.y_query ? t.y_query[o] : o - t.y_offsets[b]][c] += (double)t.dy[o * ld + h * d + c];
                    y_backward(&reference, dy);
                    check_rows(t.dq, ld, t.q_offsets[b], reference.queries, h * d, d, reference.dq, "dq");
                    check_rows(t.dk, ld, t.offsets[b], reference.keys, h * d, d, reference.dk, "dk");
                    check_rows(t.dv, ld, t.offsets[b], reference.keys, h * d, d, reference.dv, "dv");
                }
            for (size_t i = 0; i < t.k_floats + Y_GUARD; i++)
                if (i >= t.k_floats || i % ld >= 2 * d) assert_true(t.dk[i] == -77.25F && t.dv[i] == -77.25F);
            problem_free(&t);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),   cmocka_unit_test(test_weights),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_invariants), cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_gradients),
    };
    kernels = fov_kernels_get(NULL);
    if (!kernels) return 77; /* FOV_CPU names a tier that this processor lacks: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
