/* gather_avx512.c: selection by a bound and the sparse product. Sums run in CHAINS chains, i mod CHAINS, added at the end. */
#include "kernels/avx512/avx512.h"

enum { CHAINS = 4, AHEAD = 8 /* rows prefetched */ };

__attribute__((always_inline)) static inline void run(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv,
                                                      size_t cols, float *y, const size_t vectors) {
    const __mmask16 last = fov_mask16(cols - 16 * (vectors - 1));
    __m512 sum[CHAINS][4];
    FOV_UNROLL
    for (size_t c = 0; c < CHAINS; c++) {
        FOV_UNROLL
        for (size_t k = 0; k < vectors; k++) sum[c][k] = _mm512_setzero_ps();
    }
    for (size_t i = 0; i < n; i += CHAINS) {
        FOV_UNROLL
        for (size_t c = 0; c < CHAINS; c++) {
            if (i + c >= n) break;
            const float *row = v + index[i + c] * ldv, *next = v + index[i + c + AHEAD < n ? i + c + AHEAD : i + c] * ldv;
            const __m512 weight = _mm512_set1_ps(a[i + c]);
            FOV_UNROLL
            for (size_t k = 0; k < vectors; k++) {
                const __m512 x = k + 1 == vectors ? _mm512_maskz_loadu_ps(last, row + 16 * k) : _mm512_loadu_ps(row + 16 * k);
                _mm_prefetch((const char *)(next + 16 * k), _MM_HINT_T0);
                sum[c][k] = _mm512_fmadd_ps(weight, x, sum[c][k]);
            }
        }
    }
    FOV_UNROLL
    for (size_t k = 0; k < vectors; k++)
        fov_store16(y + 16 * k, cols - 16 * k,
                    _mm512_add_ps(_mm512_add_ps(sum[0][k], sum[1][k]), _mm512_add_ps(sum[2][k], sum[3][k])));
}

void fov_gather_avx512(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y) {
    for (; cols > 64; cols -= 64, v += 64, y += 64) run(a, index, n, v, ldv, 64, y, 4);
    if (cols > 48)
        run(a, index, n, v, ldv, cols, y, 4);
    else if (cols > 32)
        run(a, index, n, v, ldv, cols, y, 3);
    else if (cols > 16)
        run(a, index, n, v, ldv, cols, y, 2);
    else if (cols)
        run(a, index, n, v, ldv, cols, y, 1);
}

static inline size_t put(__mmask16 mask, __m512 x, size_t number, float *value, uint32_t *index) {
    _mm512_storeu_ps(value, _mm512_maskz_compress_ps(mask, x));
    return fov_put_numbers(mask, number, index);
}

/* One branch for four vectors: which of them has a hit is not predictable. */
size_t fov_above_avx512(const float *s, size_t n, float bound, uint32_t first, float *value, uint32_t *index) {
    const __m512 limit = _mm512_set1_ps(bound);
    size_t count = 0, j = 0;
    for (; j + 64 <= n; j += 64) {
        __m512 x[4];
        __mmask16 mask[4];
        FOV_UNROLL
        for (size_t i = 0; i < 4; i++) {
            x[i] = _mm512_loadu_ps(s + j + 16 * i);
            mask[i] = _mm512_cmp_ps_mask(x[i], limit, _CMP_NLE_UQ);
        }
        if (!(mask[0] | mask[1] | mask[2] | mask[3])) continue;
        FOV_UNROLL
        for (size_t i = 0; i < 4; i++) count += put(mask[i], x[i], first + j + 16 * i, value + count, index + count);
    }
    for (; j < n; j += 16) {
        const __m512 x = fov_load16(s + j, n - j);
        const __mmask16 mask = _mm512_mask_cmp_ps_mask(fov_mask16(n - j), x, limit, _CMP_NLE_UQ);
        if (mask) count += put(mask, x, first + j, value + count, index + count);
    }
    return count;
}
