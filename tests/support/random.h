/* random.h: reproducible numbers for tests (xorshift64*), independent of the engine's own generator. */
#ifndef FOV_TESTS_SUPPORT_RANDOM_H
#define FOV_TESTS_SUPPORT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct test_rng {
    uint64_t state; /* not 0 */
} test_rng;

static inline uint64_t test_bits(test_rng *rng) {
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return rng->state * 0x2545F4914F6CDD1Du;
}

/* In [low, high]. */
static inline size_t test_between(test_rng *rng, size_t low, size_t high) {
    return low + (size_t)(test_bits(rng) >> 11) % (high - low + 1);
}

/* In [-1, 1). */
static inline float test_float(test_rng *rng) {
    return (float)((double)(test_bits(rng) >> 40) * 0x1p-23 - 1);
}

#endif
