/* gather_ref.c: selection by a bound and the sparse product, in plain C. */
#include "kernels/ref/ref.h"

void fov_gather_ref(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y) {
    for (size_t c = 0; c < cols; c++) y[c] = 0;
    for (size_t i = 0; i < n; i++) {
        const float *row = v + index[i] * ldv;
        for (size_t c = 0; c < cols; c++) y[c] += a[i] * row[c];
    }
}

size_t fov_above_ref(const float *s, size_t n, float bound, uint32_t first, float *value, uint32_t *index) {
    size_t count = 0;
    for (size_t j = 0; j < n; j++) {
        value[count] = s[j];
        index[count] = first + (uint32_t)j;
        count += !(s[j] <= bound);
    }
    return count;
}
