/* gemm_avx2.c: the register tile of the avx2 gemm: up to 6 rows x 16 columns, half a panel: 12 sums, 2 registers of W, 1 broadcast.
 */
#include <math.h>

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/gemm_avx2.h"

enum { ROWS = 6, HALF = FOV_PANEL / 2, AHEAD = 16 /* rows of W prefetched */ };

static __m256 activate(fov_activation act, __m256 v) {
    if (act == FOV_ACT_GELU) return fov_gelu8(v);
    if (act == FOV_ACT_RELU) return _mm256_max_ps(_mm256_setzero_ps(), v); /* keeps a NaN */
    if (act == FOV_ACT_TANH) {
        float lanes[8];
        _mm256_storeu_ps(lanes, v);
        for (size_t l = 0; l < 8; l++) lanes[l] = tanhf(lanes[l]);
        return _mm256_loadu_ps(lanes);
    }
    return v;
}

/* Bias, activation and residual of finished sums. */
void fov_finish_f32_avx2(const fov_tile *t) {
    const fov_gemm *g = t->gemm;
    const size_t j0 = t->panel * FOV_PANEL, columns = g->m - j0 < FOV_PANEL ? g->m - j0 : FOV_PANEL;
    for (size_t c = 0; c < columns; c += 8) {
        const size_t left = columns - c, j = j0 + c;
        const __m256 bias = g->bias ? fov_load8(g->bias + j, left) : _mm256_setzero_ps();
        for (size_t i = 0; i < t->rows; i++) {
            const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
            __m256 v = _mm256_load_ps(t->sum + i * FOV_PANEL + c);
            if (g->bias) v = _mm256_add_ps(v, bias);
            v = activate(g->act, v);
            if (g->residual) v = _mm256_add_ps(v, fov_load8(g->residual + to * g->ldr + j, left));
            fov_store8(g->y + to * g->ldy + j, left, v);
        }
    }
}

__attribute__((always_inline)) static inline void tile_rows(const fov_tile *t, size_t half, const size_t rows) {
    __m256 acc[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    const float *a = t->a, *b = t->b + half;
    for (size_t k = t->k; k; k--) {
        _mm_prefetch((const char *)(b + AHEAD * FOV_PANEL), _MM_HINT_T0);
        const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const __m256 x = _mm256_broadcast_ss(a + i * FOV_TILE_STRIDE);
            acc[i][0] = _mm256_fmadd_ps(x, b0, acc[i][0]);
            acc[i][1] = _mm256_fmadd_ps(x, b1, acc[i][1]);
        }
        a++;
        b += FOV_PANEL;
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        float *sum = t->sum + i * FOV_PANEL + half;
        if (!t->first) {
            acc[i][0] = _mm256_add_ps(_mm256_load_ps(sum), acc[i][0]);
            acc[i][1] = _mm256_add_ps(_mm256_load_ps(sum + 8), acc[i][1]);
        }
        _mm256_store_ps(sum, acc[i][0]);
        _mm256_store_ps(sum + 8, acc[i][1]);
    }
}

#define TILE(r)                                                                                                                    \
    static void tile_##r(const fov_tile *t) {                                                                                      \
        tile_rows(t, 0, r);                                                                                                        \
        tile_rows(t, HALF, r);                                                                                                     \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

static void tile(const fov_tile *t) {
    static void (*const tiles[ROWS])(const fov_tile *t) = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};
    tiles[t->rows - 1](t);
    if (t->last) fov_finish_f32_avx2(t);
}

const fov_tiles fov_tiles_f32_avx2 = {.mr = ROWS, .rows = FOV_GEMM_ROWS, .tile = tile};
