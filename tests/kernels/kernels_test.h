/* kernels_test.h: what the kernel tests share: random numbers, guarded buffers, the tiers that can run here.
 *
 * Bounds of the tests, against double precision. Where values are sums: six deviations of the rounding error of a plain f32 loop
 * over that very value, each rounding taken as independent and uniform (Higham & Mary, A new approach to probabilistic rounding
 * error analysis, SIAM J. Sci. Comput. 41, 2019); exceeded by chance once in 5e8, and for one element as sharp as for many. A
 * worst-case bound, n u sum |x w|, would let through errors hundreds of times as large. Elsewhere: at most twice the error of a
 * plain f32 loop, where that error counts as at least half a unit in the last place of the largest value (no f32 result can promise
 * less). */
#ifndef FOV_KERNELS_TEST_H
#define FOV_KERNELS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "support/tiers.h"

static uint64_t test_state = 88172645463325252u;

static inline uint32_t test_bits(void) { /* xorshift64*, Vigna 2016 */
    test_state ^= test_state >> 12;
    test_state ^= test_state << 25;
    test_state ^= test_state >> 27;
    return (uint32_t)((test_state * 2685821657736338717u) >> 32);
}

static inline size_t test_below(size_t n) {
    return test_bits() % n;
}

static inline float test_float(void) { /* about normal: the sum of four uniforms */
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += (float)(test_bits() >> 8) * 0x1p-24f - 0.5f;
    return sum * 1.7f;
}

/* `count` values between two guards, `offset` floats past a 64-byte boundary. */
enum { GUARD = 64 };
typedef struct guarded {
    float *block, *data;
    size_t count;
} guarded;

static inline float test_canary(void) { /* a quiet NaN: poisons what reads it */
    const uint32_t bits = 0x7fc0dead;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline guarded guarded_make(size_t count, size_t offset) {
    guarded g = {.count = count};
    const size_t total = (count + offset + 2 * GUARD + 15) / 16 * 16;
    g.block = aligned_alloc(64, total * sizeof(float));
    assert_non_null(g.block);
    g.data = g.block + GUARD + offset;
    for (size_t i = 0; i < total; i++) g.block[i] = test_canary();
    return g;
}

static inline guarded guarded_random(size_t count, size_t offset) {
    guarded g = guarded_make(count, offset);
    for (size_t i = 0; i < count; i++) g.data[i] = test_float();
    return g;
}

static inline bool same_bits(const float *a, const float *b, size_t count) {
    return count == 0 || !memcmp(a, b, count * sizeof *a);
}

static inline bool is_canary(float value) {
    const float canary = test_canary();
    return same_bits(&value, &canary, 1);
}

static inline void guarded_check(const guarded *g) {
    for (size_t i = 0; i < GUARD; i++) {
        assert_true(is_canary(g->data[-1 - (ptrdiff_t)i]));
        if (g->data + g->count + i < g->block + (g->count + 2 * GUARD + 15) / 16 * 16)
            assert_true(is_canary(g->data[g->count + i]));
    }
}

static inline void guarded_free(guarded *g) {
    free(g->block);
}

static const double f32_unit = 0x1p-24; /* half a unit in the last place of 1 */

/* Variance of the rounding errors of values: their sum of squares times this. */
static inline double rounding(double square) {
    return square * f32_unit * f32_unit / 3;
}

/* A sum as a plain f32 loop makes it: its exact value, the variance of its rounding errors, and the most they can come to (running
 * error analysis; Higham, Accuracy and Stability of Numerical Algorithms, 3.3): for addends that repeat, whose errors do too. */
typedef struct plain_sum {
    double exact, variance, worst;
} plain_sum;

static inline void plain_add(plain_sum *s, double a, double b) {
    const double product = a * b;
    s->exact += product;
    s->variance += rounding(product * product + s->exact * s->exact);
    s->worst += f32_unit * (fabs(product) + fabs(s->exact));
}

/* |ours - exact| within six deviations, plus `more`, plus the last rounding. */
static inline void check_rounded(double exact, float ours, double variance, double more, const char *what) {
    const double bound = 6 * sqrt(variance) + more + fabs(exact) * f32_unit + (double)FLT_TRUE_MIN,
                 error = fabs((double)ours - exact);
    if (!(error <= bound)) fail_msg("%s: error %g of %g, bound %g", what, error, exact, bound);
}

/* Errors of ours and of the plain loop, over one case. */
typedef struct errors {
    double ours, plain, largest;
} errors;

static inline void errors_add(errors *e, double exact, float ours, float plain) {
    const double a = fabs((double)ours - exact), b = fabs((double)plain - exact);
    if (!(a <= e->ours)) e->ours = a; /* a NaN is the worst error */
    if (b > e->plain) e->plain = b;
    if (fabs(exact) > e->largest) e->largest = fabs(exact);
}

static inline void errors_check(const errors *e, const char *what) {
    const double least = e->largest * 0x1p-24 + (double)FLT_TRUE_MIN / 2;
    const double bound = 2 * (e->plain > least ? e->plain : least);
    if (!(e->ours <= bound)) fail_msg("%s: error %g, plain loop %g, largest %g", what, e->ours, e->plain, e->largest);
}

#define FOR_TIERS(k) for (size_t tier_ = 0; (k = tier_number(tier_)) != NULL; tier_++)

#endif
