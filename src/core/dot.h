/* dot.h: the dot product of the fits. */
#ifndef FOV_CORE_DOT_H
#define FOV_CORE_DOT_H

#include <stddef.h>

static inline double fov_dot(const double *a, const double *b, size_t n) {
    double sum[4] = {0}; /* four chains, so that they overlap */
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t l = 0; l < 4; l++) sum[l] += a[i + l] * b[i + l];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

#endif
