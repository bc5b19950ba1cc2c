/* judge.h: what a setting loses against exact on the same texts, and what of it a sample of this size can show. */
#ifndef FOVEATE_CLI_JUDGE_H
#define FOVEATE_CLI_JUDGE_H

#include "stats.h"

#include <stdbool.h>

typedef enum judge_kind {
    JUDGE_AGREEMENT, /* no labels: every answer that is not exact's is lost */
    JUDGE_ACCURACY,  /* labels: right ones lost less right ones won */
    JUDGE_LABELS,    /* labels: mcc, f1 */
    JUDGE_SCORES     /* a correlation: with the gold scores, or with exact's */
} judge_kind;

typedef struct judge {
    judge_kind kind;
    metric_function value; /* not for AGREEMENT */
    size_t columns;
    double alpha; /* what may remain: .05 for 95 % */
} judge;

typedef struct verdict {
    size_t texts, changed, harmful, helpful; /* answers other than exact's; of them right -> wrong, wrong -> right */
    double exact, figure;                    /* the metric of both; AGREEMENT: 1, and the share that agrees */
    double loss, low, high;                  /* points; two-sided interval: paired bootstrap, AGREEMENT: Clopper-Pearson */
    double bound;                            /* points: the loss is above it with probability at most alpha */
    double changed_low, changed_high;        /* share of changed answers, two-sided, Clopper-Pearson */
} verdict;

/* gold (NULL: none), exact and candidate: [n, columns]. 0, or -1: out of memory. */
int judge_run(const judge *j, const double *gold, const double *exact, const double *candidate, size_t n, verdict *out);
/* The fewest texts on which a bound of max_loss points could hold, if no answer changed; SIZE_MAX: none. */
size_t judge_least(const judge *j, double max_loss);
/* About how many texts would show it, were the rates on them those of the verdict; SIZE_MAX: none would. */
size_t judge_needed(const judge *j, const verdict *v, double max_loss);

#endif
