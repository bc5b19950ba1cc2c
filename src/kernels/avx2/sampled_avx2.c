/* sampled_avx2.c: the sampled value projection (MCA eq. 5): up to 6 rows x 16 columns. The rows of a group share the draws up to
 * the least count; then the longer ones go on alone, each sum in one chain. */
#include "kernels/avx2/avx2.h"

enum { ROWS = 6, COLUMNS = 16, AHEAD = 8 /* draws prefetched */ };

/* `rows` rows and `columns` <= 16 columns of w, over draws [begin, end). */
__attribute__((always_inline)) static inline void run(const float *const x[ROWS], const uint32_t *index, size_t begin, size_t end,
                                                      const float *w, size_t e, size_t columns, __m256 acc[ROWS][2],
                                                      const size_t rows, const bool full) {
    const __m256i low = fov_mask8(columns), high = fov_mask8(columns > 8 ? columns - 8 : 0);
    __m256 sum[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        sum[i][0] = acc[i][0];
        sum[i][1] = acc[i][1];
    }
    for (size_t k = begin; k < end; k++) {
        const size_t feature = index[k];
        const float *from = w + feature * e;
        _mm_prefetch((const char *)(w + index[k + AHEAD < end ? k + AHEAD : k] * e), _MM_HINT_T0);
        const __m256 b0 = full ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, low);
        const __m256 b1 = full ? _mm256_loadu_ps(from + 8) : columns > 8 ? _mm256_maskload_ps(from + 8, high) : _mm256_setzero_ps();
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const __m256 value = _mm256_broadcast_ss(x[i] + feature);
            sum[i][0] = _mm256_fmadd_ps(value, b0, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(value, b1, sum[i][1]);
        }
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        acc[i][0] = sum[i][0];
        acc[i][1] = sum[i][1];
    }
}

#define RUN(r)                                                                                                                     \
    static void run_##r(const float *const x[ROWS], const uint32_t *index, size_t begin, size_t end, const float *w, size_t e,     \
                        size_t columns, __m256 acc[ROWS][2]) {                                                                     \
        if (columns == COLUMNS)                                                                                                    \
            run(x, index, begin, end, w, e, columns, acc, r, true);                                                                \
        else                                                                                                                       \
            run(x, index, begin, end, w, e, columns, acc, r, false);                                                               \
    }
RUN(1)
RUN(2)
RUN(3)
RUN(4)
RUN(5)
RUN(6)

typedef void run_fn(const float *const x[ROWS], const uint32_t *index, size_t begin, size_t end, const float *w, size_t e,
                    size_t columns, __m256 acc[ROWS][2]);
static run_fn *const runs[ROWS] = {run_1, run_2, run_3, run_4, run_5, run_6};

/* Rows [i0, i0 + rows), columns [c0, c0 + columns). */
static void group(const fov_sampled *s, size_t i0, size_t rows, size_t c0, size_t columns) {
    const float *x[ROWS];
    __m256 acc[ROWS][2];
    for (size_t i = 0; i < rows; i++) {
        x[i] = s->x + s->rows[i0 + i] * s->ldx;
        acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    }
    size_t begin = 0;
    for (size_t left = rows; left; left--) {
        const size_t end = s->count[i0 + left - 1];
        if (end > begin) runs[left - 1](x, s->index, begin, end, s->w + c0, s->e, columns, acc);
        begin = end;
    }
    for (size_t i = 0; i < rows; i++) {
        float *y = s->y + s->rows[i0 + i] * s->ldy + c0;
        const __m256 scale = _mm256_set1_ps(s->scale[i0 + i]);
        for (size_t c = 0; c < columns; c += 8) {
            const __m256 bias = s->bias ? fov_load8(s->bias + c0 + c, columns - c) : _mm256_setzero_ps();
            fov_store8(y + c, columns - c, _mm256_fmadd_ps(acc[i][c / 8], scale, bias));
        }
    }
}

void fov_sampled_avx2(const fov_sampled *s) {
    for (size_t i = 0; i < s->n; i += ROWS)
        for (size_t c = 0; c < s->e; c += COLUMNS)
            group(s, i, s->n - i < ROWS ? s->n - i : ROWS, c, s->e - c < COLUMNS ? s->e - c : COLUMNS);
}
