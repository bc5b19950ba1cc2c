/* yoso_tables.c: see yoso_tables.h. Sums run in key order within a bucket and in hash order at a query: the same bits every time.
 */
#include "attention/yoso_tables.h"

#include <string.h>

enum { AHEAD = 6, LINE = 16, BLOCK = 16 }; /* rows prefetched ahead; floats of a cache line; floats summed in registers */

void fov_yoso_tables_carve(fov_arena *arena, unsigned tau, size_t hashes, size_t longest, size_t d, fov_yoso_tables *t) {
    const size_t codes = (size_t)1 << tau;
    *t = (fov_yoso_tables){.rows = longest < codes ? longest : codes, .d = d, .log2_slots = 1};
    while (((size_t)1 << t->log2_slots) / 2 < longest && t->log2_slots < tau) t->log2_slots++; /* at most half full */
    const bool direct = t->log2_slots >= tau;
    t->multiplier = direct ? 1 : 2654435769u; /* Fibonacci hashing */
    t->shift = direct ? 0 : 32 - t->log2_slots;
    t->slots = fov_arena_take(arena, hashes, sizeof(uint32_t) << t->log2_slots);
    t->codes = fov_arena_take(arena, fov_mul(hashes, t->rows), sizeof(uint32_t));
    t->used = fov_arena_take(arena, hashes, sizeof(uint32_t));
    t->found = fov_arena_take(arena, hashes, sizeof(uint32_t));
    t->sums = fov_arena_take(arena, fov_mul(hashes, t->rows), fov_mul(d, sizeof(float)));
}

void fov_yoso_tables_clear(fov_yoso_tables *t, size_t hashes) {
    memset(t->slots, 0, hashes * (sizeof(uint32_t) << t->log2_slots));
    memset(t->used, 0, hashes * sizeof *t->used);
}

/* Slot of a bucket, or the free one where it would go. */
static uint32_t *find(const fov_yoso_tables *t, size_t g, uint32_t code) {
    const uint32_t mask = (uint32_t)(((size_t)1 << t->log2_slots) - 1), *codes = t->codes + g * t->rows;
    uint32_t *slots = t->slots + (g << t->log2_slots), at = (code * t->multiplier) >> t->shift;
    while (slots[at] && codes[slots[at] - 1] != code) at = (at + 1) & mask;
    return &slots[at];
}

static uint32_t row_of(fov_yoso_tables *t, size_t g, uint32_t code) {
    uint32_t *slot = find(t, g, code);
    if (*slot) return *slot - 1;
    const uint32_t row = t->used[g]++;
    t->codes[g * t->rows + row] = code;
    memset(t->sums + (g * t->rows + row) * t->d, 0, t->d * sizeof *t->sums);
    *slot = row + 1;
    return row;
}

void fov_yoso_tables_add(fov_yoso_tables *t, size_t g, const uint32_t *codes, size_t n, const float *v) {
    const size_t d = t->d;
    float *sums = t->sums + g * t->rows * d;
    uint32_t rows[FOV_YOSO_CHUNK + AHEAD];
    for (size_t i = 0; i < n; i++) rows[i] = row_of(t, g, codes[i]);
    for (size_t i = n; i < n + AHEAD; i++) rows[i] = 0;
    for (size_t i = 0; i < n; i++) {
        float *restrict sum = sums + rows[i] * d;
        const float *restrict x = v + i * d, *next = sums + rows[i + AHEAD] * d;
        for (size_t c = 0; c < d; c += LINE) __builtin_prefetch(next + c, 1);
        for (size_t c = 0; c < d; c++) sum[c] += x[c];
    }
}

/* In blocks that stay in registers over all rows. */
void fov_yoso_tables_read(const fov_yoso_tables *t, size_t hashes, const uint32_t *codes, size_t ldc, float *y) {
    const size_t d = t->d;
    size_t n = 0, c = 0;
    for (size_t g = 0; g < hashes; g++) {
        const uint32_t slot = *find(t, g, codes[g * ldc]);
        if (slot) t->found[n++] = (uint32_t)(g * t->rows) + slot - 1; /* below 2^32: codes of a group are */
    }
    for (; c + BLOCK <= d; c += BLOCK) {
        float sum[BLOCK];
        memcpy(sum, y + c, sizeof sum);
        for (size_t i = 0; i < n; i++) {
            const float *x = t->sums + t->found[i] * d + c;
            for (size_t l = 0; l < BLOCK; l++) sum[l] += x[l];
        }
        memcpy(y + c, sum, sizeof sum);
    }
    for (; c < d; c++)
        for (size_t i = 0; i < n; i++) y[c] += t->sums[t->found[i] * d + c];
}
