/* gram_avx2.c: products of integers that doubles hold: 4 x 8 sums in 8 registers, 2 of b, 1 broadcast; four passes. */
#include "kernels/avx2/avx2.h"

enum { ROWS = 4, COLUMNS = 8 };

static void block(const double *a, const double *b, size_t n, double *sum) {
    __m256d s[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < ROWS; i++) s[i][0] = s[i][1] = _mm256_setzero_pd();
    for (size_t t = 0; t < n; t++, a += FOV_GRAM_PANEL, b += FOV_GRAM_PANEL) {
        const __m256d b0 = _mm256_loadu_pd(b), b1 = _mm256_loadu_pd(b + 4);
        FOV_UNROLL
        for (size_t i = 0; i < ROWS; i++) {
            const __m256d x = _mm256_broadcast_sd(a + i);
            s[i][0] = _mm256_fmadd_pd(x, b0, s[i][0]);
            s[i][1] = _mm256_fmadd_pd(x, b1, s[i][1]);
        }
    }
    FOV_UNROLL
    for (size_t i = 0; i < ROWS; i++) {
        _mm256_storeu_pd(sum + i * FOV_GRAM_PANEL, s[i][0]);
        _mm256_storeu_pd(sum + i * FOV_GRAM_PANEL + 4, s[i][1]);
    }
}

void fov_gram_avx2(const double *a, const double *b, size_t n, double *sum) {
    for (size_t i = 0; i < FOV_GRAM_ROWS; i += ROWS)
        for (size_t j = 0; j < FOV_GRAM_PANEL; j += COLUMNS) block(a + i, b + j, n, sum + i * FOV_GRAM_PANEL + j);
}
