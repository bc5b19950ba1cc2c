/* soft_tiles.h: the tile registers of AMX in plain C, after Intel's Architecture Instruction Set Extensions reference, so that the
 * kernels that use them are tested on processors without. Included before amx.c, whose intrinsics it replaces. */
#ifndef FOV_TESTS_SOFT_TILES_H
#define FOV_TESTS_SOFT_TILES_H

#include <immintrin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbusd
#define _tile_loadconfig soft_loadconfig
#define _tile_release soft_release
#define _tile_zero soft_zero
#define _tile_loadd soft_loadd
#define _tile_stored soft_stored
#define _tile_dpbf16ps soft_dpbf16ps
#define _tile_dpbusd soft_dpbusd

static _Thread_local struct {
    bool configured;
    uint8_t rows[8];
    uint16_t row_bytes[8];
    uint8_t data[8][16][64];
} soft;

static inline void soft_loadconfig(const void *config) {
    const uint8_t *bytes = config;
    assert_int_equal(bytes[0], 1); /* palette */
    memset(&soft, 0, sizeof soft);
    for (size_t i = 0; i < 8; i++) {
        memcpy(&soft.row_bytes[i], bytes + 16 + 2 * i, 2);
        soft.rows[i] = bytes[48 + i];
        assert_in_range(soft.rows[i], 1, 16); /* what an unused row count would raise */
        assert_in_range(soft.row_bytes[i], 4, 64);
    }
    soft.configured = true;
}

static inline void soft_release(void) {
    memset(&soft, 0, sizeof soft);
}

static inline void soft_zero(int tile) {
    assert_true(soft.configured);
    memset(soft.data[tile], 0, sizeof soft.data[tile]);
}

static inline void soft_loadd(int tile, const void *from, size_t stride) {
    soft_zero(tile);
    for (size_t r = 0; r < soft.rows[tile]; r++) memcpy(soft.data[tile][r], (const char *)from + r * stride, soft.row_bytes[tile]);
}

static inline void soft_stored(int tile, void *to, size_t stride) {
    assert_true(soft.configured);
    for (size_t r = 0; r < soft.rows[tile]; r++) memcpy((char *)to + r * stride, soft.data[tile][r], soft.row_bytes[tile]);
}

/* The shapes that a product demands of sum, x and w. */
static inline void soft_check(int sum, int x, int w) {
    assert_true(soft.configured);
    assert_int_equal(soft.rows[sum], soft.rows[x]);
    assert_int_equal(soft.row_bytes[sum], soft.row_bytes[w]);
    assert_int_equal(soft.row_bytes[x] / 4, soft.rows[w]);
}

static inline float soft_float(const uint8_t *bf16) { /* subnormals count as 0 */
    const uint32_t bits = (uint32_t)bf16[0] << 16 | (uint32_t)bf16[1] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return bits & 0x7f800000 ? value : 0;
}

static inline void soft_dpbf16ps(int sum, int x, int w) {
    soft_check(sum, x, w);
    for (size_t i = 0; i < soft.rows[sum]; i++)
        for (size_t j = 0; j < soft.row_bytes[sum] / 4u; j++) {
            float value;
            memcpy(&value, &soft.data[sum][i][4 * j], sizeof value);
            for (size_t k = 0; k < soft.rows[w]; k++)
                for (size_t half = 0; half < 4; half += 2)
                    value += soft_float(&soft.data[x][i][4 * k + half]) * soft_float(&soft.data[w][k][4 * j + half]);
            memcpy(&soft.data[sum][i][4 * j], &value, sizeof value);
        }
}

static inline void soft_dpbusd(int sum, int x, int w) {
    soft_check(sum, x, w);
    for (size_t i = 0; i < soft.rows[sum]; i++)
        for (size_t j = 0; j < soft.row_bytes[sum] / 4u; j++) {
            int32_t value;
            memcpy(&value, &soft.data[sum][i][4 * j], sizeof value);
            for (size_t k = 0; k < soft.rows[w]; k++)
                for (size_t q = 0; q < 4; q++) value += soft.data[x][i][4 * k + q] * (int8_t)soft.data[w][k][4 * j + q];
            memcpy(&soft.data[sum][i][4 * j], &value, sizeof value);
        }
}

#endif
