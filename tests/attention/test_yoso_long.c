/* test_yoso_long.c: the sampled form of YOSO on texts of several chunks of keys and queries, against the mean over hashes of the
 * sums of values with the query's code, in double over all pairs. */
#include <stdio.h>

#include "attention/yoso.h"
#include "support/attention_problem.h"

static const fov_kernels *kernels;

enum { MASKED = 1, CAUSAL = 2, IN_PLACE = 4, LISTED = 8, D = 24, HEADS = 2 };

/* Codes [m][n] of rows of unit length under the hashes of a (text, head). */
static uint32_t *codes_of(const attention_problem *t, size_t text, size_t head, const float *x, size_t n) {
    const fov_yoso_settings s = fov_yoso_settings_of(&t->setting);
    fov_yoso_hasher hasher;
    fov_arena arena = {0};
    fov_yoso_hasher_carve(&arena, &s, D, &hasher);
    const size_t bytes = arena.used;
    void *block = scratch_make(bytes);
    arena = (fov_arena){block, 0, bytes, false};
    fov_yoso_hasher_carve(&arena, &s, D, &hasher);
    const fov_yoso_head h = {.text = text, .head = head};
    fov_yoso_hasher_key(&hasher, &t->p, &h);
    uint32_t *codes = malloc(s.m * n * sizeof *codes);
    assert_non_null(codes);
    for (size_t first = 0; first < s.m; first += hasher.group) {
        fov_yoso_hasher_draw(&hasher, kernels, first);
        fov_yoso_hasher_codes(&hasher, kernels, s.m - first < hasher.group ? s.m - first : hasher.group, x, n, codes + first * n);
    }
    scratch_free(block, bytes);
    return codes;
}

static float *units_of(const float *x, size_t ld, size_t n) {
    float *to = block_make(n * D, 0);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t c = 0; c < D; c++) sum += (double)x[i * ld + c] * (double)x[i * ld + c];
        for (size_t c = 0; c < D; c++) to[i * D + c] = (float)((double)x[i * ld + c] * (1 / sqrt(sum)));
    }
    return to;
}

static void check_head(const attention_problem *t, size_t text, size_t head) {
    const fov_attention *p = &t->p;
    const size_t m = fov_yoso_settings_of(&t->setting).m, queries = problem_queries(t, text), keys = problem_keys(t, text);
    const size_t first = t->k_offsets[text];
    float *q = units_of(t->q + t->q_offsets[text] * p->ldq + head * D, p->ldq, queries);
    float *k = units_of(t->k + first * p->ldk + head * D, p->ldk, keys);
    uint32_t *q_codes = codes_of(t, text, head, q, queries), *k_codes = codes_of(t, text, head, k, keys);
    for (size_t o = t->y_offsets[text]; o < t->y_offsets[text + 1]; o++) {
        const size_t i = p->y_query ? t->y_query[o] : o - t->y_offsets[text], sees = p->causal ? i + keys - queries + 1 : keys;
        double y[D] = {0}, terms = 0, norm = 0;
        for (size_t j = 0; j < sees; j++)
            for (size_t g = 0; g < m && (!p->key_mask || t->mask[first + j]); g++) {
                if (q_codes[g * queries + i] != k_codes[g * keys + j]) continue;
                const float *v = t->v + (first + j) * p->ldv + head * D;
                for (size_t c = 0; c < D; c++) y[c] += (double)v[c];
                for (size_t c = 0; c < D; c++) terms = fmax(terms, fabs((double)v[c]));
            }
        for (size_t c = 0; c < D; c++) norm += y[c] * y[c];
        norm = fmax(sqrt(norm), 1e-12);
        /* Sums of at most keys * m terms, rounded that often at the size of the running sum, which stays below a few dozen terms.
         */
        const double tolerance = 64 * problem_unit * (double)(sees + m) * terms / norm + 4 * problem_unit;
        for (size_t c = 0; c < D; c++)
            check_near((double)t->y[o * p->ldy + head * D + c], y[c] / norm, tolerance, "y", text, head, o * D + c);
    }
    free(q);
    free(k);
    free(q_codes);
    free(k_codes);
}

static void test_chunks(void **state) {
    (void)state;
    static const char *const methods[] = {"yoso:m=17,tau=8", "yoso:m=3,tau=13", "yoso:m=9,tau=24", "yoso:m=70,tau=1",
                                          "yoso:m=17,tau=4,hash=hadamard"};
    static const int kinds[] = {0, MASKED, CAUSAL, IN_PLACE | MASKED, CAUSAL | MASKED | LISTED, CAUSAL | IN_PLACE};
    for (size_t f = 0; f < 5; f++)
        for (size_t kind = 0; kind < 6; kind++) {
            attention_problem t;
            test_rng rng = rng_of(f * 7 + kind);
            attention_problem_begin(&t, &fov_attention_yoso, methods[f], HEADS, D);
            t.p.causal = kinds[kind] & CAUSAL;
            t.p.seed = f;
            attention_problem_add(&t, 300, 257, kinds[kind] & LISTED ? 140 : 257);
            attention_problem_add(&t, 128, 128, 128);
            attention_problem_add(&t, 129, 3, 3);
            attention_problem_fill(&t, &rng, 2, kinds[kind] & IN_PLACE);
            if (kinds[kind] & MASKED) attention_problem_mask(&t, &rng, 3);
            if (kinds[kind] & LISTED) attention_problem_list(&t, &rng);
            attention_problem_forward(&t, kernels, 2);
            for (size_t text = 0; text < 3; text++)
                for (size_t head = 0; head < HEADS; head++) check_head(&t, text, head);
            attention_problem_untouched(&t, false);
            attention_problem_free(&t);
        }
}

/* A value that is not finite, in the last chunk of keys, shows in every row of its text and in no other's. */
static void test_poison(void **state) {
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        attention_problem t;
        test_rng rng = rng_of(3);
        attention_problem_begin(&t, &fov_attention_yoso, "yoso:m=33", HEADS, D);
        t.p.causal = causal;
        attention_problem_add(&t, 300, 300, 300);
        attention_problem_add(&t, 140, 140, 140);
        attention_problem_fill(&t, &rng, 2, false);
        t.v[299 * t.p.ldv + 5] = INFINITY;
        attention_problem_forward(&t, kernels, 1);
        for (size_t row = 0; row < 300; row++) assert_true(isnan(t.y[row * t.p.ldy]) && !isnan(t.y[row * t.p.ldy + D]));
        for (size_t row = 300; row < 440; row++) assert_true(!isnan(t.y[row * t.p.ldy]));
        attention_problem_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chunks), cmocka_unit_test(test_poison)};
    kernels = fov_kernels_get(NULL);
    if (!kernels) return 77; /* FOV_CPU names a tier that this processor lacks: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
