/* metrics.c: formulas as in scikit-learn and scipy, in double precision. */
#include "metrics.h"
#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double metric_accuracy(const double *gold, const double *predicted, size_t n, double *scratch) {
    (void)scratch;
    size_t right = 0;
    for (size_t i = 0; i < n; i++) right += gold[i] == predicted[i];
    return n ? (double)right / (double)n : NAN;
}

/* Confusion counts of class 1 against the rest. */
typedef struct counts {
    double tp, fp, fn, tn;
} counts;

static counts confusion(const double *gold, const double *predicted, size_t n) {
    counts c = {0, 0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        if (gold[i] == 1)
            *(predicted[i] == 1 ? &c.tp : &c.fn) += 1;
        else
            *(predicted[i] == 1 ? &c.fp : &c.tn) += 1;
    }
    return c;
}

double metric_f1(const double *gold, const double *predicted, size_t n, double *scratch) {
    (void)scratch;
    counts c = confusion(gold, predicted, n);
    double below = 2 * c.tp + c.fp + c.fn;
    return below > 0 ? 2 * c.tp / below : 0;
}

double metric_micro_f1(const double *gold, const double *predicted, size_t n, double *scratch) {
    return metric_f1(gold, predicted, n, scratch);
}

double metric_mcc(const double *gold, const double *predicted, size_t n, double *scratch) {
    (void)scratch;
    counts c = confusion(gold, predicted, n);
    double below = (c.tp + c.fp) * (c.tp + c.fn) * (c.tn + c.fp) * (c.tn + c.fn);
    return below > 0 ? (c.tp * c.tn - c.fp * c.fn) / sqrt(below) : 0;
}

/* Whether all values are the same: rounding of the mean would hide it. */
static int is_constant(const double *values, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (values[i] != values[0]) return 0;
    return 1;
}

double metric_pearson(const double *gold, const double *predicted, size_t n, double *scratch) {
    (void)scratch;
    double mean_g = 0, mean_p = 0, gg = 0, pp = 0, gp = 0;
    if (is_constant(gold, n) || is_constant(predicted, n)) return NAN;
    for (size_t i = 0; i < n; i++) {
        mean_g += gold[i] / (double)n;
        mean_p += predicted[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double g = gold[i] - mean_g, p = predicted[i] - mean_p;
        gg += g * g;
        pp += p * p;
        gp += g * p;
    }
    return gp / sqrt(gg * pp);
}

/* (value, position) pairs, sorted by value; positions only keep the order total. */
static int compare_pairs(const void *a, const void *b) {
    const double *x = a, *y = b;
    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return (x[1] > y[1]) - (x[1] < y[1]);
}

/* ranks[i] = mid-rank of values[i], from 1; pairs [2 n]. Returns 0 when a value is NaN (it has no rank). */
static int mid_ranks(const double *values, size_t n, double *pairs, double *ranks) {
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i])) return 0;
        pairs[2 * i] = values[i];
        pairs[2 * i + 1] = (double)i;
    }
    qsort(pairs, n, 2 * sizeof *pairs, compare_pairs);
    for (size_t first = 0, last; first < n; first = last) {
        for (last = first; last < n && pairs[2 * last] == pairs[2 * first]; last++) continue;
        for (size_t i = first; i < last; i++) ranks[(size_t)pairs[2 * i + 1]] = .5 * (double)(first + 1 + last);
    }
    return 1;
}

double metric_spearman(const double *gold, const double *predicted, size_t n, double *scratch) {
    double *pairs = scratch, *ranks_g = scratch + 2 * n, *ranks_p = scratch + 3 * n;
    if (!mid_ranks(gold, n, pairs, ranks_g) || !mid_ranks(predicted, n, pairs, ranks_p)) return NAN;
    return metric_pearson(ranks_g, ranks_p, n, NULL);
}

int metric_bootstrap(metric_function value, const double *gold, const double *predicted, size_t n, size_t columns, size_t rounds,
                     interval *out) {
    *out = (interval){NAN, NAN, NAN};
    if (!n || !rounds) return 0;
    const size_t cells = n * columns;
    double *work = malloc((cells * (2 + METRIC_SCRATCH) + rounds) * sizeof *work);
    if (!work) return -1;
    double *g = work, *p = g + cells, *scratch = p + cells, *figures = scratch + METRIC_SCRATCH * cells;
    out->mean = value(gold, predicted, cells, scratch);
    uint64_t state = 20220222;
    size_t kept = 0;
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            size_t pick = stats_below(&state, n);
            memcpy(g + i * columns, gold + pick * columns, columns * sizeof *g);
            memcpy(p + i * columns, predicted + pick * columns, columns * sizeof *p);
        }
        double figure = value(g, p, cells, scratch);
        if (!isnan(figure)) figures[kept++] = figure; /* a constant resample has no correlation */
    }
    if (kept && !isnan(out->mean)) {
        stats_sort(figures, kept);
        out->low = stats_quantile(figures, kept, .025);
        out->high = stats_quantile(figures, kept, .975);
    }
    free(work);
    return 0;
}

double student_t95(size_t freedom) {
    static const double table[] = {NAN,    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
                                   2.2010, 2.1788,  2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796,
                                   2.0739, 2.0687,  2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423};
    if (freedom < sizeof table / sizeof *table) return table[freedom];
    /* Cornish-Fisher expansion about the normal quantile z; less than 1e-5 off from 31 degrees on. */
    double z = 1.959963985, v = (double)freedom, z2 = z * z;
    double first = z * (z2 + 1) / 4, second = z * ((5 * z2 + 16) * z2 + 3) / 96;
    double third = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
    return z + (first + (second + third / v) / v) / v;
}

interval metric_over_seeds(const double *figures, size_t n) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += figures[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (figures[i] - mean) * (figures[i] - mean);
    double half = n > 1 ? student_t95(n - 1) * sqrt(square / (double)(n - 1) / (double)n) : 0;
    return (interval){mean, mean - half, mean + half};
}
