/* gram_avx512.c: products of integers that doubles hold: 8 x 16 sums in 16 registers, 2 of b, broadcasts of a. */
#include "kernels/avx512/avx512.h"

void fov_gram_avx512(const double *a, const double *b, size_t n, double *sum) {
    __m512d s[FOV_GRAM_ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < FOV_GRAM_ROWS; i++) s[i][0] = s[i][1] = _mm512_setzero_pd();
    for (size_t t = 0; t < n; t++, a += FOV_GRAM_PANEL, b += FOV_GRAM_PANEL) {
        const __m512d b0 = _mm512_loadu_pd(b), b1 = _mm512_loadu_pd(b + 8);
        FOV_UNROLL
        for (size_t i = 0; i < FOV_GRAM_ROWS; i++) {
            const __m512d x = _mm512_set1_pd(a[i]);
            s[i][0] = _mm512_fmadd_pd(x, b0, s[i][0]);
            s[i][1] = _mm512_fmadd_pd(x, b1, s[i][1]);
        }
    }
    FOV_UNROLL
    for (size_t i = 0; i < FOV_GRAM_ROWS; i++) {
        _mm512_storeu_pd(sum + i * FOV_GRAM_PANEL, s[i][0]);
        _mm512_storeu_pd(sum + i * FOV_GRAM_PANEL + 8, s[i][1]);
    }
}
