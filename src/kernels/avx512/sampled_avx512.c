/* sampled_avx512.c: the sampled value projection (MCA eq. 5): up to 6 rows x 64 columns, 24 sums and 4 registers of W. The rows of
 * a group share the draws up to the least count; then the longer ones go on alone, each sum in one chain. */
#include "kernels/avx512/avx512.h"

enum { ROWS = 6, AHEAD = 8 /* draws prefetched */ };

/* `rows` rows, `vectors` x 16 columns (the last masked) of w, over draws [begin, end). */
__attribute__((always_inline)) static inline void run(const float *const x[ROWS], const uint32_t *index, size_t begin, size_t end,
                                                      const float *w, size_t e, __mmask16 last, __m512 acc[ROWS][4],
                                                      const size_t rows, const size_t vectors) {
    __m512 sum[ROWS][4];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) sum[i][v] = acc[i][v];
    }
    for (size_t k = begin; k < end; k++) {
        const size_t feature = index[k];
        const float *from = w + feature * e;
        const float *next = w + index[k + AHEAD < end ? k + AHEAD : k] * e;
        __m512 b[4];
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            b[v] = v + 1 == vectors ? _mm512_maskz_loadu_ps(last, from + 16 * v) : _mm512_loadu_ps(from + 16 * v);
            _mm_prefetch((const char *)(next + 16 * v), _MM_HINT_T0);
        }
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const __m512 value = _mm512_set1_ps(x[i][feature]);
            FOV_UNROLL
            for (size_t v = 0; v < vectors; v++) sum[i][v] = _mm512_fmadd_ps(value, b[v], sum[i][v]);
        }
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) acc[i][v] = sum[i][v];
    }
}

#define RUN(r, v)                                                                                                                  \
    static void run_##r##_##v(const float *const x[ROWS], const uint32_t *index, size_t begin, size_t end, const float *w,         \
                              size_t e, __mmask16 last, __m512 acc[ROWS][4]) {                                                     \
        run(x, index, begin, end, w, e, last, acc, r, v);                                                                          \
    }
#define RUNS(r) RUN(r, 1) RUN(r, 2) RUN(r, 3) RUN(r, 4)
RUNS(1)
RUNS(2)
RUNS(3)
RUNS(4)
RUNS(5)
RUNS(6)

typedef void run_fn(const float *const x[ROWS], const uint32_t *index, size_t begin, size_t end, const float *w, size_t e,
                    __mmask16 last, __m512 acc[ROWS][4]);
static run_fn *const runs[ROWS][4] = {
    {run_1_1, run_1_2, run_1_3, run_1_4}, {run_2_1, run_2_2, run_2_3, run_2_4}, {run_3_1, run_3_2, run_3_3, run_3_4},
    {run_4_1, run_4_2, run_4_3, run_4_4}, {run_5_1, run_5_2, run_5_3, run_5_4}, {run_6_1, run_6_2, run_6_3, run_6_4},
};

/* Rows [i0, i0 + rows), columns [c0, c0 + columns), columns <= 64. */
static void group(const fov_sampled *s, size_t i0, size_t rows, size_t c0, size_t columns) {
    const size_t vectors = (columns + 15) / 16;
    const __mmask16 last = fov_mask16(columns - 16 * (vectors - 1));
    const float *x[ROWS];
    __m512 acc[ROWS][4];
    for (size_t i = 0; i < rows; i++) {
        x[i] = s->x + s->rows[i0 + i] * s->ldx;
        for (size_t v = 0; v < vectors; v++) acc[i][v] = _mm512_setzero_ps();
    }
    size_t begin = 0;
    for (size_t left = rows; left; left--) {
        const size_t end = s->count[i0 + left - 1];
        if (end > begin) runs[left - 1][vectors - 1](x, s->index, begin, end, s->w + c0, s->e, last, acc);
        begin = end;
    }
    for (size_t i = 0; i < rows; i++) {
        float *y = s->y + s->rows[i0 + i] * s->ldy + c0;
        const __m512 scale = _mm512_set1_ps(s->scale[i0 + i]);
        for (size_t v = 0; v < vectors; v++) {
            const __mmask16 mask = fov_mask16_from(columns, 16 * v);
            const __m512 bias = s->bias ? _mm512_maskz_loadu_ps(mask, s->bias + c0 + 16 * v) : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(y + 16 * v, mask, _mm512_fmadd_ps(acc[i][v], scale, bias));
        }
    }
}

void fov_sampled_avx512(const fov_sampled *s) {
    for (size_t i = 0; i < s->n; i += ROWS)
        for (size_t c = 0; c < s->e; c += 64) group(s, i, s->n - i < ROWS ? s->n - i : ROWS, c, s->e - c < 64 ? s->e - c : 64);
}
