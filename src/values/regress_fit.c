/* regress_fit.c: see regress_fit.h. A pivoted Cholesky factorisation of C whose pivots are chosen by what they gain: with U the
 * rows found so far (C_SS = U_S^T U_S) and Z = U^-T C W, the fit of level r is B = U_r^-1 Z_r, and its residual energy is
 * tr(W^T C W) - sum_{k < r} ||Z_k||^2. So one sweep serves every level. */
#include "values/regress_fit.h"

#include <math.h>
#include <string.h>

#include "core/dot.h"
#include "core/memory.h"

typedef struct sweep {
    const fov_regress_fit *fit;
    size_t d, e, top;
    double ridge;
    double *u;        /* [top][d] rows of the factor, over all features */
    double *z;        /* [top][e] */
    double *residual; /* [d][e] C (W - B) */
    double *diagonal; /* [d] of C given the features taken; -1: taken, or of no variance left */
    double *least;    /* [d] below it a feature is a combination of those taken */
    double *b;        /* [top][e] */
} sweep;

size_t fov_regress_fit_scratch(size_t d, size_t e, size_t top) {
    return fov_add(fov_mul(top, fov_add(d, 2 * e)), fov_mul(d, e + 2));
}

static void start(sweep *s, double *energy) {
    const double *c = s->fit->covariance, *w = s->fit->w;
    double trace = 0;
    for (size_t i = 0; i < s->d; i++) trace += c[i * s->d + i];
    s->ridge = 1e-6 * trace / (double)s->d; /* far below any feature's variance in the checkpoints tried; keeps a constant out */
    memset(s->residual, 0, s->d * s->e * sizeof *s->residual);
    *energy = 0;
    for (size_t i = 0; i < s->d; i++) {
        double *to = s->residual + i * s->e;
        for (size_t j = 0; j < s->d; j++) {
            const double cij = c[i * s->d + j] + (i == j ? s->ridge : 0);
            for (size_t k = 0; k < s->e; k++) to[k] += cij * w[j * s->e + k];
        }
        *energy += fov_dot(to, w + i * s->e, s->e);
        s->diagonal[i] = c[i * s->d + i] + s->ridge;
        s->least[i] = 1e-9 * s->diagonal[i];
    }
}

/* The feature that gains most, lower number first; d when none is left. */
static size_t choose(const sweep *s) {
    size_t best = s->d;
    double most = -1;
    for (size_t i = 0; i < s->d; i++) {
        if (!(s->diagonal[i] > s->least[i])) continue;
        const double gain = fov_dot(s->residual + i * s->e, s->residual + i * s->e, s->e) / s->diagonal[i];
        if (gain > most) {
            most = gain;
            best = i;
        }
    }
    return best;
}

/* Row k of the factor for pivot j: (C[j] - sum_{m < k} U[m][j] U[m]) / sqrt(pivot). */
static void factor_row(sweep *s, size_t k, size_t j) {
    const size_t d = s->d;
    double *row = s->u + k * d;
    memcpy(row, s->fit->covariance + j * d, d * sizeof *row);
    row[j] += s->ridge;
    size_t m = 0;
    for (; m + 4 <= k; m += 4) {
        const double *u = s->u + m * d;
        const double a0 = u[j], a1 = u[d + j], a2 = u[2 * d + j], a3 = u[3 * d + j];
        for (size_t i = 0; i < d; i++) row[i] -= a0 * u[i] + a1 * u[d + i] + (a2 * u[2 * d + i] + a3 * u[3 * d + i]);
    }
    for (; m < k; m++) {
        const double *u = s->u + m * d, a = u[j];
        for (size_t i = 0; i < d; i++) row[i] -= a * u[i];
    }
    const double root = sqrt(s->diagonal[j]);
    for (size_t i = 0; i < d; i++) row[i] /= root;
    row[j] = root;
}

/* Take feature j as number k; returns the energy it explains. */
static double take(sweep *s, size_t k, size_t j) {
    factor_row(s, k, j);
    const double *row = s->u + k * s->d, root = row[j];
    double *z = s->z + k * s->e;
    for (size_t c = 0; c < s->e; c++) z[c] = s->residual[j * s->e + c] / root;
    for (size_t i = 0; i < s->d; i++) {
        double *to = s->residual + i * s->e;
        for (size_t c = 0; c < s->e; c++) to[c] -= row[i] * z[c];
        if (s->diagonal[i] > 0) s->diagonal[i] -= row[i] * row[i];
    }
    s->diagonal[j] = -1;
    s->fit->order[k] = (uint32_t)j;
    return fov_dot(z, z, s->e);
}

/* B = U_r^-1 Z_r from the last row up. */
static void solve(const sweep *s, size_t r, float *weight) {
    const uint32_t *order = s->fit->order;
    for (size_t k = r; k-- > 0;) {
        const double *row = s->u + k * s->d;
        double *b = s->b + k * s->e;
        memcpy(b, s->z + k * s->e, s->e * sizeof *b);
        for (size_t m = k + 1; m < r; m++) {
            const double a = row[order[m]], *from = s->b + m * s->e;
            for (size_t c = 0; c < s->e; c++) b[c] -= a * from[c];
        }
        const double pivot = row[order[k]];
        for (size_t c = 0; c < s->e; c++) {
            b[c] = pivot > 0 ? b[c] / pivot : 0;
            weight[k * s->e + c] = (float)b[c];
        }
    }
}

/* Features without variance of their own fill the places from k on, with weights of zero. */
static void fill_rest(sweep *s, size_t k) {
    memset(s->u + k * s->d, 0, (s->top - k) * s->d * sizeof *s->u);
    memset(s->z + k * s->e, 0, (s->top - k) * s->e * sizeof *s->z);
    for (size_t i = 0; i < s->d && k < s->top; i++) {
        bool taken = false;
        for (size_t m = 0; m < k && !taken; m++) taken = s->fit->order[m] == i;
        if (!taken) s->fit->order[k++] = (uint32_t)i;
    }
}

void fov_regress_fit_run(const fov_regress_fit *fit, double *scratch) {
    const size_t d = fit->width, e = fit->head_size, top = fit->level[fit->levels - 1];
    sweep s = {.fit = fit, .d = d, .e = e, .top = top};
    s.u = scratch;
    s.z = s.u + top * d;
    s.b = s.z + top * e;
    s.residual = s.b + top * e;
    s.diagonal = s.residual + d * e;
    s.least = s.diagonal + d;
    double energy;
    start(&s, &energy);
    size_t k = 0, at = 0;
    for (size_t l = 0; l < fit->levels; l++) {
        for (; k < fit->level[l]; k++) {
            const size_t j = choose(&s);
            if (j == d) {
                fill_rest(&s, k);
                k = top;
                break;
            }
            energy -= take(&s, k, j);
        }
        fit->error[l] = (float)fmax(energy, 0);
    }
    for (size_t l = 0; l < fit->levels; at += fit->level[l++]) solve(&s, fit->level[l], fit->weight + at * e);
}
