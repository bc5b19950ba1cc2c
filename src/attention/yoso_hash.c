/* yoso_hash.c: the hash functions of sampled YOSO: bit t of a bucket is 1 where projection t is > 0.
 *
 * Gaussian: projections on tau rows of N(0, 1) per hash; two vectors collide with probability (1 - theta / pi)^tau exactly.
 * Hadamard (Zeng et al. 2021, section 4; Andoni et al. 2015): z = H D3 H D2 H D1 x with random signs D; each tau entries of z are
 * a hash, floor(padded / tau) per z. Its bits are nearly orthogonal directions, so distant vectors collide a little less often.
 * Draws are a function of (seed, text, layer, head, hash number). */
#include <math.h>
#include <string.h>

#include "attention/yoso.h"

enum { COLUMNS = 64, ROWS = 128, LANES = FOV_YOSO_LANES, PURPOSE = 0x594F534F }; /* "YOSO": apart from other methods' draws */

static size_t padded_size(size_t d) {
    size_t padded = 32; /* tau <= 24 bits come from one z */
    while (padded < d) padded *= 2;
    return padded;
}

void fov_yoso_hasher_carve(fov_arena *arena, const fov_yoso_settings *s, size_t d, fov_yoso_hasher *hasher) {
    *hasher = (fov_yoso_hasher){.s = *s, .d = d, .padded = padded_size(d)};
    if (s->hadamard) {
        hasher->group = hasher->padded / s->tau;
        hasher->signs = fov_arena_take(arena, fov_mul(3, hasher->padded), sizeof(float));
        hasher->lanes = fov_arena_take(arena, fov_mul(LANES, hasher->padded), sizeof(float));
        return;
    }
    hasher->group = COLUMNS / s->tau;
    size_t columns = hasher->group * s->tau;
    hasher->matrix = fov_arena_take(arena, fov_mul(columns, d), sizeof(float));
    hasher->packed = fov_arena_take(arena, fov_mul(fov_panels(ROWS) * FOV_PANEL, d), sizeof(float));
    hasher->projected = fov_arena_take(arena, fov_mul(ROWS, columns), sizeof(float));
    hasher->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
}

void fov_yoso_hasher_key(fov_yoso_hasher *hasher, const fov_attention *p, const fov_yoso_head *h) {
    uint64_t text = p->hashes ? p->hashes[h->text] : h->text;
    hasher->rng = fov_rng_stream(p->seed, text, p->layer_number, (uint32_t)h->head, 0);
    hasher->rng.counter[3] = PURPOSE;
}

/* ln u for u in (0, 1), by the series of atanh around 1; error below 1e-7 of the value or so: signs are what is used. */
static float log_of(float u) {
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    int32_t exponent = (int32_t)((bits + (64u << 23) - 0x3F3504F3u) >> 23) - 64; /* mantissa in [sqrt 1/2, sqrt 2) */
    bits -= (uint32_t)exponent << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    float f = (m - 1) / (m + 1), g = f * f;
    return 0.693147181F * (float)exponent + 2 * f * (1 + g * (1 / 3.F + g * (0.2F + g * (1 / 7.F + g / 9))));
}

/* sin(2 pi a) for |a| <= 1/4: Taylor to the 13th power, error below 1e-8. */
static float sine(float a) {
    float x = 6.28318531F * a, g = x * x;
    return x * (1 + g * (-1 / 6.F + g * (1 / 120.F + g * (-1 / 5040.F + g * (1 / 362880.F + g * (-1 / 39916800.F))))));
}

/* count normal draws by Box and Muller, from block `block` of the stream on; in chunks, which compilers make vectors of. */
static void normals(const fov_rng *rng, uint32_t block, size_t count, float *to) {
    enum { PAIRS = 32 };
    for (size_t at = 0; at < count; at += 2 * PAIRS) {
        uint32_t a[PAIRS], b[PAIRS], bits[4];
        float first[PAIRS], second[PAIRS], both[2 * PAIRS];
        for (size_t i = 0; i < PAIRS; i += 2, block++) {
            fov_philox(rng->key, (const uint32_t[4]){block, rng->counter[1], rng->counter[2], rng->counter[3]}, bits);
            a[i] = bits[0], b[i] = bits[1], a[i + 1] = bits[2], b[i + 1] = bits[3];
        }
        for (size_t i = 0; i < PAIRS; i++) {
            float radius = sqrtf(-2 * log_of(((float)(int32_t)(a[i] >> 9) + 0.5F) * 0x1p-23F)); /* exact, never 0 or 1 */
            float turn = (float)((int32_t)b[i] >> 8) * 0x1p-24F;                                /* [-1/2, 1/2) */
            float fold = fabsf(0.5F - fabsf(turn - 0.25F)) - 0.25F; /* exact; choices would keep this loop from being vectors */
            first[i] = radius * sine(fold);
            second[i] = radius * sine(0.25F - fabsf(turn));
        }
        for (size_t i = 0; i < PAIRS; i++) both[2 * i] = first[i], both[2 * i + 1] = second[i];
        memcpy(to + at, both, (count - at < 2 * PAIRS ? count - at : 2 * PAIRS) * sizeof *to);
    }
}

void fov_yoso_hasher_draw(fov_yoso_hasher *hasher, const fov_kernels *kernels, size_t first) {
    (void)kernels;
    size_t tau = hasher->s.tau, d = hasher->d;
    if (!hasher->s.hadamard) {
        size_t values = tau * d, blocks = (values + 3) / 4;
        for (size_t g = 0; g < hasher->group; g++)
            normals(&hasher->rng, (uint32_t)((first + g) * blocks), values, hasher->matrix + g * values);
        return;
    }
    fov_rng rng = hasher->rng;
    size_t count = 3 * hasher->padded; /* a multiple of 32: whole words */
    uint32_t bits[4] = {0};
    rng.counter[0] = (uint32_t)(first / hasher->group * ((count + 127) / 128));
    for (size_t i = 0; i < count; i++) {
        if (i % 128 == 0) fov_rng_next4(&rng, bits);
        hasher->signs[i] = bits[i / 32 % 4] >> (i % 32) & 1 ? 1 : -1;
    }
}

/* Projections stand vector beside vector, so that bits are made of whole vectors of them. */
static void gaussian_codes(const fov_yoso_hasher *hasher, const fov_kernels *kernels, size_t hashes, const float *x, size_t n,
                           uint32_t *codes) {
    size_t tau = hasher->s.tau, columns = hashes * tau, d = hasher->d;
    for (size_t at = 0; at < n; at += ROWS) {
        size_t rows = n - at < ROWS ? n - at : ROWS;
        kernels->pack_t(x + at * d, d, rows, d, hasher->packed);
        fov_gemm g = {.n = columns,
                      .m = rows,
                      .k = d,
                      .x = hasher->matrix,
                      .ldx = d,
                      .w = hasher->packed,
                      .y = hasher->projected,
                      .ldy = ROWS};
        fov_gemm_block(kernels, &g, 0, columns, 0, fov_panels(rows), hasher->gemm);
        for (size_t h = 0; h < hashes; h++) {
            uint32_t code[ROWS] = {0};
            for (size_t t = 0; t < tau; t++) {
                const float *z = hasher->projected + (h * tau + t) * ROWS;
                for (size_t i = 0; i < rows; i++) code[i] |= (uint32_t)(z[i] > 0) << t;
            }
            memcpy(codes + h * n + at, code, rows * sizeof *code);
        }
    }
}

/* z = H D z for LANES vectors side by side: the unnormalised Walsh-Hadamard transform, Sylvester order. */
static void transform(float *z, size_t size, const float *signs) {
    for (size_t c = 0; c < size; c++)
        for (size_t l = 0; l < LANES; l++) z[c * LANES + l] *= signs[c];
    for (size_t half = 1; half < size; half *= 2)
        for (size_t c = 0; c < size; c += 2 * half)
            for (size_t i = c * LANES; i < (c + half) * LANES; i++) {
                float a = z[i], b = z[i + half * LANES];
                z[i] = a + b;
                z[i + half * LANES] = a - b;
            }
}

static void hadamard_codes(const fov_yoso_hasher *hasher, size_t hashes, const float *x, size_t n, uint32_t *codes) {
    size_t tau = hasher->s.tau, d = hasher->d, padded = hasher->padded;
    float *z = hasher->lanes;
    for (size_t at = 0; at < n; at += LANES) {
        size_t rows = n - at < LANES ? n - at : LANES;
        memset(z, 0, padded * LANES * sizeof *z);
        for (size_t i = 0; i < rows; i++)
            for (size_t c = 0; c < d; c++) z[c * LANES + i] = x[(at + i) * d + c];
        for (size_t round = 0; round < 3; round++) transform(z, padded, hasher->signs + round * padded);
        for (size_t h = 0; h < hashes; h++) {
            uint32_t code[LANES] = {0};
            for (size_t t = 0; t < tau; t++)
                for (size_t l = 0; l < LANES; l++) code[l] |= (uint32_t)(z[(h * tau + t) * LANES + l] > 0) << t;
            memcpy(codes + h * n + at, code, rows * sizeof *code);
        }
    }
}

void fov_yoso_hasher_codes(const fov_yoso_hasher *hasher, const fov_kernels *kernels, size_t hashes, const float *x, size_t n,
                           uint32_t *codes) {
    if (hasher->s.hadamard)
        hadamard_codes(hasher, hashes, x, n, codes);
    else
        gaussian_codes(hasher, kernels, hashes, x, n, codes);
}
