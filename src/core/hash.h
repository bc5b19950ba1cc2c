/* hash.h: a 64-bit hash of bytes, for telling whether they changed; not against someone who looks for collisions. */
#ifndef FOV_CORE_HASH_H
#define FOV_CORE_HASH_H

#include <string.h>

#include "core/rng.h"

static inline uint64_t fov_hash_step(uint64_t lane, const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    lane = (lane ^ word) * 0x9E3779B97F4A7C15u;
    return lane ^ lane >> 32; /* a bijection: a single changed word always tells */
}

/* Continued from `hash`. Four lanes, so that the multiplications overlap; zeros stand for what the last step lacks. */
static inline uint64_t fov_hash_bytes(uint64_t hash, const void *bytes, size_t size) {
    enum { WORD = sizeof(uint64_t), STEP = 4 * WORD };
    unsigned char rest[STEP] = {0};
    uint64_t a = hash, b = hash + 1, c = hash + 2, d = hash + 3; /* no array: it would be multiplied in vectors, which is slower */
    const size_t steps = size / STEP, left = size % STEP;
    const unsigned char *at = bytes;
    if (left) memcpy(rest, at + steps * STEP, left);
    for (size_t i = 0; i < steps + (left > 0); i++) {
        const unsigned char *words = i < steps ? at + i * STEP : rest;
        a = fov_hash_step(a, words);
        b = fov_hash_step(b, words + WORD);
        c = fov_hash_step(c, words + 2 * WORD);
        d = fov_hash_step(d, words + 3 * WORD);
    }
    hash = fov_mix64(fov_mix64(size) ^ a);
    hash = fov_mix64(hash ^ b);
    hash = fov_mix64(hash ^ c);
    return fov_mix64(hash ^ d);
}

#endif
