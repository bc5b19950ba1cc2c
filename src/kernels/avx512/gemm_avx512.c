/* gemm_avx512.c: the register tile of the avx512 gemm: up to 14 rows x 32 columns, 28 sums, 2 registers of W and 1 broadcast. */
#include <math.h>

#include "kernels/avx512/avx512.h"

enum { ROWS = 14, FEW = 4, AHEAD = 16 /* rows of W prefetched */ };

/* Bias, activation and residual of finished sums. */
static void finish(const fov_tile *t) {
    const fov_gemm *g = t->gemm;
    const size_t j0 = t->panel * FOV_PANEL, columns = g->m - j0;
    const __mmask16 masks[2] = {fov_mask16(columns), fov_mask16_from(columns, 16)};
    for (size_t h = 0; h < 2 && masks[h]; h++) {
        const __mmask16 mask = masks[h];
        const size_t j = j0 + 16 * h;
        const __m512 bias = g->bias ? _mm512_maskz_loadu_ps(mask, g->bias + j) : _mm512_setzero_ps();
        for (size_t i = 0; i < t->rows; i++) {
            const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
            __m512 v = _mm512_load_ps(t->sum + i * FOV_PANEL + 16 * h);
            if (g->bias) v = _mm512_add_ps(v, bias);
            if (g->act == FOV_ACT_GELU) v = fov_gelu16(v);
            if (g->act == FOV_ACT_RELU) v = _mm512_max_ps(_mm512_setzero_ps(), v); /* keeps a NaN */
            if (g->act == FOV_ACT_TANH) {
                float lanes[16];
                _mm512_storeu_ps(lanes, v);
                for (size_t l = 0; l < 16; l++) lanes[l] = tanhf(lanes[l]);
                v = _mm512_loadu_ps(lanes);
            }
            if (g->residual) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, g->residual + to * g->ldr + j));
            _mm512_mask_storeu_ps(g->y + to * g->ldy + j, mask, v);
        }
    }
}

__attribute__((always_inline)) static inline void tile_rows(const fov_tile *t, const size_t rows) {
    __m512 acc[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    const float *a = t->a, *b = t->b;
    for (size_t k = t->k; k; k--) {
        const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
        if (rows <= FEW) {
            _mm_prefetch((const char *)(b + AHEAD * FOV_PANEL), _MM_HINT_T0);
            _mm_prefetch((const char *)(b + AHEAD * FOV_PANEL + 16), _MM_HINT_T0);
        }
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const __m512 x = _mm512_set1_ps(a[i * FOV_TILE_STRIDE]);
            acc[i][0] = _mm512_fmadd_ps(x, b0, acc[i][0]);
            acc[i][1] = _mm512_fmadd_ps(x, b1, acc[i][1]);
        }
        a++;
        b += FOV_PANEL;
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        float *sum = t->sum + i * FOV_PANEL;
        if (!t->first) {
            acc[i][0] = _mm512_add_ps(_mm512_load_ps(sum), acc[i][0]);
            acc[i][1] = _mm512_add_ps(_mm512_load_ps(sum + 16), acc[i][1]);
        }
        _mm512_store_ps(sum, acc[i][0]);
        _mm512_store_ps(sum + 16, acc[i][1]);
    }
}

#define TILE(r)                                                                                                                    \
    static void tile_##r(const fov_tile *t) {                                                                                      \
        tile_rows(t, r);                                                                                                           \
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

static void tile(const fov_tile *t) {
    static void (*const tiles[ROWS])(const fov_tile *t) = {tile_1, tile_2, tile_3,  tile_4,  tile_5,  tile_6,  tile_7,
                                                           tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14};
    tiles[t->rows - 1](t);
    if (t->last) finish(t);
}

void fov_gemm_block_avx512(const fov_gemm *g, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end,
                           float *scratch) {
    fov_gemm_block_run(g, row_begin, row_end, panel_begin, panel_end, scratch, ROWS, tile);
}
