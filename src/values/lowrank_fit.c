/* lowrank_fit.c: see lowrank_fit.h. Orthogonal iteration (Golub and Van Loan, Matrix Computations, 8.2.4) on G = W^T C W: the rows
 * come out in order of their eigenvalues. Where two of these are so close that the iterations do not part them, neither does it
 * matter which comes first. What a basis leaves is computed from G for the very rows that are written, converged or not. */
#include "values/lowrank_fit.h"

#include <math.h>
#include <string.h>

#include "core/dot.h"
#include "core/memory.h"
#include "core/rng.h"
#include "core/threads.h"

enum { ITERATIONS = 12 };

typedef struct work {
    const fov_lowrank_fit *fit;
    size_t d, e, m, rank;
    double *cw; /* [heads][d][e] C W */
    double *g;  /* [m][m] */
    double *q;  /* [rank][m] */
    double *y;  /* [rank][m] */
} work;

size_t fov_lowrank_fit_scratch(size_t width, size_t outputs, size_t rank) {
    return fov_add(fov_mul(outputs, fov_add(width, outputs)), fov_mul(2, fov_mul(rank, outputs)));
}

static void covariance_task(void *context, size_t head, unsigned thread) {
    (void)thread;
    const work *s = context;
    const double *w = s->fit->w + head * s->d * s->e;
    double *to = s->cw + head * s->d * s->e;
    for (size_t i = 0; i < s->d; i++, to += s->e) {
        memset(to, 0, s->e * sizeof *to);
        for (size_t j = 0; j < s->d; j++) {
            const double c = s->fit->covariance[i * s->d + j];
            for (size_t k = 0; k < s->e; k++) to[k] += c * w[j * s->e + k];
        }
    }
}

/* Rows of G of a head: W_h^T (C W). */
static void gram_task(void *context, size_t head, unsigned thread) {
    (void)thread;
    const work *s = context;
    const double *w = s->fit->w + head * s->d * s->e;
    double *rows = s->g + head * s->e * s->m;
    memset(rows, 0, s->e * s->m * sizeof *rows);
    for (size_t other = 0; other < s->fit->heads; other++)
        for (size_t i = 0; i < s->d; i++) {
            const double *from = s->cw + (other * s->d + i) * s->e;
            for (size_t c = 0; c < s->e; c++) {
                const double a = w[i * s->e + c];
                double *to = rows + c * s->m + other * s->e;
                for (size_t k = 0; k < s->e; k++) to[k] += a * from[k];
            }
        }
}

/* y = G q, a row of y at a time. */
static void multiply_task(void *context, size_t k, unsigned thread) {
    (void)thread;
    const work *s = context;
    for (size_t i = 0; i < s->m; i++) s->y[k * s->m + i] = fov_dot(s->g + i * s->m, s->q + k * s->m, s->m);
}

/* Modified Gram-Schmidt, twice: once is not orthogonal enough where the rows are near each other. A row that nothing is left of
 * becomes the first unit vector that is not spanned yet. */
static void orthogonalize(work *s) {
    for (size_t k = 0; k < s->rank; k++) {
        double *q = s->q + k * s->m;
        const double before = fov_dot(q, q, s->m);
        for (size_t unit = 0;; unit++) {
            for (int pass = 0; pass < 2; pass++)
                for (size_t j = 0; j < k; j++) {
                    const double *other = s->q + j * s->m, a = fov_dot(q, other, s->m);
                    for (size_t i = 0; i < s->m; i++) q[i] -= a * other[i];
                }
            const double norm = fov_dot(q, q, s->m), least = unit ? 1e-4 / (double)s->m : 1e-24 * before;
            if (norm > least && norm > 0) {
                const double inverse = 1 / sqrt(norm);
                for (size_t i = 0; i < s->m; i++) q[i] *= inverse;
                break;
            }
            if (unit == s->m || isnan(norm)) break; /* not finite: the reader refuses what comes of it */
            memset(q, 0, s->m * sizeof *q);
            q[unit] = 1;
        }
    }
}

static void start(work *s) {
    for (size_t i = 0; i < s->rank * s->m; i++) s->q[i] = (double)(fov_mix64(i) >> 11) * 0x1p-53 - .5;
    fov_parallel(s->fit->threads, s->fit->heads, covariance_task, s);
    fov_parallel(s->fit->threads, s->fit->heads, gram_task, s);
}

void fov_lowrank_fit_run(const fov_lowrank_fit *fit, double *scratch) {
    work s = {.fit = fit, .d = fit->width, .e = fit->head_size, .rank = fit->rank};
    s.m = fit->heads * fit->head_size;
    s.cw = scratch;
    s.g = s.cw + s.m * s.d;
    s.q = s.g + s.m * s.m;
    s.y = s.q + s.rank * s.m;
    start(&s);
    for (size_t n = 0; n < ITERATIONS; n++) {
        fov_parallel(fit->threads, s.rank, multiply_task, &s);
        memcpy(s.q, s.y, s.rank * s.m * sizeof *s.q);
        orthogonalize(&s);
    }
    for (size_t i = 0; i < s.rank * s.m; i++) {
        fit->basis[i] = (float)s.q[i];
        s.q[i] = (double)fit->basis[i];
    }
    fov_parallel(fit->threads, s.rank, multiply_task, &s);
    fit->residual[0] = 0;
    for (size_t i = 0; i < s.m; i++) fit->residual[0] += s.g[i * s.m + i];
    for (size_t k = 0; k < s.rank; k++)
        fit->residual[k + 1] = fmax(fit->residual[k] - fov_dot(s.q + k * s.m, s.y + k * s.m, s.m), 0);
}
