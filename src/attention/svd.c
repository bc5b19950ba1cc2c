/* svd.c: see svd.h. One-sided Jacobi rotations (Hestenes; Golub and Van Loan, Matrix Computations, 8.6.3): pairs of rows of a are
 * turned until all are orthogonal; the rotations together are `left`, the rows' lengths the singular values. */
#include "attention/svd.h"

#include <math.h>
#include <stdbool.h>

#include "core/dot.h"

enum { SWEEPS = 40 };
static const double ORTHOGONAL = 1e-14; /* cosine of two rows that counts as 0 */

static void turn(double *a, double *b, size_t n, double c, double s) {
    for (size_t i = 0; i < n; i++) {
        const double x = a[i], y = b[i];
        a[i] = c * x - s * y;
        b[i] = s * x + c * y;
    }
}

static void exchange(double *a, double *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const double x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

/* Make rows p and q orthogonal; false when they are. */
static bool rotate(size_t n, double *p, double *q, double *left_p, double *left_q) {
    const double pp = fov_dot(p, p, n), qq = fov_dot(q, q, n), pq = fov_dot(p, q, n);
    if (!(fabs(pq) > ORTHOGONAL * sqrt(pp * qq))) return false;
    const double zeta = (qq - pp) / (2 * pq);
    const double t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(zeta * zeta + 1)), c = 1 / sqrt(t * t + 1);
    turn(p, q, n, c, c * t);
    turn(left_p, left_q, n, c, c * t);
    return true;
}

void fov_svd(size_t n, double *a, double *left, double *value) {
    for (size_t i = 0; i < n * n; i++) left[i] = i % (n + 1) == 0;
    bool turned = true;
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = false;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) turned |= rotate(n, a + p * n, a + q * n, left + p * n, left + q * n);
    }
    for (size_t i = 0; i < n; i++) value[i] = sqrt(fov_dot(a + i * n, a + i * n, n));
    for (size_t i = 0; i < n; i++) {
        size_t most = i;
        for (size_t k = i + 1; k < n; k++)
            if (value[k] > value[most]) most = k;
        exchange(a + i * n, a + most * n, n);
        exchange(left + i * n, left + most * n, n);
        exchange(value + i, value + most, 1);
        const double inverse = value[i] > 0 ? 1 / value[i] : 0;
        for (size_t k = 0; k < n; k++) a[i * n + k] *= inverse;
    }
}
