/* rng.h: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * Counter-based: a draw is a pure function of (seed, text, layer, head, purpose, index), so it is the same for every thread
 * count, batch size, order and instruction tier. */
#ifndef FOV_CORE_RNG_H
#define FOV_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct fov_rng {
    uint32_t key[2];     /* seed and text, mixed */
    uint32_t counter[4]; /* block index (2 words), stream (2 words) */
} fov_rng;

/* One block: out = Philox4x32-10(key, counter). */
static inline void fov_philox(const uint32_t key_in[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key_in[0], k1 = key_in[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* SplitMix64 finaliser: a bijective mix of 64 bits. */
static inline uint64_t fov_mix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* 64-bit hash of a sequence's token ids: the "text" of the key. */
static inline uint64_t fov_hash_ids(const int32_t *ids, size_t count) {
    uint64_t h = fov_mix64(count);
    for (size_t i = 0; i < count; i++) h = fov_mix64(h ^ (uint32_t)ids[i]);
    return h;
}

/* The stream of (seed, text, layer, head, position). position: 0 for draws shared by a text's tokens, 1 + token else. */
static inline fov_rng fov_rng_stream(uint64_t seed, uint64_t text, uint32_t layer, uint32_t head, uint32_t position) {
    uint64_t key = fov_mix64(fov_mix64(seed) ^ text);
    return (fov_rng){{(uint32_t)key, (uint32_t)(key >> 32)}, {0, (layer << 16) | (head & 0xffffu), position, 0}};
}

/* The next four 32-bit draws of the stream. */
static inline void fov_rng_next4(fov_rng *rng, uint32_t out[4]) {
    fov_philox(rng->key, rng->counter, out);
    rng->counter[0]++;
}

/* Uniform in [0, 1) with 24 bits. */
static inline float fov_uniform(uint32_t bits) {
    return (float)(bits >> 8) * 0x1p-24f;
}

#endif
