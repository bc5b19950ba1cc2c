/* narrow_fit.c: see narrow_fit.h. With Q = P^T P and K = R^T R, q^T k = u^T (P R^T) v for u, v of unit covariance, so that (Eckart
 * and Young 1936) the first r terms of P R^T = sum_i s_i x_i y_i^T are the best of rank r, and leave sum_{i > r} s_i^2:
 *     A_i = s_i^(1/2) x_i^T P^-T,   B_i = s_i^(1/2) y_i^T R^-T
 * Roots are by eigenvectors: P = D^(1/2) V for Q = V^T D V, and P^-T = D^(-1/2) V. */
#include "attention/narrow_fit.h"

#include <math.h>
#include <string.h>

#include "attention/profile.h"
#include "attention/svd.h"
#include "core/memory.h"

static const double FLOOR = 1e-9; /* of the largest eigenvalue: directions that hardly occur must not be blown up */

size_t fov_narrow_fit_scratch(size_t size) {
    return fov_mul(fov_add(fov_mul(4, size), 3), size);
}

/* The eigenvectors V of c, and the roots of its eigenvalues. spare [n][n] */
static void decompose(size_t n, const double *c, double *v, double *root, double *spare) {
    memcpy(spare, c, n * n * sizeof *c);
    fov_svd(n, spare, v, root);
    for (size_t i = 0; i < n; i++) root[i] = sqrt(fmax(root[i], FLOOR * root[0]));
}

/* Rows a_i = s_i^(1/2) x_i^T D^(-1/2) V */
static void unwhiten(size_t n, size_t rank, const double *s, const double *x, const double *root, const double *v, float *to) {
    for (size_t r = 0; r < rank; r++)
        for (size_t k = 0; k < n; k++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++)
                if (root[i] > 0) sum += x[r * n + i] / root[i] * v[i * n + k];
            to[r * n + k] = (float)(sqrt(s[r]) * sum);
        }
}

void fov_narrow_fit_run(const fov_narrow_fit *fit, double *scratch) {
    const size_t n = fit->size, square = n * n;
    double *v = scratch, *w = v + square, *product = w + square, *left = product + square;
    double *root_v = left + square, *root_w = root_v + n;
    decompose(n, fit->query, v, root_v, left);
    decompose(n, fit->key, w, root_w, left);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            double sum = 0;
            for (size_t c = 0; c < n; c++) sum += v[i * n + c] * w[k * n + c];
            product[i * n + k] = root_v[i] * sum * root_w[k];
        }
    double *value = left + square + 2 * n;
    fov_svd(n, product, left, value);
    unwhiten(n, fit->rank, value, left, root_v, v, fit->to_query);
    unwhiten(n, fit->rank, value, product, root_w, w, fit->to_key);
}

/* to = a b for [n][n] */
static void multiply(size_t n, const double *a, const double *b, double *to) {
    memset(to, 0, n * n * sizeof *to);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < n; c++)
            for (size_t k = 0; k < n; k++) to[i * n + k] += a[i * n + c] * b[c * n + k];
}

/* With E = 1 - A^T B the error is tr(Q E K E^T). */
void fov_narrow_fit_error(const fov_narrow_fit *fit, float *error, double *scratch) {
    const size_t n = fit->size, square = n * n;
    double *e = scratch, *qe = e + square, *ek = qe + square;
    for (size_t i = 0; i < square; i++) e[i] = i % (n + 1) == 0;
    for (size_t r = 0;; r++) {
        if (r % FOV_NARROW_STEP == 0) {
            double sum = 0;
            multiply(n, fit->query, e, qe);
            multiply(n, e, fit->key, ek);
            for (size_t i = 0; i < square; i++) sum += qe[i] * ek[i];
            error[r / FOV_NARROW_STEP] = (float)sqrt(fmax(sum, 0) / (double)n);
        }
        if (r >= fit->rank) break;
        const float *a = fit->to_query + r * n, *b = fit->to_key + r * n;
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < n; k++) e[i * n + k] -= (double)a[i] * (double)b[k];
    }
}
