/* gather_avx2.c: the sparse product, 32 columns at a time. */
#include "kernels/avx2/avx2.h"

__attribute__((always_inline)) static inline void run(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv,
                                                      size_t cols, float *y, const size_t vectors) {
    __m256 even[4], odd[4];
    FOV_UNROLL
    for (size_t k = 0; k < vectors; k++) even[k] = odd[k] = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 2) {
        const float *row = v + index[i] * ldv;
        const __m256 weight = _mm256_set1_ps(a[i]);
        FOV_UNROLL
        for (size_t k = 0; k < vectors; k++) even[k] = _mm256_fmadd_ps(weight, fov_load8(row + 8 * k, cols - 8 * k), even[k]);
        if (i + 1 == n) break;
        const float *other = v + index[i + 1] * ldv;
        const __m256 second = _mm256_set1_ps(a[i + 1]);
        FOV_UNROLL
        for (size_t k = 0; k < vectors; k++) odd[k] = _mm256_fmadd_ps(second, fov_load8(other + 8 * k, cols - 8 * k), odd[k]);
    }
    FOV_UNROLL
    for (size_t k = 0; k < vectors; k++) fov_store8(y + 8 * k, cols - 8 * k, _mm256_add_ps(even[k], odd[k]));
}

void fov_gather_avx2(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y) {
    for (; cols >= 32; cols -= 32, v += 32, y += 32) run(a, index, n, v, ldv, 32, y, 4);
    for (; cols; cols -= cols < 8 ? cols : 8, v += 8, y += 8) run(a, index, n, v, ldv, cols < 8 ? cols : 8, y, 1);
}
