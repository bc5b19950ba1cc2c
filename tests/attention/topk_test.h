/* topk_test.h: what top-k attention must be whichever scores choose the keys: right on every tier, in both ways and the same bits
 * in all. For test_topk.c and test_topk_int8.c. */
#ifndef FOV_TESTS_TOPK_TEST_H
#define FOV_TESTS_TOPK_TEST_H

#include "support/topk_problem.h"

static const size_t topk_ks[] = {1, 2, 7, 64, 1000};
enum { KS = sizeof topk_ks / sizeof *topk_ks };

static inline float *y_of(const problem *t) {
    float *y = block_of(t->y_floats, sizeof *y);
    memcpy(y, t->y, t->y_floats * sizeof *y);
    return y;
}

static inline void topk_check_reference(const plan *how, unsigned threads) {
    problem t;
    problem_make(&t, how);
    FOR_EACH_TIER(kernels) {
        run_forward(&t, kernels, 1);
        check_outputs(&t);
        float *y = y_of(&t);
        stored s = run_stored(&t, kernels, threads);
        check_stored(&t, &s);
        assert_memory_equal(t.y, y, t.y_floats * sizeof *y); /* the two ways make the same bits */
        free(y);
        stored_free(&s);
    }
    problem_free(&t);
}

/* Same bits for every thread count, and for a text alone, in a workspace for longer ones. */
static inline void topk_check_bits(const plan *how) {
    problem t;
    problem_make(&t, how);
    FOR_EACH_TIER(kernels) {
        run_forward(&t, kernels, 1);
        float *y = y_of(&t);
        run_forward(&t, kernels, 5);
        assert_memory_equal(t.y, y, t.y_floats * sizeof *y);
        for (size_t b = 0; b < t.texts; b++) {
            problem one = t;
            one.p.texts = 1;
            one.p.q_offsets += b;
            one.p.k_offsets += b;
            one.p.y_offsets += b;
            bench w = bench_make(&one, kernels, 2, 333, false);
            reset_output(&one);
            fov_attention_topk.forward(&w.run, &one.p);
            bench_free(&w);
            for (size_t o = t.y_offsets[b]; o < t.y_offsets[b + 1]; o++)
                assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, t.p.heads * t.p.head_size * sizeof *y);
        }
        free(y);
    }
    problem_free(&t);
}

/* What a query may not see does not matter, not even when it is `now`, large or NaN; a NaN it sees makes its head NaN. */
static inline void topk_check_unseen(const plan *how, float now) {
    FOR_EACH_TIER(kernels) {
        problem t;
        problem_make(&t, how);
        run_forward(&t, kernels, 1);
        float *y = y_of(&t);
        const size_t last = t.k_offsets[t.texts] - 1, d = t.p.heads * t.p.head_size;
        for (size_t i = 0; i < t.k_offsets[t.texts]; i++)
            for (size_t c = 0; c < d && (how->masked ? !t.mask[i] && i >= t.k_offsets[0] : i == last); c++)
                t.k[i * t.p.ldk + c] = t.v[i * t.p.ldv + c] = now;
        run_forward(&t, kernels, 1);
        for (size_t o = t.y_offsets[0]; o < t.y_offsets[t.texts] - how->causal; o++)
            assert_memory_equal(t.y + o * t.p.ldy, y + o * t.p.ldy, d * sizeof *y);
        for (size_t c = 0; how->causal && isnan(now) && c < d; c++) assert_true(isnan(t.y[last * t.p.ldy + c]));
        free(y);
        problem_free(&t);
    }
}

#endif
