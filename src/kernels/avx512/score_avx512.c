/* score_avx512.c: scores of chosen keys. */
#include "kernels/avx512/avx512.h"

/* Lane l of the result: the sum of v[l], each by the same tree. v is used up. */
static inline __m512 sums16(__m512 v[16]) {
    FOV_UNROLL
    for (size_t i = 0; i < 8; i++) /* lane 4 b + e: of v[2 i + e % 2], half of block b */
        v[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    FOV_UNROLL
    for (size_t i = 0; i < 4; i++) { /* lane 4 b + e: of v[4 i + e], all of block b */
        const __m512d a = _mm512_castps_pd(v[2 * i]), b = _mm512_castps_pd(v[2 * i + 1]);
        v[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    FOV_UNROLL
    for (size_t i = 0; i < 2; i++)
        v[i] =
            _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x88), _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x88), _mm512_shuffle_f32x4(v[0], v[1], 0xdd));
}

void fov_dots_avx512(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y) {
    for (size_t i = 0; i < n; i += 16) {
        const float *row[16];
        for (size_t l = 0; l < 16 && i + 16 + l < n; l++)
            for (size_t c = 0; c < cols; c += 16) __builtin_prefetch(w + index[i + 16 + l] * ldw + c);
        for (size_t l = 0; l < 16; l++) row[l] = w + index[i + l < n ? i + l : n - 1] * ldw;
        __m512 sum[16];
        FOV_UNROLL
        for (size_t l = 0; l < 16; l++) sum[l] = _mm512_setzero_ps();
        for (size_t c = 0; c < cols; c += 16) {
            const __mmask16 mask = fov_mask16(cols - c);
            const __m512 a = _mm512_maskz_loadu_ps(mask, x + c);
            FOV_UNROLL
            for (size_t l = 0; l < 16; l++) sum[l] = _mm512_fmadd_ps(a, _mm512_maskz_loadu_ps(mask, row[l] + c), sum[l]);
        }
        fov_store16(y + i, n - i, sums16(sum));
    }
}
