/* hash.h: a 64-bit hash of bytes, for telling whether they changed; not against someone who looks for collisions. */
#ifndef FOV_CORE_HASH_H
#define FOV_CORE_HASH_H

#include <string.h>

#include "core/rng.h"

/* Continued from `hash`. Four lanes, so that the multiplications overlap. */
static inline uint64_t fov_hash_bytes(uint64_t hash, const void *bytes, size_t size) {
    enum { LANES = 4, STEP = LANES * sizeof(uint64_t) };
    const unsigned char *at = bytes;
    uint64_t lanes[LANES], words[LANES];
    for (size_t l = 0; l < LANES; l++) lanes[l] = hash + l;
    for (size_t left = size; left;) {
        const size_t n = left < STEP ? left : STEP;
        if (n < STEP) memset(words, 0, STEP);
        memcpy(words, at, n);
        for (size_t l = 0; l < LANES; l++) {
            lanes[l] = (lanes[l] ^ words[l]) * 0x9E3779B97F4A7C15u;
            lanes[l] ^= lanes[l] >> 32; /* a bijection: a single changed word always tells */
        }
        at += n;
        left -= n;
    }
    hash = fov_mix64(size);
    for (size_t l = 0; l < LANES; l++) hash = fov_mix64(hash ^ lanes[l]);
    return hash;
}

#endif
