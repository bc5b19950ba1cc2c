/* metrics.h: evaluation metrics with 95 % intervals. Labels and predictions are doubles: class ids, or scores. */
#ifndef FOVEATE_CLI_METRICS_H
#define FOVEATE_CLI_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* gold and predicted [n]; `scratch` [4 n] (used by the rank metrics only). A prediction that is no class is wrong. */
typedef double (*metric_function)(const double *gold, const double *predicted, size_t n, double *scratch);

typedef struct metric {
    const char *name; /* "accuracy", "f1", "mcc", "pearson", "spearman" */
    metric_function value;
} metric;

enum { METRIC_SCRATCH = 4 };

double metric_accuracy(const double *gold, const double *predicted, size_t n, double *scratch);
/* F1 of class 1: 2 tp / (2 tp + fp + fn); 0 without any. */
double metric_f1(const double *gold, const double *predicted, size_t n, double *scratch);
/* Matthews correlation of two classes; 0 when a margin is empty. */
double metric_mcc(const double *gold, const double *predicted, size_t n, double *scratch);
/* NaN when either side is constant or holds a NaN. */
double metric_pearson(const double *gold, const double *predicted, size_t n, double *scratch);
/* Pearson of mid-ranks: ties share the mean of their ranks. */
double metric_spearman(const double *gold, const double *predicted, size_t n, double *scratch);
/* Micro-averaged F1 of label sets, as n x labels zeros and ones laid end to end: the F1 of the pooled decisions. */
double metric_micro_f1(const double *gold, const double *predicted, size_t n, double *scratch);

typedef struct interval {
    double mean, low, high;
} interval;

/* The metric on all examples, [n, columns], with the 2.5 and 97.5 percentiles of `rounds` bootstrap resamples over examples (fixed
 * seed).
 * 0, or -1: out of memory. */
int metric_bootstrap(metric_function value, const double *gold, const double *predicted, size_t n, size_t columns, size_t rounds,
                     interval *out);
/* Mean of `n` >= 2 figures with mean +- t(.975, n - 1) s / sqrt(n). */
interval metric_over_seeds(const double *figures, size_t n);
/* Two-sided 95 % quantile of Student's t. */
double student_t95(size_t freedom);

#endif
