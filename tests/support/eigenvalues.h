/* eigenvalues.h: those of a symmetric matrix, the yardstick of the fits. */
#ifndef FOV_TESTS_SUPPORT_EIGENVALUES_H
#define FOV_TESTS_SUPPORT_EIGENVALUES_H

#include <math.h>
#include <stddef.h>

/* Of g [n][n], descending, by cyclic Jacobi rotations from both sides; g is lost. */
static inline void eigenvalues(size_t n, double *g, double *value) {
    for (int sweep = 0; sweep < 40; sweep++)
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                if (g[p * n + q] == 0) continue;
                const double theta = (g[q * n + q] - g[p * n + p]) / (2 * g[p * n + q]);
                const double tangent = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                const double c = 1 / sqrt(tangent * tangent + 1), s = tangent * c;
                for (size_t k = 0; k < n; k++) {
                    const double a = g[k * n + p], b = g[k * n + q];
                    g[k * n + p] = c * a - s * b;
                    g[k * n + q] = s * a + c * b;
                }
                for (size_t k = 0; k < n; k++) {
                    const double a = g[p * n + k], b = g[q * n + k];
                    g[p * n + k] = c * a - s * b;
                    g[q * n + k] = s * a + c * b;
                }
            }
    for (size_t i = 0; i < n; i++) value[i] = g[i * n + i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (value[j] > value[i]) {
                const double swap = value[i];
                value[i] = value[j];
                value[j] = swap;
            }
}

#endif
