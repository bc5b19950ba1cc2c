/* test_fastmax_stream.c: Fastmax one position at a time: every position against the reference in double and against the causal
 * batch form, on every tier, for streams longer and shorter than a block; memory, reset, what is refused, and an allocator that
 * fails. */
#include <stdio.h>

#include "attention/fastmax_stream.h"
#include "foveate/attention.h"
#include "support/failing_alloc.h"
#include "support/fastmax_reference.h"

enum { LENGTH = 75, STREAMS = 16 };

/* Method string number n: order, normalisation and block. */
static const char *stream_variant(size_t n, char text[96]) {
    static const char *const normalize[] = {"none", "standardize"};
    static const int blocks[] = {1, 7, 16, 256};
    snprintf(text, 96, "fastmax:p=%zu,normalize=%s,form=moments,block=%d", 1 + n % 2, normalize[n / 2 % 2], blocks[n / 4 % 4]);
    return text;
}

/* A causal text of LENGTH positions. p = 1 without normalising: |x| < 1, so that its row sums stay away from 0. */
static void make(attention_problem *t, size_t n) {
    static const size_t sizes[] = {1, 2, 5, 31, 32, 33};
    char text[96];
    test_rng rng = rng_of(n);
    attention_problem_begin(t, &fov_attention_fastmax, stream_variant(n, text), test_between(&rng, 1, 3),
                            sizes[test_between(&rng, 0, 5)]);
    attention_problem_add(t, LENGTH, LENGTH, LENGTH);
    attention_problem_fill(t, &rng, n % 4 ? 1.5f : 1 / sqrtf(sqrtf((float)t->p.head_size)), false);
    t->p.causal = true;
}

static fov_fastmax_state *state_make(const attention_problem *t, const fov_kernels *kernels, void **block, size_t *bytes) {
    *bytes = fov_fastmax_state_bytes(&t->setting, t->p.heads, t->p.head_size);
    *block = scratch_make(*bytes);
    return fov_fastmax_state_make(&t->setting, kernels, t->p.heads, t->p.head_size, t->p.scale, *block, *bytes);
}

/* Position i of the problem, to y. */
static void step(const attention_problem *t, fov_fastmax_state *s, size_t i, float *y) {
    fov_fastmax_state_step(s, y ? t->q + i * t->p.ldq : NULL, t->k + i * t->p.ldk, t->v + i * t->p.ldv, y);
}

static void test_reference(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < 4 * STREAMS; n++) {
        attention_problem t;
        make(&t, n);
        const size_t d = t.p.head_size, width = t.p.heads * d;
        float *y = block_make(LENGTH * width, block_canary);
        void *block;
        size_t bytes;
        fov_fastmax_state *s = state_make(&t, kernels, &block, &bytes);
        for (size_t i = 0; i < LENGTH; i++) step(&t, s, i, y + i * width);
        for (size_t h = 0; h < t.p.heads; h++) {
            long long last[LENGTH];
            for (size_t i = 0; i < LENGTH; i++) last[i] = (long long)i;
            const reference r = {.queries = LENGTH,
                                 .keys = LENGTH,
                                 .d = d,
                                 .p = (int)fov_setting_get(&t.setting, "p"),
                                 .normalize = (int)fov_setting_get(&t.setting, "normalize"),
                                 .factor = (double)t.p.scale,
                                 .last = last,
                                 .q = gather(t.q, 0, LENGTH, t.p.ldq, h, d),
                                 .k = gather(t.k, 0, LENGTH, t.p.ldk, h, d),
                                 .v = gather(t.v, 0, LENGTH, t.p.ldv, h, d),
                                 .y = doubles(LENGTH * d),
                                 .slack = doubles(LENGTH * d)};
            reference_run(&r);
            for (size_t i = 0; i < LENGTH * d; i++)
                check_near((double)y[i / d * width + h * d + i % d], r.y[i], r.slack[i], "y", n, h, i);
            double *blocks[] = {r.q, r.k, r.v, r.y, r.slack};
            for (size_t i = 0; i < 5; i++) free(blocks[i]);
        }
        block_check(y, LENGTH * width);
        scratch_free(block, bytes);
        free(y);
        attention_problem_free(&t);
    }
}

/* The batch form with the same block groups its sums alike: the same bits. So do positions that are only added, and a state that
 * was reset. */
static void test_batch(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (size_t n = 0; n < STREAMS; n++) {
        attention_problem t;
        make(&t, 100 + n);
        attention_problem_forward(&t, kernels, 1);
        const size_t width = t.p.heads * t.p.head_size;
        float *y = block_make(width, block_canary);
        void *block;
        size_t bytes;
        fov_fastmax_state *s = state_make(&t, kernels, &block, &bytes);
        for (size_t round = 0; round < 3; round++) {
            for (size_t i = 0; i < LENGTH; i++) {
                const bool only_added = round == 1 && i % 3;
                step(&t, s, i, only_added ? NULL : y);
                if (!only_added) assert_memory_equal(y, t.y + i * t.p.ldy, width * sizeof *y);
            }
            fov_fastmax_state_clear(s);
        }
        scratch_free(block, bytes);
        free(y);
        attention_problem_free(&t);
    }
}

/* y may be q. */
static void test_in_place(void **state) {
    (void)state;
    const fov_kernels *kernels = fov_kernels_get(NULL);
    attention_problem t;
    make(&t, 203);
    const size_t width = t.p.heads * t.p.head_size;
    void *block;
    size_t bytes;
    attention_problem_forward(&t, kernels, 1);
    fov_fastmax_state *s = state_make(&t, kernels, &block, &bytes);
    for (size_t i = 0; i < LENGTH; i++) {
        float *q = t.q + i * t.p.ldq;
        fov_fastmax_state_step(s, q, t.k + i * t.p.ldk, t.v + i * t.p.ldv, q);
        assert_memory_equal(q, t.y + i * t.p.ldy, width * sizeof *q);
    }
    scratch_free(block, bytes);
    attention_problem_free(&t);
}

/* ---- the public functions ---- */

static fov_fastmax_stream *create(const char *method, size_t heads, size_t head_size, float scale, const fov_allocator *allocator) {
    fov_error error;
    fov_fastmax_stream *s = NULL;
    if (fov_fastmax_stream_create(method, heads, head_size, scale, allocator, &s, &error)) fail_msg("%s", error.message);
    return s;
}

/* Through the interface: scale 0 is 1 / sqrt(D), the batch form's rows come out, NaN stays until the reset. */
static void test_interface(void **state) {
    (void)state;
    enum { T = 40, H = 2, D = 6, C = H * D };
    float q[T * C], k[T * C], v[T * C], y[T * C], one[C], bad[C];
    float *random[] = {q, k, v};
    test_rng rng = rng_of(7);
    fov_error error;
    size_t bytes;
    for (size_t r = 0; r < 3; r++)
        for (size_t i = 0; i < T * C; i++) random[r][i] = test_float(&rng);
    for (size_t c = 0; c < C; c++) bad[c] = NAN;
    for (int scaled = 0; scaled < 2; scaled++) {
        const fov_attention_problem p = {.method = "fastmax:form=moments",
                                         .texts = 1,
                                         .heads = H,
                                         .head_size = D,
                                         .queries = T,
                                         .keys = T,
                                         .q = q,
                                         .k = k,
                                         .v = v,
                                         .y = y,
                                         .scale = scaled ? .3f : 0,
                                         .causal = 1};
        assert_int_equal(fov_attention_workspace(&p, &bytes, &error), FOV_OK);
        void *scratch = scratch_make(bytes);
        assert_int_equal(fov_attention_forward(&p, scratch, bytes, &error), FOV_OK);
        scratch_free(scratch, bytes);
        fov_fastmax_stream *s = create(NULL, H, D, p.scale, NULL);
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < T; i++) {
                assert_int_equal(fov_fastmax_stream_step(s, q + i * C, k + i * C, v + i * C, one, &error), FOV_OK);
                assert_memory_equal(one, y + i * C, sizeof one);
            }
            assert_int_equal(fov_fastmax_stream_step(s, q, k, bad, one, NULL), FOV_OK);
            assert_int_equal(fov_fastmax_stream_step(s, q, k, v, one, NULL), FOV_OK);
            for (size_t c = 0; c < C; c++) assert_true(isnan(one[c]));
            fov_fastmax_stream_reset(s);
        }
        fov_fastmax_stream_free(s);
    }
}

/* A stream takes its memory when it is made: D F floats a head (F as in the header), the rest linear in D^2 and in the block. */
static void test_memory(void **state) {
    (void)state;
    enum { H = 3, D = 64, STEPS = 600 };
    static const float x[H * D] = {.5f, -1, 2};
    float y[H * D];
    const struct {
        const char *method;
        size_t features;
    } cases[] = {{"fastmax:p=1,block=16", 1 + D}, {"fastmax:p=2,block=16", 1 + D + D * (D + 1) / 2}};
    for (size_t i = 0; i < 2; i++) {
        failing_alloc memory;
        failing_alloc_init(&memory, 0);
        fov_fastmax_stream *s = create(cases[i].method, H, D, 0, &memory.allocator);
        const size_t calls = memory.calls, state_floats = H * D * cases[i].features;
        const size_t rest = H * cases[i].features + cases[i].features + H * 2 * 16 * D + 3 * D * D + 60 * 16 + 4 * 16 * D + 1024;
        assert_in_range(memory.peak_bytes, state_floats * sizeof(float),
                        (state_floats + rest + fov_gemm_scratch()) * sizeof(float));
        for (size_t j = 0; j < STEPS; j++) assert_int_equal(fov_fastmax_stream_step(s, x, x, x, y, NULL), FOV_OK);
        fov_fastmax_stream_reset(s);
        assert_int_equal(memory.calls, calls);
        fov_fastmax_stream_free(s);
        failing_alloc_check(&memory);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    for (size_t n = 1;; n++) {
        failing_alloc memory;
        failing_alloc_init(&memory, n);
        fov_fastmax_stream *s = NULL;
        fov_error error;
        const fov_status status = fov_fastmax_stream_create(NULL, 2, 8, 0, &memory.allocator, &s, &error);
        if (!status) fov_fastmax_stream_free(s);
        failing_alloc_check(&memory);
        if (!memory.failed) break;
        assert_int_equal(status, FOV_ERR_MEMORY);
        assert_null(s);
    }
    fov_fastmax_stream *s = NULL;
    const size_t huge[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 33, (size_t)1 << 22};
    for (size_t i = 0; i < 4; i++) {
        failing_alloc memory; /* it refuses what does not fit in size_t; the last is 2^68 bytes */
        failing_alloc_init(&memory, 2);
        assert_int_equal(fov_fastmax_stream_create("fastmax:p=2", 1, huge[i], 1, &memory.allocator, &s, NULL), FOV_ERR_MEMORY);
        assert_int_equal(
            fov_fastmax_state_bytes(&(fov_setting){.info = &fov_attention_fastmax.info, .values = {2, 0, 0, 16}}, 1, huge[i]),
            SIZE_MAX);
    }
}

static void refused(const char *method, size_t heads, size_t head_size, float scale, fov_status want, const char *word) {
    fov_error error;
    fov_fastmax_stream *s = NULL;
    assert_int_equal(fov_fastmax_stream_create(method, heads, head_size, scale, NULL, &s, &error), want);
    if (!strstr(error.message, word)) fail_msg("'%s' does not say '%s'", error.message, word);
    assert_null(s);
}

static void test_arguments(void **state) {
    (void)state;
    refused(NULL, 0, 8, 0, FOV_ERR_ARGUMENT, "heads");
    refused(NULL, 1, 0, 0, FOV_ERR_ARGUMENT, "head_size");
    refused(NULL, 1, 8, -1, FOV_ERR_ARGUMENT, "scale");
    refused(NULL, 1, 8, NAN, FOV_ERR_ARGUMENT, "scale");
    refused(NULL, 1, 8, INFINITY, FOV_ERR_ARGUMENT, "scale");
    refused("fastmax:p=3", 1, 8, 0, FOV_ERR_ARGUMENT, "p");
    refused("fastmax:block=0", 1, 8, 0, FOV_ERR_ARGUMENT, "block");
    refused("dense", 1, 8, 0, FOV_ERR_ARGUMENT, "fastmax");
    refused("fastmax:normalize=l2max", 1, 8, 0, FOV_ERR_UNSUPPORTED, "l2max");
    fov_error error;
    assert_int_equal(fov_fastmax_stream_create(NULL, 1, 8, 0, NULL, NULL, &error), FOV_ERR_ARGUMENT);
    fov_fastmax_stream *s = create(NULL, 1, 2, 0, NULL);
    const float x[2] = {1, 2};
    float y[2] = {7, 7};
    assert_int_equal(fov_fastmax_stream_step(NULL, x, x, x, y, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_fastmax_stream_step(s, x, NULL, x, y, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_fastmax_stream_step(s, x, x, NULL, y, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_fastmax_stream_step(s, NULL, x, x, y, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_fastmax_stream_step(s, x, x, x, NULL, &error), FOV_ERR_ARGUMENT);
    assert_true(y[0] == 7 && y[1] == 7);
    assert_int_equal(fov_fastmax_stream_step(s, x, x, x, y, &error), FOV_OK); /* none of those was added: y is v */
    for (size_t c = 0; c < 2; c++) assert_true(fabsf(y[c] - x[c]) <= 1e-6f);
    fov_fastmax_stream_free(s);
    fov_fastmax_stream_reset(NULL);
    fov_fastmax_stream_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_batch),  cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_interface), cmocka_unit_test(test_memory), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
