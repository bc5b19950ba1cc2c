/* judge.c: losses in points (hundredths of the metric) with intervals and one-sided bounds.
 *
 * The bound of a loss that comes from changed labels rests on counts, since a bootstrap of a sample without changes would promise
 * that there never is one:
 *   AGREEMENT  Clopper-Pearson of the changed answers, at alpha
 *   ACCURACY   high(harmful, alpha / 2) - low(helpful, alpha / 2): both hold with probability 1 - alpha (Bonferroni)
 *   LABELS     the (1 - alpha / 2) quantile of the paired bootstrap with as much harm as high(harmful, alpha / 2) allows
 *   SCORES     the (1 - alpha) quantile of the paired bootstrap: every score changes, so there is no such gap */
#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 2000, LEAST_SCORES = 30 };

/* Twenty resamples beyond the outermost quantile asked for, alpha / 2. */
static size_t rounds_of(double alpha) {
    const double least = 40 / alpha;
    return least > ROUNDS ? (size_t)least : ROUNDS;
}

static bool same(const double *a, const double *b, size_t columns) {
    return !memcmp(a, b, columns * sizeof *a);
}

static void count(const judge *j, const double *gold, const double *exact, const double *candidate, verdict *v) {
    for (size_t i = 0; i < v->texts * j->columns; i += j->columns) {
        v->changed += !same(exact + i, candidate + i, j->columns);
        if (!gold) continue;
        const bool right = same(exact + i, gold + i, j->columns), still = same(candidate + i, gold + i, j->columns);
        v->harmful += right && !still;
        v->helpful += !right && still;
    }
    if (!gold) v->harmful = v->changed;
}

static double bound_of_counts(const judge *j, size_t harmful, size_t helpful, size_t n) {
    if (j->kind == JUDGE_AGREEMENT) return 100 * stats_share_high(harmful, n, j->alpha);
    return 100 * (stats_share_high(harmful, n, j->alpha / 2) - stats_share_low(helpful, n, j->alpha / 2));
}

/* Harm beyond the observed that the sample does not exclude, in texts. */
static size_t hidden_harm(const judge *j, const verdict *v) {
    const double high = stats_share_high(v->harmful, v->texts, j->alpha / 2) * (double)v->texts;
    return (size_t)ceil(high) - v->harmful;
}

static int bootstrap(const judge *j, paired p, verdict *v) {
    const size_t rounds = rounds_of(j->alpha);
    double *differences = malloc(rounds * sizeof *differences);
    size_t kept;
    if (!differences) return -1;
    int failed = stats_paired(&p, rounds, differences, &kept);
    v->low = v->high = v->bound = NAN;
    if (!failed && kept) {
        v->low = 100 * stats_quantile(differences, kept, j->alpha / 2);
        v->high = 100 * stats_quantile(differences, kept, 1 - j->alpha / 2);
        v->bound = 100 * stats_quantile(differences, kept, 1 - j->alpha);
    }
    if (!failed && j->kind == JUDGE_LABELS) {
        p.harm = hidden_harm(j, v);
        failed = stats_paired(&p, rounds, differences, &kept);
        v->bound = !failed && kept ? 100 * stats_quantile(differences, kept, 1 - j->alpha / 2) : NAN;
    }
    free(differences);
    return failed;
}

int judge_run(const judge *j, const double *gold, const double *exact, const double *candidate, size_t n, verdict *out) {
    *out = (verdict){.texts = n};
    const double *truth = gold ? gold : exact;
    if (j->kind != JUDGE_SCORES) {
        count(j, gold, exact, candidate, out);
        out->changed_low = stats_share_low(out->changed, n, j->alpha / 2);
        out->changed_high = stats_share_high(out->changed, n, j->alpha / 2);
    }
    if (j->kind == JUDGE_AGREEMENT) {
        out->exact = 1;
        out->figure = 1 - (double)out->changed / (double)n;
        out->loss = 100 * (double)out->changed / (double)n;
        out->low = 100 * out->changed_low;
        out->high = 100 * out->changed_high;
        out->bound = bound_of_counts(j, out->harmful, 0, n);
        return 0;
    }
    double *scratch = malloc(n * j->columns * METRIC_SCRATCH * sizeof *scratch);
    if (!scratch) return -1;
    out->exact = j->value(truth, exact, n * j->columns, scratch);
    out->figure = j->value(truth, candidate, n * j->columns, scratch);
    out->loss = 100 * (out->exact - out->figure);
    free(scratch);
    if (bootstrap(j, (paired){j->value, truth, exact, candidate, n, j->columns, 0}, out)) return -1;
    if (j->kind == JUDGE_ACCURACY) out->bound = bound_of_counts(j, out->harmful, out->helpful, n);
    return 0;
}

size_t judge_least(const judge *j, double max_loss) {
    if (j->kind == JUDGE_SCORES) return LEAST_SCORES;
    if (!(max_loss > 0)) return SIZE_MAX;
    /* Without a change the bound is 1 - a^(1 / n). */
    const double a = j->kind == JUDGE_AGREEMENT ? j->alpha : j->alpha / 2;
    return (size_t)ceil(log(a) / log1p(-max_loss / 100));
}

static bool shows(const judge *j, const verdict *v, size_t n, double max_loss) {
    const double scale = (double)n / (double)v->texts;
    return bound_of_counts(j, (size_t)ceil((double)v->harmful * scale), (size_t)((double)v->helpful * scale), n) <= max_loss;
}

size_t judge_needed(const judge *j, const verdict *v, double max_loss) {
    const size_t most = (size_t)1 << 30, least = judge_least(j, max_loss);
    if (!(v->loss < max_loss) || least == SIZE_MAX) return SIZE_MAX;
    if (j->kind == JUDGE_LABELS || j->kind == JUDGE_SCORES) {
        /* The distance from loss to bound shrinks with the root of n. */
        const double ratio = (v->bound - v->loss) / (max_loss - v->loss), n = (double)v->texts * ratio * ratio;
        if (!(n < (double)most)) return SIZE_MAX;
        return n > (double)least ? (size_t)ceil(n) : least;
    }
    size_t high = least, low = least;
    while (!shows(j, v, high, max_loss)) {
        if (high > most) return SIZE_MAX;
        low = high;
        high *= 2;
    }
    while (low + 1 < high) {
        const size_t middle = low + (high - low) / 2;
        if (shows(j, v, middle, max_loss))
            high = middle;
        else
            low = middle;
    }
    return high;
}
