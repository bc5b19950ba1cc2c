/* stats.c: Clopper-Pearson bounds through the incomplete beta function, and the paired bootstrap (Efron 1979). */
#include "stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

uint64_t stats_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t stats_below(uint64_t *state, size_t n) {
    return (size_t)(((stats_random(state) >> 32) * (uint64_t)n) >> 32);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void stats_sort(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare_doubles);
}

double stats_quantile(const double *sorted, size_t n, double q) {
    double at = q * (double)(n - 1);
    size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

double stats_median(double *values, size_t n) {
    if (!n) return NAN;
    stats_sort(values, n);
    return stats_quantile(values, n, .5);
}

/* ---- the incomplete beta function ---- */

/* The continued fraction of DLMF 8.17.22 by Lentz's method; converges within O(sqrt(max(a, b))) terms for x < (a + 1) / (a + b +
 * 2). */
static double beta_fraction(double x, double a, double b) {
    enum { TERMS = 100000 };
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int i = 1; i < TERMS; i++) {
        const double m = i;
        const double terms[2] = {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                                 -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))};
        double step = 1;
        for (int k = 0; k < 2; k++) {
            d = 1 + terms[k] * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + terms[k] / c;
            if (fabs(c) < tiny) c = tiny;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < 1e-15) break;
    }
    return f;
}

double stats_beta(double x, double a, double b) {
    if (!(x > 0)) return 0;
    if (!(x < 1)) return 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    /* I_x(a, b) = 1 - I_{1 - x}(b, a): the side on which the fraction converges fast */
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a : 1 - front * beta_fraction(1 - x, b, a) / b;
}

/* x with I_x(a, b) = p, by bisection down to neighbouring doubles. */
static double beta_inverse(double p, double a, double b) {
    double low = 0, high = 1;
    for (int i = 0; i < 200; i++) {
        const double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) break;
        if (stats_beta(middle, a, b) < p)
            low = middle;
        else
            high = middle;
    }
    return high;
}

double stats_share_high(size_t hits, size_t n, double alpha) {
    if (hits >= n) return 1;
    return beta_inverse(1 - alpha, (double)hits + 1, (double)(n - hits));
}

double stats_share_low(size_t hits, size_t n, double alpha) {
    if (!hits) return 0;
    return beta_inverse(alpha, (double)hits, (double)(n - hits) + 1);
}

/* ---- the paired bootstrap ---- */

static bool same_row(const double *a, const double *b, size_t columns) {
    for (size_t c = 0; c < columns; c++)
        if (a[c] != b[c]) return false;
    return true;
}

/* Make an answer wrong: another class; of label sets none, or one where none was right. */
static void spoil(double *answer, const double *gold, size_t columns) {
    if (columns == 1) {
        answer[0] = gold[0] == 0;
        return;
    }
    bool none = true;
    for (size_t c = 0; c < columns; c++) {
        none = none && gold[c] == 0;
        answer[c] = 0;
    }
    if (none) answer[0] = 1;
}

typedef struct resample {
    double *gold, *exact, *candidate, *scratch;
} resample;

static void draw(const paired *p, const resample *r, uint64_t *state) {
    enum { TRIES = 64 }; /* fewer may be spoilt where almost nothing is right */
    const size_t columns = p->columns;
    for (size_t i = 0; i < p->n; i++) {
        const size_t pick = stats_below(state, p->n) * columns;
        memcpy(r->gold + i * columns, p->gold + pick, columns * sizeof *r->gold);
        memcpy(r->exact + i * columns, p->exact + pick, columns * sizeof *r->exact);
        memcpy(r->candidate + i * columns, p->candidate + pick, columns * sizeof *r->candidate);
    }
    for (size_t h = 0; h < p->harm; h++) {
        for (int t = 0; t < TRIES; t++) {
            const size_t at = stats_below(state, p->n) * columns;
            if (!same_row(r->exact + at, r->gold + at, columns) || !same_row(r->candidate + at, r->gold + at, columns)) continue;
            spoil(r->candidate + at, r->gold + at, columns);
            break;
        }
    }
}

int stats_paired(const paired *p, size_t rounds, double *differences, size_t *kept) {
    *kept = 0;
    const size_t cells = p->n * p->columns;
    double *work = calloc(cells ? cells : 1, (3 + METRIC_SCRATCH) * sizeof *work);
    if (!work) return -1;
    const resample r = {work, work + cells, work + 2 * cells, work + 3 * cells};
    uint64_t state = 20220222;
    for (size_t round = 0; round < rounds && p->n; round++) {
        draw(p, &r, &state);
        const double difference = p->value(r.gold, r.exact, cells, r.scratch) - p->value(r.gold, r.candidate, cells, r.scratch);
        if (!isnan(difference)) differences[(*kept)++] = difference; /* a constant resample has no correlation */
    }
    stats_sort(differences, *kept);
    free(work);
    return 0;
}
