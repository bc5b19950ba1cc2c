/* test_convolution.c: YOSO's convolution through the raw-buffer interface. The rest of the method does not see it, so its part is
 * the difference between a run with and a run without: y gets the convolution of v, dv the transposed one of dy, dq and dk nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "foveate/attention.h"
#include "support/blocks.h"

enum { TEXTS = 2, HEADS = 2, KEYS = 19, D = 5, MAX_WIDTH = 41, CELLS = TEXTS * HEADS * (KEYS + 4) * D };

typedef struct layers {
    float q[CELLS], k[CELLS], v[CELLS], y[CELLS], dy[CELLS], dq[CELLS], dk[CELLS], dv[CELLS], conv[HEADS * MAX_WIDTH];
    uint8_t mask[TEXTS * KEYS];
    fov_attention_problem p;
} layers;

/* [B, H, T, D]; a problem of `queries` queries and KEYS keys a text. */
static layers *make(const char *method, size_t queries, size_t width, bool masked, bool causal) {
    layers *m = calloc(1, sizeof *m);
    assert_non_null(m);
    test_rng rng = {queries * 77 + width * 5 + 1};
    float *random[] = {m->q, m->k, m->v, m->dy};
    for (size_t r = 0; r < 4; r++)
        for (size_t i = 0; i < CELLS; i++) random[r][i] = test_float(&rng);
    for (size_t i = 0; i < HEADS * MAX_WIDTH; i++) m->conv[i] = test_float(&rng);
    for (size_t i = 0; i < TEXTS * KEYS; i++) m->mask[i] = test_between(&rng, 0, 3) != 0;
    const fov_strides q = {HEADS * queries * D, queries * D, D}, k = {HEADS * KEYS * D, KEYS * D, D};
    m->p = (fov_attention_problem){.method = method,
                                   .texts = TEXTS,
                                   .heads = HEADS,
                                   .head_size = D,
                                   .queries = queries,
                                   .keys = KEYS,
                                   .q = m->q,
                                   .k = m->k,
                                   .v = m->v,
                                   .y = m->y,
                                   .q_strides = q,
                                   .k_strides = k,
                                   .v_strides = k,
                                   .y_strides = q,
                                   .threads = 1,
                                   .causal = causal,
                                   .key_mask = masked ? m->mask : NULL,
                                   .conv = m->conv,
                                   .conv_width = width};
    return m;
}

static void run(layers *m, bool with, bool backward) {
    fov_error error;
    size_t bytes;
    fov_attention_problem p = m->p;
    if (!with) p.conv = NULL;
    const fov_attention_gradients g = {m->dy, m->dq, m->dk, m->dv};
    fov_status status =
        backward ? fov_attention_backward_workspace(&p, &bytes, &error) : fov_attention_workspace(&p, &bytes, &error);
    if (status) fail_msg("%s", error.message);
    void *scratch = scratch_make(bytes);
    status = backward ? fov_attention_backward(&p, &g, scratch, bytes, &error) : fov_attention_forward(&p, scratch, bytes, &error);
    if (status) fail_msg("%s", error.message);
    scratch_free(scratch, bytes);
}

/* Weight of key j for query i. */
static double tap(const layers *m, size_t text, size_t head, size_t i, size_t j) {
    const long token = (long)i + (m->p.causal ? KEYS - (long)m->p.queries : 0), width = (long)m->p.conv_width;
    const long at = (long)j - token + width / 2;
    if (at < 0 || at >= width || (m->p.causal && (long)j > token)) return 0;
    if (m->p.key_mask && !m->mask[text * KEYS + j]) return 0;
    return (double)m->conv[head * m->p.conv_width + (size_t)at];
}

/* What a run with the convolution has more than one without: rows [n] of rows [k], weights tap or its transpose. Both are sums of
 * some 40 terms of the size of the largest value. */
static void check(const layers *m, const float *with, const float *without, const float *x, size_t n, size_t k, bool transposed,
                  const char *what) {
    double largest = 4;
    for (size_t i = 0; i < TEXTS * HEADS * n * D; i++) largest = fmax(largest, fabs((double)without[i]));
    for (size_t b = 0; b < TEXTS; b++)
        for (size_t h = 0; h < HEADS; h++)
            for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < D; c++) {
                    const size_t at = ((b * HEADS + h) * n + i) * D + c;
                    double want = 0;
                    for (size_t j = 0; j < k; j++)
                        want +=
                            (transposed ? tap(m, b, h, j, i) : tap(m, b, h, i, j)) * (double)x[((b * HEADS + h) * k + j) * D + c];
                    const double got = (double)with[at] - (double)without[at];
                    if (!(fabs(got - want) <= 40 * 0x1p-24 * largest))
                        fail_msg("%s of %s, width %zu, causal %d, text %zu, head %zu, row %zu: %.9g, not %.9g", what, m->p.method,
                                 m->p.conv_width, m->p.causal, b, h, i, got, want);
                }
}

static const char *const methods[] = {"yoso:tau=3", "yoso:tau=3,m=16", "yoso:tau=3,m=16,hash=hadamard,backward=surrogate"};

static void test_parts(void **state) {
    (void)state;
    static const size_t widths[] = {1, 3, 9, MAX_WIDTH};
    for (size_t method = 0; method < 3; method++)
        for (size_t w = 0; w < 4; w++)
            for (int kind = 0; kind < 4; kind++)
                for (size_t queries = KEYS - 4; queries <= KEYS + 4; queries += 4) {
                    layers *m = make(methods[method], queries, widths[w], kind & 1, kind & 2), *plain = malloc(sizeof *plain);
                    assert_non_null(plain);
                    run(m, false, false);
                    run(m, false, true);
                    memcpy(plain, m, sizeof *plain);
                    run(m, true, false);
                    check(m, m->y, plain->y, m->v, queries, KEYS, false, "y");
                    memcpy(m->y, plain->y, sizeof m->y); /* the gradients need no y */
                    run(m, true, true);
                    check(m, m->dv, plain->dv, m->dy, KEYS, queries, true, "dv");
                    assert_memory_equal(m->dq, plain->dq, sizeof m->dq);
                    assert_memory_equal(m->dk, plain->dk, sizeof m->dk);
                    free(plain);
                    free(m);
                }
}

static void refused(layers *m, fov_status want, const char *word) {
    fov_error error;
    size_t bytes;
    unsigned char scratch[64];
    assert_int_equal(fov_attention_workspace(&m->p, &bytes, &error), want);
    if (!strstr(error.message, word)) fail_msg("'%s' does not say '%s'", error.message, word);
    assert_int_equal(fov_attention_forward(&m->p, scratch, 0, &error), want);
    assert_int_equal(fov_attention_backward_workspace(&m->p, &bytes, &error), want);
}

static void test_refused(void **state) {
    (void)state;
    layers *m = make("yoso", KEYS, 2, false, false);
    refused(m, FOV_ERR_ARGUMENT, "2");
    m->p.conv_width = 0;
    refused(m, FOV_ERR_ARGUMENT, "conv_width");
    m->p.conv_width = 3;
    const fov_method_info *method;
    for (size_t i = 0; (method = fov_method_at(FOV_PLACE_ATTENTION, i)); i++) {
        m->p.method = method->name;
        if (strcmp(method->name, "yoso")) refused(m, FOV_ERR_UNSUPPORTED, method->name);
    }
    m->p.conv = NULL; /* then its width means nothing */
    m->p.conv_width = 2;
    run(m, true, false);
    free(m);
}

/* l2max looks at the largest norm of all keys. */
static void test_causal(void **state) {
    (void)state;
    layers *m = make("fastmax:normalize=l2max", KEYS, 2, false, true);
    m->p.conv = NULL;
    refused(m, FOV_ERR_UNSUPPORTED, "causal");
    m->p.causal = 0;
    run(m, true, false);
    free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_refused), cmocka_unit_test(test_causal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
