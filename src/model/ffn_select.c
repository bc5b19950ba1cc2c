/* ffn_select.c: see ffn_select.h. A Cholesky factorisation of C whose pivots are chosen by what they gain (as values/regress_fit.c,
 * for many outputs and all threads): with U the rows found so far (C_SS = U_S^T U_S) and Z = U^-T C W, the fit of level r is
 * B = U_r^-1 Z_r. A step is one pass over C W: units are shared out among the threads, and nothing is added across units. */
#include "model/ffn_select.h"

#include <math.h>
#include <string.h>

#include "core/threads.h"

enum {
    UNITS = 64,   /* of a task of a step */
    COLUMNS = 64, /* of a task of the last solve */
    LANES = 16
};

typedef struct sweep {
    const fov_ffn_select *s;
    size_t top, taken, pivot; /* units taken; the one being taken */
    double root;
    double *u;        /* [top][units] rows of the factor */
    double *diagonal; /* [units] of C given the units taken; 0: taken */
    double *gain;     /* [units] ||C_i (W - B)||^2 */
    float *z;         /* [top][width] */
    double *b;        /* [top][width] */
} sweep;

size_t fov_ffn_select_scratch(size_t units, size_t width, size_t top) {
    return fov_add(fov_mul(top, fov_add(units, fov_mul(2, width))), fov_mul(2, units));
}

static double square(const float *x, size_t n) {
    float sum[LANES] = {0};
    double total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) sum[l] += x[i + l] * x[i + l];
    for (; i < n; i++) total += (double)x[i] * (double)x[i];
    for (size_t l = 0; l < LANES; l++) total += (double)sum[l];
    return total;
}

/* Row `taken` of the factor for some units: (C[pivot] - sum_m U[m][pivot] U[m]) / root. */
static void factor(const sweep *w, size_t first, size_t end) {
    const size_t d = w->s->units;
    double *row = w->u + w->taken * d;
    memcpy(row + first, w->s->covariance + w->pivot * d + first, (end - first) * sizeof *row);
    size_t m = 0;
    for (; m + 4 <= w->taken; m += 4) {
        const double *u = w->u + m * d;
        const double a0 = u[w->pivot], a1 = u[d + w->pivot], a2 = u[2 * d + w->pivot], a3 = u[3 * d + w->pivot];
        for (size_t i = first; i < end; i++) row[i] -= a0 * u[i] + a1 * u[d + i] + (a2 * u[2 * d + i] + a3 * u[3 * d + i]);
    }
    for (; m < w->taken; m++) {
        const double *u = w->u + m * d, a = u[w->pivot];
        for (size_t i = first; i < end; i++) row[i] -= a * u[i];
    }
    for (size_t i = first; i < end; i++) row[i] /= w->root;
}

static void step_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const sweep *w = context;
    const size_t d = w->s->units, e = w->s->width, first = index * UNITS, end = first + UNITS < d ? first + UNITS : d;
    const float *z = w->z + w->taken * e;
    factor(w, first, end);
    const double *row = w->u + w->taken * d;
    for (size_t i = first; i < end; i++) {
        if (!(w->diagonal[i] > 0)) continue; /* taken: its residual is 0 */
        float *r = w->s->residual + i * e;
        const float a = (float)row[i];
        for (size_t c = 0; c < e; c++) r[c] -= a * z[c];
        w->gain[i] = square(r, e);
        w->diagonal[i] -= row[i] * row[i];
    }
}

/* The unit that gains most, the lower number first; units when none is left. */
static size_t choose(const sweep *w) {
    size_t best = w->s->units;
    double most = -1;
    for (size_t i = 0; i < w->s->units; i++)
        if (w->diagonal[i] > 0 && w->gain[i] / w->diagonal[i] > most) {
            most = w->gain[i] / w->diagonal[i];
            best = i;
        }
    return best;
}

static void take(sweep *w, size_t unit) {
    const size_t e = w->s->width, d = w->s->units;
    w->pivot = unit;
    w->root = sqrt(w->diagonal[unit]);
    for (size_t c = 0; c < e; c++) w->z[w->taken * e + c] = (float)((double)w->s->residual[unit * e + c] / w->root);
    fov_parallel(w->s->threads, (d + UNITS - 1) / UNITS, step_task, w);
    w->u[w->taken * d + unit] = w->root;
    w->diagonal[unit] = 0;
    w->s->order[w->taken++] = (uint32_t)unit;
}

/* Units without variance of their own fill the places that are left, with weights of zero. */
static void fill_rest(sweep *w) {
    memset(w->u + w->taken * w->s->units, 0, (w->top - w->taken) * w->s->units * sizeof *w->u);
    memset(w->z + w->taken * w->s->width, 0, (w->top - w->taken) * w->s->width * sizeof *w->z);
    for (uint32_t i = 0; i < w->s->units && w->taken < w->top; i++) {
        bool known = false;
        for (size_t m = 0; m < w->taken && !known; m++) known = w->s->order[m] == i;
        if (!known) w->s->order[w->taken++] = i;
    }
}

/* B = U_r^-1 Z_r from the last row up, for some columns and every level. */
static void solve_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const sweep *w = context;
    const size_t e = w->s->width, first = index * COLUMNS, end = first + COLUMNS < e ? first + COLUMNS : e;
    float *fits = w->s->fits;
    for (size_t l = 0; l < w->s->levels; fits += w->s->level[l++] * e)
        for (size_t k = w->s->level[l]; k-- > 0;) {
            const double *row = w->u + k * w->s->units, pivot = row[w->s->order[k]];
            double *b = w->b + k * e;
            for (size_t c = first; c < end; c++) b[c] = (double)w->z[k * e + c];
            for (size_t m = k + 1; m < w->s->level[l]; m++) {
                const double a = row[w->s->order[m]], *from = w->b + m * e;
                for (size_t c = first; c < end; c++) b[c] -= a * from[c];
            }
            for (size_t c = first; c < end; c++) {
                b[c] = pivot > 0 ? b[c] / pivot : 0;
                fits[k * e + c] = (float)b[c];
            }
        }
}

void fov_ffn_select_run(const fov_ffn_select *s) {
    const size_t d = s->units, e = s->width;
    sweep w = {.s = s, .top = s->level[s->levels - 1]};
    w.u = s->scratch;
    w.b = w.u + w.top * d;
    w.z = (float *)(w.b + w.top * e);
    w.diagonal = w.b + 2 * w.top * e;
    w.gain = w.diagonal + d;
    for (size_t i = 0; i < d; i++) {
        w.diagonal[i] = s->covariance[i * d + i];
        w.gain[i] = square(s->residual + i * e, e);
    }
    while (w.taken < w.top) {
        const size_t unit = choose(&w);
        if (unit == d)
            fill_rest(&w);
        else
            take(&w, unit);
    }
    fov_parallel(s->threads, (e + COLUMNS - 1) / COLUMNS, solve_task, &w);
}
