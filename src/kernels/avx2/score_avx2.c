/* score_avx2.c: scores of chosen keys, and of all keys in 8 bits. The latter widens to 16 bits: no pair of products saturates. */
#include "kernels/avx2/avx2.h"

enum { HALF = FOV_PANEL / 2, ROWS = 3 /* x 4 sums of 4 keys, half a panel; 1 register of keys, 1 broadcast */ };

void fov_dots_avx2(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y) {
    for (size_t i = 0; i < n; i++) {
        const float *row = w + index[i] * ldw;
        __m256 even = _mm256_setzero_ps(), odd = even;
        for (size_t c = 0; c < cols; c += 16) {
            const size_t left = cols - c;
            even = _mm256_fmadd_ps(fov_load8(x + c, left), fov_load8(row + c, left), even);
            if (left > 8) odd = _mm256_fmadd_ps(fov_load8(x + c + 8, left - 8), fov_load8(row + c + 8, left - 8), odd);
        }
        y[i] = fov_sum8(_mm256_add_ps(even, odd));
    }
}

/* Four values of x as 16 bits, four times. */
static inline __m256i broadcast(const int8_t *x) {
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(bytes)));
}

static void finish(const fov_score_i8 *s, size_t row, size_t j, const __m256i acc[4]) {
    int32_t less = 0; /* 128 sum x */
    for (size_t c = 0; c < s->k; c++) less += 128 * s->x[row * s->k + c];
    for (size_t q = 0; q < 4 && j + 4 * q < s->m; q += 2) {
        /* pairs of a key's sums, added: keys 0 1 4 5 2 3 6 7 */
        const __m256i sums = _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[q], acc[q + 1]), 0xd8);
        const __m256 v = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, _mm256_set1_epi32(less)));
        const size_t at = j + 4 * q;
        fov_store8(s->y + row * s->ldy + at, s->m - at,
                   _mm256_add_ps(_mm256_mul_ps(v, _mm256_loadu_ps(s->scale + at)), _mm256_loadu_ps(s->shift + at)));
    }
}

__attribute__((always_inline)) static inline void tile(const fov_score_i8 *s, size_t row, size_t j, const size_t rows) {
    const uint8_t *w = s->w + j / FOV_PANEL * FOV_PANEL * s->k + j % FOV_PANEL * 4;
    const int8_t *x = s->x + row * s->k;
    __m256i acc[ROWS][4];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        FOV_UNROLL
        for (size_t q = 0; q < 4; q++) acc[i][q] = _mm256_setzero_si256();
    }
    for (size_t c = 0; c < s->k; c += 4, w += 4 * FOV_PANEL) {
        __m256i a[ROWS];
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) a[i] = broadcast(x + i * s->k + c);
        FOV_UNROLL
        for (size_t q = 0; q < 4; q++) {
            const __m256i keys = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + 16 * q)));
            FOV_UNROLL
            for (size_t i = 0; i < rows; i++) acc[i][q] = _mm256_add_epi32(acc[i][q], _mm256_madd_epi16(keys, a[i]));
        }
    }
    for (size_t i = 0; i < rows; i++) finish(s, row + i, j, acc[i]);
}

void fov_score_i8_avx2(const fov_score_i8 *s) {
    for (size_t j = 0; j < s->m; j += HALF) {
        size_t row = 0;
        for (; row + ROWS <= s->n; row += ROWS) tile(s, row, j, ROWS);
        for (; row < s->n; row++) tile(s, row, j, 1);
    }
}
