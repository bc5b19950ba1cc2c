/* gemm_avx512.c: the register tile of the avx512 gemm: up to 14 rows x 32 columns, 28 sums, 2 registers of W and 1 broadcast. */
#include <math.h>

#include "kernels/avx512/avx512.h"

enum { ROWS = 14 };

static inline __m512 activate(fov_activation act, __m512 v) {
    if (act == FOV_ACT_GELU) return fov_gelu16(v);
    if (act == FOV_ACT_RELU) return _mm512_max_ps(_mm512_setzero_ps(), v); /* keeps a NaN */
    if (act == FOV_ACT_TANH) {
        float lanes[16];
        _mm512_storeu_ps(lanes, v);
        for (size_t l = 0; l < 16; l++) lanes[l] = tanhf(lanes[l]);
        return _mm512_loadu_ps(lanes);
    }
    return v;
}

/* The lines of Y a finished tile will write, asked for while the tile is computed. */
static void prefetch_y(const fov_tile *t) {
    const fov_gemm *g = t->gemm;
    for (size_t i = 0; i < t->rows; i++) {
        const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
        const float *y = g->y + to * g->ldy + t->panel * FOV_PANEL;
        __builtin_prefetch(y, 1, 2);
        __builtin_prefetch(y + 16, 1, 2);
    }
}

/* Bias, activation and residual of finished sums. */
static void finish(const fov_tile *t) {
    const fov_gemm *g = t->gemm;
    const size_t j = t->panel * FOV_PANEL, columns = g->m - j;
    const __mmask16 low = fov_mask16(columns), high = fov_mask16_from(columns, 16);
    __m512 bias0 = _mm512_setzero_ps(), bias1 = bias0;
    if (g->bias) {
        bias0 = _mm512_maskz_loadu_ps(low, g->bias + j);
        bias1 = _mm512_maskz_loadu_ps(high, g->bias + j + 16);
    }
    for (size_t i = 0; i < t->rows; i++) {
        const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
        float *y = g->y + to * g->ldy + j;
        __m512 v0 = _mm512_load_ps(t->sum + i * FOV_PANEL), v1 = _mm512_load_ps(t->sum + i * FOV_PANEL + 16);
        v0 = activate(g->act, _mm512_add_ps(v0, bias0));
        v1 = activate(g->act, _mm512_add_ps(v1, bias1));
        if (g->residual) {
            const float *residual = g->residual + to * g->ldr + j;
            v0 = _mm512_add_ps(v0, _mm512_maskz_loadu_ps(low, residual));
            v1 = _mm512_add_ps(v1, _mm512_maskz_loadu_ps(high, residual + 16));
        }
        _mm512_mask_storeu_ps(y, low, v0);
        _mm512_mask_storeu_ps(y + 16, high, v1);
    }
}

__attribute__((always_inline)) static inline void tile_rows(const fov_tile *t, const size_t rows) {
    __m512 acc[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
    const size_t ahead = (rows <= 2 ? 32 : 16) * FOV_PANEL; /* of W; measured: few rows outrun 16 */
    const float *a = t->a, *b = t->b;
    for (size_t k = t->k; k; k--) {
        const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
        _mm_prefetch((const char *)(b + ahead), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + ahead + 16), _MM_HINT_T0);
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
    if (t->last) prefetch_y(t);
    tiles[t->rows - 1](t);
    if (t->last) finish(t);
}

void fov_gemm_block_avx512(const fov_gemm *g, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end,
                           float *scratch) {
    fov_gemm_block_run(g, row_begin, row_end, panel_begin, panel_end, scratch, ROWS, tile);
}
