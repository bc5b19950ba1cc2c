/* test_yoso.c: YOSO against its formulas in double (support/yoso_reference.h): both forms, masks, causal, positions, convolution,
 * gradients; its hashes against dense products; and the statistics they promise, with fixed seeds. */
#include <stdio.h>

#include "support/attention_problem.h"
#include "support/yoso_reference.h"

static const fov_kernels *kernels;

/* ---- problems ---- */

enum { MASKED = 1, CAUSAL = 2, CONVOLVED = 4, IN_PLACE = 8, LISTED = 16, PLACED = 32, UNHASHED = 64, LONE = 128 };

typedef struct problem {
    attention_problem a;
    uint64_t hashes[Y_TEXTS];
    float conv[2 * 15];
} problem;

/* Zero rows and equal rows among them. */
static void problem_make(problem *t, uint64_t seed, size_t d, int kind, const char *setting) {
    static const size_t lengths[] = {1, 2, 7, 16, 17, 33, 57, 64};
    test_rng rng = {seed * 2 + 12345};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    attention_problem *a = &t->a;
    attention_problem_begin(a, &fov_attention_yoso, setting, 2, d);
    a->p.seed = seed;
    a->p.layer_number = 3;
    a->p.scale = 9; /* plays no part */
    a->p.causal = kind & CAUSAL;
    for (size_t b = 0, texts = kind & LONE ? 1 : 3; b < texts; b++) {
        const size_t n = kind & LONE ? 6 : lengths[test_between(&rng, 0, 7)];
        const size_t queries = kind & PLACED ? test_between(&rng, 1, n) : n;
        attention_problem_add(a, n, queries, kind & LISTED ? test_between(&rng, 0, 9) : queries);
        t->hashes[b] = test_bits(&rng);
    }
    for (size_t i = 0; i < 30; i++) t->conv[i] = test_float(&rng);
    attention_problem_fill(a, &rng, 2, kind & IN_PLACE);
    if (a->k_offsets[a->p.texts] > 3) memset(a->k + 3 * a->p.ldk, 0, d * sizeof *a->k); /* no direction: cosine 0 */
    memcpy(a->q, a->k, d * sizeof *a->q);                                               /* cosine 1 */
    if (kind & MASKED) attention_problem_mask(a, &rng, 3);
    if (kind & PLACED) attention_problem_place(a, &rng, false);
    if (kind & LISTED) attention_problem_list(a, &rng);
    a->p.hashes = kind & UNHASHED ? NULL : t->hashes;
    if (kind & CONVOLVED) a->p.layer = (fov_attention_layer){.conv = t->conv, .conv_width = 5};
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
    void *block = scratch_make(bytes);
    arena = (fov_arena){block, 0, bytes, false};
    fov_yoso_hasher_carve(&arena, &s, p->head_size, &hasher);
    fov_yoso_head h = {.text = text, .head = head};
    fov_yoso_hasher_key(&hasher, p, &h);
    for (size_t first = 0; first < s.m; first += hasher.group) {
        fov_yoso_hasher_draw(&hasher, kernels, first);
        fov_yoso_hasher_codes(&hasher, kernels, s.m - first < hasher.group ? s.m - first : hasher.group, x, n, codes + first * n);
    }
    scratch_free(block, bytes);
}

static void read_rows(const float *x, size_t ld, size_t first, size_t n, size_t column, size_t d, double to[Y_MAX][Y_DIM]) {
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[i][c] = (double)x[(first + i) * ld + column + c];
}

/* Rows as the hashes see them: unit length. */
static float *units_of(double x[Y_MAX][Y_DIM], size_t n, size_t d) {
    float *to = block_make(n * d, NAN);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[i * d + c] = (float)(x[i][c] * (1 / fmax(y_norm(x[i], d), 1e-12)));
    return to;
}

static void case_make(y_case *r, const attention_problem *t, size_t text, size_t head) {
    const fov_attention *p = &t->p;
    fov_yoso_settings s = fov_yoso_settings_of(&t->setting);
    size_t d = p->head_size, q = t->q_offsets[text], k = t->k_offsets[text];
    memset(r, 0, sizeof *r);
    r->queries = problem_queries(t, text);
    r->keys = problem_keys(t, text);
    r->d = d;
    r->width = p->layer.conv_width;
    for (size_t i = 0; i < r->width; i++) r->conv[i] = (double)p->layer.conv[head * r->width + i];
    read_rows(t->q, p->ldq, q, r->queries, head * d, d, r->q);
    read_rows(t->k, p->ldk, k, r->keys, head * d, d, r->k);
    read_rows(t->v, p->ldv, k, r->keys, head * d, d, r->v);
    for (size_t j = 0; j < r->keys; j++) r->there[j] = !p->key_mask || t->mask[k + j];
    for (size_t i = 0; i < r->queries; i++) {
        r->token[i] = p->q_position ? t->q_position[q + i] : p->causal ? i + r->keys - r->queries : i;
        r->sees[i] = p->causal ? r->token[i] + 1 : r->keys;
    }
    if (s.m) {
        uint32_t *codes = malloc(2 * s.m * Y_MAX * sizeof *codes);
        assert_non_null(codes);
        float *a = units_of(r->q, r->queries, d), *b = units_of(r->k, r->keys, d);
        codes_of(p, text, head, &t->setting, a, r->queries, codes);
        codes_of(p, text, head, &t->setting, b, r->keys, codes + s.m * Y_MAX);
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

static void check_outputs(const attention_problem *t) {
    size_t d = t->p.head_size;
    for (size_t b = 0; b < t->p.texts; b++)
        for (size_t h = 0; h < 2; h++) {
            case_make(&reference, t, b, h);
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                size_t i = t->p.y_query ? t->y_query[o] : o - t->y_offsets[b];
                for (size_t c = 0; c < d; c++)
                    check((double)t->y[o * t->p.ldy + h * d + c], reference.o[i][c], reference.bound[i], "y", b, o);
            }
        }
    attention_problem_untouched(t, false);
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
            problem t;
            problem_make(&t, i * 31 + k, sizes[(i + k) % 6], kinds[k], settings[i]);
            attention_problem_forward(&t.a, kernels, 1);
            check_outputs(&t.a);
            attention_problem_free(&t.a);
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
    setting = setting_of(&fov_attention_yoso, "yoso:m=0");
    assert_int_equal(fov_yoso_settings_of(&setting).m, 0);
    assert_int_equal(fov_yoso_settings_of(&setting).tau, 8);
    assert_null(fov_attention_yoso.weights);
}

/* Same bits for any number of threads, and for a text alone. */
static void test_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < SETTINGS; i++) {
        problem t;
        problem_make(&t, 500 + i, 33, MASKED | CONVOLVED, settings[i]);
        attention_problem *a = &t.a;
        attention_problem_forward(a, kernels, 1);
        attention_problem_backward(a, kernels, 1);
        float *before[] = {block_copy(a->y, a->y_floats), block_copy(a->dq, a->q_floats), block_copy(a->dk, a->k_floats),
                           block_copy(a->dv, a->v_floats)};
        attention_problem_forward(a, kernels, 3);
        assert_memory_equal(a->y, before[0], a->y_floats * sizeof(float));
        attention_problem_backward(a, kernels, 3);
        assert_memory_equal(a->dq, before[1], a->q_floats * sizeof(float));
        assert_memory_equal(a->dk, before[2], a->k_floats * sizeof(float));
        assert_memory_equal(a->dv, before[3], a->v_floats * sizeof(float));
        for (size_t b = 0; b < 3; b++) {
            attention_problem one = attention_problem_alone(a, b);
            one.p.hashes = t.hashes + b;
            attention_problem_forward(&one, kernels, 2);
            const size_t first = a->y_offsets[b] * a->p.ldy, rows = problem_queries(a, b);
            assert_memory_equal(a->y + first, before[0] + first, rows * a->p.ldy * sizeof(float));
        }
        for (size_t j = 0; j < 4; j++) free(before[j]);
        attention_problem_free(a);
    }
}

static void scale_rows(float *x, size_t floats, float by) {
    for (size_t i = 0; i < floats; i++) x[i] *= by;
}

/* T6: no key gives zeros; lengths of q and k do not matter (factors of two are exact); NaN stays visible. */
static void test_invariants(void **state) {
    (void)state;
    static const char *const forms[] = {"yoso", "yoso:m=16,tau=6", "yoso:m=16,tau=6,hash=hadamard"};
    for (size_t i = 0; i < 3; i++) {
        problem t;
        test_rng rng = {i + 1};
        problem_make(&t, 900 + i, 16, LONE, forms[i]);
        attention_problem *a = &t.a;
        attention_problem_forward(a, kernels, 1);
        float *before = block_copy(a->y, a->y_floats);
        scale_rows(a->q, a->q_floats, 8);
        scale_rows(a->k, a->k_floats, 0.25F);
        attention_problem_forward(a, kernels, 1);
        assert_memory_equal(a->y, before, a->y_floats * sizeof *before);
        a->k[2 * a->p.ldk] = NAN;
        attention_problem_forward(a, kernels, 1);
        assert_true(isnan(a->y[0]) && isnan(a->y[5 * a->p.ldy]) && a->y[16] == before[16]);
        attention_problem_mask(a, &rng, 0);
        attention_problem_forward(a, kernels, 1);
        attention_problem_backward(a, kernels, 1);
        for (size_t c = 0; c < 32; c++) {
            for (size_t row = 0; row < 6; row++) assert_true(a->y[row * a->p.ldy + c] == 0);
            assert_true(a->dq[c] == 0 && a->dk[c] == 0 && a->dv[c] == 0);
        }
        free(before);
        attention_problem_free(a);
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
            problem t;
            problem_make(&t, 2000 + f * 17 + k, sizes[(f + k) % 4], kinds[k], forms[f]);
            attention_problem *a = &t.a;
            const fov_attention *p = &a->p;
            const size_t d = p->head_size;
            for (size_t c = 0; c < d; c++) a->q[c] = (float)(c % 5) - 1.5F; /* not parallel to a key */
            attention_problem_forward(a, kernels, 1);
            attention_problem_backward(a, kernels, 1);
            for (size_t b = 0; b < 3; b++)
                for (size_t h = 0; h < 2; h++) {
                    case_make(&reference, a, b, h);
                    memset(dy, 0, sizeof dy);
                    for (size_t o = a->y_offsets[b]; o < a->y_offsets[b + 1]; o++)
                        for (size_t c = 0; c < d; c++)
                            dy[p->y_query ? a->y_query[o] : o - a->y_offsets[b]][c] += (double)a->dy[o * p->ldy + h * d + c];
                    y_backward(&reference, dy);
                    check_rows(a->dq, p->ldq, a->q_offsets[b], reference.queries, h * d, d, reference.dq, "dq");
                    check_rows(a->dk, p->ldk, a->k_offsets[b], reference.keys, h * d, d, reference.dk, "dk");
                    check_rows(a->dv, p->ldv, a->k_offsets[b], reference.keys, h * d, d, reference.dv, "dv");
                }
            attention_problem_untouched(a, true);
            attention_problem_free(a);
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
