/* blocks.h: memory for tests: arrays of NaN or canaries with a guard behind them, and scratch that shows what is read before it is
 * written. */
#ifndef FOV_TESTS_SUPPORT_BLOCKS_H
#define FOV_TESTS_SUPPORT_BLOCKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "support/random.h"

enum { BLOCK_GUARD = 64 };
static const float block_canary = -12345.75f;

/* `floats` of the value, and a guard of canaries behind them. */
static inline float *block_make(size_t floats, float value) {
    float *block = aligned_alloc(64, ((floats + BLOCK_GUARD) * sizeof *block + 63) / 64 * 64);
    assert_non_null(block);
    for (size_t i = 0; i < floats; i++) block[i] = value;
    for (size_t i = 0; i < BLOCK_GUARD; i++) block[floats + i] = block_canary;
    return block;
}

static inline void block_check(const float *block, size_t floats) {
    for (size_t i = 0; i < BLOCK_GUARD; i++)
        if (block[floats + i] != block_canary) fail_msg("an array of %zu floats is overrun at + %zu", floats, i);
}

static inline float *block_copy(const float *from, size_t floats) {
    float *copy = block_make(floats, 0);
    memcpy(copy, from, floats * sizeof *copy);
    return copy;
}

/* Rows first .. last - 1 of `columns` in [-range, range); the rest is NaN. */
static inline float *block_rows(test_rng *rng, size_t first, size_t last, size_t columns, size_t ld, float range) {
    float *block = block_make(last * ld, NAN);
    for (size_t i = first; i < last; i++)
        for (size_t c = 0; c < columns; c++) block[i * ld + c] = range * test_float(rng);
    return block;
}

/* Floats outside the columns of rows from `first` on still hold `before` (NaN: NaN). */
static inline void block_check_untouched(const float *block, size_t rows, size_t ld, size_t first, size_t columns, float before) {
    for (size_t i = 0; i < rows * ld; i++) {
        if (i / ld >= first && i % ld < columns) continue;
        if (isnan(before) ? !isnan(block[i]) : block[i] != before)
            fail_msg("float %zu in row %zu is outside every output, but was written", i % ld, i / ld);
    }
    block_check(block, rows * ld);
}

/* Scratch full of NaN, so that what is read before it is written shows, and a guard. */
static inline void *scratch_make(size_t bytes) {
    unsigned char *block = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(block);
    memset(block, 0xFF, bytes);
    memset(block + bytes, 0xC5, 64);
    return block;
}

static inline void scratch_free(void *scratch, size_t bytes) {
    const unsigned char *guard = (unsigned char *)scratch + bytes;
    for (size_t i = 0; i < 64; i++)
        if (guard[i] != 0xC5) fail_msg("a workspace of %zu bytes is overrun at + %zu", bytes, i);
    free(scratch);
}

#endif
