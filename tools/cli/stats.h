/* stats.h: what may be concluded from a sample: exact bounds of a share, and the paired bootstrap of a loss. */
#ifndef FOVEATE_CLI_STATS_H
#define FOVEATE_CLI_STATS_H

#include "metrics.h"

#include <stddef.h>
#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t stats_random(uint64_t *state);
/* Uniform in 0..n - 1, n < 2^32. */
size_t stats_below(uint64_t *state, size_t n);

void stats_sort(double *values, size_t n);
/* Linear interpolation between order statistics (numpy's default quantile). */
double stats_quantile(const double *sorted, size_t n, double q);
/* Sorts. */
double stats_median(double *values, size_t n);

/* Regularised incomplete beta function I_x(a, b), a and b > 0. */
double stats_beta(double x, double a, double b);
/* One-sided bounds of a share of which `hits` of n were seen (Clopper and Pearson 1934): the true share is above share_high, or
 * below share_low, with probability at most alpha. */
double stats_share_high(size_t hits, size_t n, double alpha);
double stats_share_low(size_t hits, size_t n, double alpha);

/* Two predictions of the same n texts, [n, columns] as the metrics take them. */
typedef struct paired {
    metric_function value;
    const double *gold, *exact, *candidate;
    size_t n, columns;
    size_t harm; /* texts that are spoilt in the candidate of every resample: harm that was not seen but is not excluded */
} paired;

/* value(exact) - value(candidate) of `rounds` bootstrap resamples over texts (fixed seed), sorted; resamples on which the metric is
 * undefined are left out of *kept. 0, or -1: out of memory. */
int stats_paired(const paired *p, size_t rounds, double *differences, size_t *kept);

#endif
