/* gram_ref.c: products of integers that doubles hold, in plain C. */
#include "kernels/ref/ref.h"

void fov_gram_ref(const double *a, const double *b, size_t n, double *sum) {
    double s[FOV_GRAM_ROWS][FOV_GRAM_PANEL] = {{0}};
    for (size_t t = 0; t < n; t++, a += FOV_GRAM_PANEL, b += FOV_GRAM_PANEL)
        for (size_t i = 0; i < FOV_GRAM_ROWS; i++)
            for (size_t j = 0; j < FOV_GRAM_PANEL; j++) s[i][j] += a[i] * b[j];
    memcpy(sum, s, sizeof s);
}
