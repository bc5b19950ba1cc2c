/* held.c: see held.h. With D = W - B (rows of B outside S are 0) the error is tr(D^T M D) = tr(W^T M W) - 2 tr(B^T M W) + tr(B^T M
 * B); with G = W^T M W and P = V^T V it is tr((1 - P) G (1 - P)) = tr G - 2 tr(V G V^T) + tr(V G V^T V V^T). */
#include "values/held.h"

#include <math.h>
#include <string.h>

#include "core/threads.h"

static double dot(const double *a, const double *b, size_t n) {
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t l = 0; l < 4; l++) sum[l] += a[i + l] * b[i + l];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

/* M W of a head; returns tr(W^T M W). */
static double find_product(const fov_held *h, size_t head) {
    const size_t d = h->width, e = h->head_size;
    const double *w = h->w + head * d * e;
    double *product = h->product + head * d * e;
    memset(product, 0, d * e * sizeof *product);
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k < d; k++) {
            const double a = h->moment[i * d + k];
            for (size_t c = 0; c < e; c++) product[i * e + c] += a * w[k * e + c];
        }
    return dot(w, product, d * e);
}

void fov_held_regress(const fov_held *h, size_t head, const fov_held_levels *levels, double *scratch) {
    const size_t d = h->width, e = h->head_size;
    const double energy = find_product(h, head), *product = h->product + head * d * e;
    const float *b = levels->weight;
    for (size_t l = 0; l < levels->levels; b += levels->level[l++] * e) {
        double error = energy;
        for (size_t k = 0; k < levels->level[l]; k++) {
            const size_t i = levels->order[k];
            for (size_t c = 0; c < e; c++) scratch[c] = -2 * product[i * e + c];
            for (size_t m = 0; m < levels->level[l]; m++) {
                const double a = h->moment[i * d + levels->order[m]];
                for (size_t c = 0; c < e; c++) scratch[c] += a * (double)b[m * e + c];
            }
            for (size_t c = 0; c < e; c++) error += (double)b[k * e + c] * scratch[c];
        }
        levels->error[l] = (float)fmax(error, 0);
    }
}

typedef struct work {
    const fov_held *held;
    const float *basis;
    size_t m;
    double *g, *y, *gain; /* [m][m], V G [rank][m], [rank] */
} work;

/* Row `a` of G. */
static void gram_task(void *context, size_t a, unsigned thread) {
    (void)thread;
    const work *s = context;
    const size_t d = s->held->width, e = s->held->head_size;
    const double *w = s->held->w + a / e * d * e + a % e;
    double *row = s->g + a * s->m;
    memset(row, 0, s->m * sizeof *row);
    for (size_t head = 0; head < s->held->heads; head++)
        for (size_t i = 0; i < d; i++) {
            const double *product = s->held->product + (head * d + i) * e, x = w[i * e];
            for (size_t c = 0; c < e; c++) row[head * e + c] += x * product[c];
        }
}

static void project_task(void *context, size_t k, unsigned thread) {
    (void)thread;
    const work *s = context;
    double *y = s->y + k * s->m;
    memset(y, 0, s->m * sizeof *y);
    for (size_t a = 0; a < s->m; a++) {
        const double x = (double)s->basis[k * s->m + a];
        for (size_t b = 0; b < s->m; b++) y[b] += x * s->g[a * s->m + b];
    }
}

/* What row k adds to the error: -2 A_kk + sum_{j <= k} (A_kj Q_kj, twice below the diagonal), A = V G V^T, Q = V V^T. */
static void gain_task(void *context, size_t k, unsigned thread) {
    (void)thread;
    const work *s = context;
    const double *y = s->y + k * s->m;
    const float *v = s->basis + k * s->m;
    double sum = 0;
    for (size_t j = 0; j <= k; j++) {
        const float *u = s->basis + j * s->m;
        double a = 0, q = 0;
        for (size_t i = 0; i < s->m; i++) {
            a += y[i] * (double)u[i];
            q += (double)v[i] * (double)u[i];
        }
        sum += j < k ? 2 * a * q : a * q - 2 * a;
    }
    s->gain[k] = sum;
}

void fov_held_lowrank(const fov_held *held, const float *basis, size_t rank, double *error, double *scratch) {
    work s = {.held = held, .basis = basis, .m = held->heads * held->head_size, .g = scratch};
    s.y = s.g + s.m * s.m;
    s.gain = s.y + rank * s.m;
    fov_parallel(held->threads, s.m, gram_task, &s);
    fov_parallel(held->threads, rank, project_task, &s);
    fov_parallel(held->threads, rank, gain_task, &s);
    double sum = 0;
    for (size_t i = 0; i < s.m; i++) sum += s.g[i * s.m + i];
    error[0] = sum;
    for (size_t k = 0; k < rank; k++) {
        sum += s.gain[k];
        error[k + 1] = fmax(sum, 0);
    }
}
