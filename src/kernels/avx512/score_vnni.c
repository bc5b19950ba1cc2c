/* score_vnni.c: scores in 8 bits, up to 14 rows x 32 keys: 28 sums, 2 registers of keys, 1 broadcast. Compiled for VNNI. */
#include <string.h>

#include "kernels/avx512/avx512.h"

enum {
    ROWS = 14,
    TILES = 4, /* of rows, packed at a time */
    GROUP = 8, /* panels, 16 KiB at D = 64: they stay in L1 while the tiles pass */
    DEPTH = FOV_I8_MOST / 4
};

/* sum += products of four bytes, unsigned w. Not the intrinsic: gcc 12 copies and spills every sum around it. */
static inline void add_products(__m512i *sum, __m512i w, __m512i x) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x));
}

typedef struct packed {
    size_t row, rows;
    int32_t less[ROWS];     /* 128 sum x: what the keys' offset adds */
    int32_t x[DEPTH][ROWS]; /* four values each: a step of a tile reads one line, at constant distances */
} packed;

static void pack(const fov_score_i8 *s, size_t row, size_t rows, packed *to) {
    to->row = row;
    to->rows = rows;
    for (size_t i = 0; i < rows; i++) {
        const int8_t *x = s->x + (row + i) * s->k;
        int32_t sum = 0;
        for (size_t c = 0; c < s->k; c++) sum += x[c];
        to->less[i] = 128 * sum;
        for (size_t c = 0; c < s->k; c += 4) memcpy(&to->x[c / 4][i], x + c, 4);
    }
}

__attribute__((always_inline)) static inline void tile(const fov_score_i8 *s, const packed *a, size_t panel, const size_t rows) {
    const uint8_t *w = s->w + panel * FOV_PANEL * s->k;
    const size_t j = panel * FOV_PANEL, columns = s->m - j;
    __m512i acc[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) acc[i][0] = acc[i][1] = _mm512_set1_epi32(-a->less[i]);
    const int32_t *x = a->x[0];
    for (size_t c = 0; c < s->k; c += 4, w += 4 * FOV_PANEL, x += ROWS) {
        const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 64);
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const __m512i four = _mm512_set1_epi32(x[i]);
            add_products(&acc[i][0], w0, four);
            add_products(&acc[i][1], w1, four);
        }
    }
    const __m512 scale0 = _mm512_loadu_ps(s->scale + j), scale1 = _mm512_loadu_ps(s->scale + j + 16);
    const __m512 shift0 = _mm512_loadu_ps(s->shift + j), shift1 = _mm512_loadu_ps(s->shift + j + 16);
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        float *y = s->y + (a->row + i) * s->ldy + j;
        const __m512 v0 = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][0]), scale0), shift0);
        const __m512 v1 = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][1]), scale1), shift1);
        if (columns >= FOV_PANEL) {
            _mm512_storeu_ps(y, v0);
            _mm512_storeu_ps(y + 16, v1);
        } else {
            _mm512_mask_storeu_ps(y, fov_mask16(columns), v0);
            _mm512_mask_storeu_ps(y + 16, fov_mask16_from(columns, 16), v1);
        }
    }
}

#define TILE(r)                                                                                                                    \
    static void tile_##r(const fov_score_i8 *s, const packed *a, size_t panel) {                                                   \
        tile(s, a, panel, r);                                                                                                      \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)

void fov_score_i8_vnni(const fov_score_i8 *s) {
    static void (*const tiles[ROWS])(const fov_score_i8 *s, const packed *a, size_t panel) = {
        tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14};
    const size_t panels = fov_panels(s->m);
    packed a[TILES];
    for (size_t row = 0; row < s->n; row += TILES * ROWS) {
        const size_t n = s->n - row < TILES * ROWS ? s->n - row : TILES * ROWS, count = (n + ROWS - 1) / ROWS;
        for (size_t t = 0; t < count; t++) /* tiles differ by at most one row */
            pack(s, row + t * n / count, (t + 1) * n / count - t * n / count, &a[t]);
        for (size_t first = 0; first < panels; first += GROUP)
            for (size_t t = 0; t < count; t++)
                for (size_t p = first; p < panels && p < first + GROUP; p++) tiles[a[t].rows - 1](s, &a[t], p);
    }
}
