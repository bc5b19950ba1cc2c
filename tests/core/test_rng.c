/* test_rng.c: Philox4x32-10 against the known answers of Random123 (kat_vectors), and the streams made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/rng.h"

static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t out[4];
        fov_philox(kat[i].key, kat[i].counter, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

static void test_mix(void **state) { /* SplitMix64 seeded with 0: its published first outputs */
    (void)state;
    assert_true(fov_mix64(0) == 0xe220a8397b1dcdafu);
    assert_true(fov_mix64(0x9e3779b97f4a7c15u) == 0x6e789e6aa1b965f4u);
}

static void test_streams(void **state) {
    (void)state;
    enum { STREAMS = 6 };
    fov_rng s[STREAMS] = {fov_rng_stream(1, 2, 3, 4, 5), fov_rng_stream(2, 2, 3, 4, 5), fov_rng_stream(1, 3, 3, 4, 5),
                          fov_rng_stream(1, 2, 4, 4, 5), fov_rng_stream(1, 2, 3, 5, 5), fov_rng_stream(1, 2, 3, 4, 6)};
    fov_rng again = fov_rng_stream(1, 2, 3, 4, 5);
    uint32_t out[STREAMS][4], next[4];
    for (size_t i = 0; i < STREAMS; i++) fov_rng_next4(&s[i], out[i]);
    fov_rng_next4(&again, next);
    assert_memory_equal(out[0], next, sizeof next);
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t j = 0; j < i; j++) assert_memory_not_equal(out[i], out[j], sizeof next);
    fov_rng_next4(&again, next);
    assert_memory_not_equal(out[0], next, sizeof next);
}

static void test_hash(void **state) {
    (void)state;
    const int32_t a[] = {101, 7, 8, 102}, b[] = {101, 8, 7, 102}, c[] = {101, 7, 8, 102, 0};
    assert_true(fov_hash_ids(a, 4) == fov_hash_ids(c, 4));
    assert_true(fov_hash_ids(a, 4) != fov_hash_ids(b, 4));
    assert_true(fov_hash_ids(a, 4) != fov_hash_ids(c, 5));
    assert_true(fov_hash_ids(a, 0) != fov_hash_ids(c + 4, 1));
}

static void test_uniform(void **state) {
    (void)state;
    assert_true(fov_uniform(0) == 0.0f);
    assert_true(fov_uniform(UINT32_MAX) == 1.0f - 0x1p-24f);
    enum { BLOCKS = 25000 };
    fov_rng rng = fov_rng_stream(42, 0, 0, 0, 0);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        uint32_t bits[4];
        fov_rng_next4(&rng, bits);
        for (size_t j = 0; j < 4; j++) {
            const double u = (double)fov_uniform(bits[j]);
            sum += u;
            squares += u * u;
        }
    }
    const double n = 4 * BLOCKS; /* within 5 standard errors of 1/2 and 1/3: variances 1/12 and 4/45 */
    assert_true(fabs(sum / n - 0.5) < 5 * sqrt(1.0 / 12 / n));
    assert_true(fabs(squares / n - 1.0 / 3) < 5 * sqrt(4.0 / 45 / n));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers), cmocka_unit_test(test_mix),
                                       cmocka_unit_test(test_streams), cmocka_unit_test(test_hash), cmocka_unit_test(test_uniform)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
