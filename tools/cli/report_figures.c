/* report_figures.c: the metric against multiply-adds and against time, and the lengths of the texts. */
#include "html.h"
#include "report.h"
#include "report_html.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>

double report_share(double done, double exact) {
    return exact > 0 ? 100 * done / exact : NAN;
}

const evaluation *report_first(const report_source *s) {
    return &s->compared->items[0].evaluation;
}

typedef enum cost { COST_TOTAL, COST_VALUES, COST_PADDED, COST_TIME } cost;

static svg_point point_of(const compared *one, size_t number, cost kind) {
    const fov_stats *t = &one->evaluation.stats;
    const interval *m = &one->evaluation.intervals[0];
    const double x = kind == COST_TOTAL    ? report_share(t->total_done_real, t->total_exact_real)
                     : kind == COST_VALUES ? report_share(t->values_done_real, t->values_exact_real)
                     : kind == COST_PADDED ? report_share(t->values_done_padded, t->values_exact_padded)
                                           : one->time.median;
    const bool timed = kind == COST_TIME;
    return (svg_point){.x = x,
                       .x_low = timed ? one->time.low : x,
                       .x_high = timed ? one->time.high : x,
                       .y = m->mean,
                       .y_low = m->low,
                       .y_high = m->high,
                       .number = number,
                       .hollow = kind == COST_PADDED};
}

static int write_scatter(FILE *file, const report_source *s, const cost *kinds, size_t kind_count, const char *title,
                         const char *x_title, const char *caption) {
    const comparison *c = s->compared;
    svg_point *points = calloc(c->count * kind_count, sizeof *points);
    if (!points) return complain_memory();
    for (size_t k = 0; k < kind_count; k++)
        for (size_t i = 0; i < c->count; i++) points[k * c->count + i] = point_of(&c->items[i], i, kinds[k]);
    fputs("<figure>\n", file);
    svg_scatter(file, title, x_title, report_first(s)->metrics[0].name, points, c->count * kind_count);
    fprintf(file, "<figcaption>%s", caption);
    report_origin(file, s);
    fputs("</figcaption>\n</figure>\n", file);
    free(points);
    return 0;
}

int report_frontier(FILE *file, const report_source *s) {
    static const cost all[] = {COST_TOTAL}, values[] = {COST_VALUES, COST_PADDED}, timed[] = {COST_TIME};
    fputs("<h2>What is kept, against what is spent</h2>\n<div class=\"pair\">\n", file);
    int code = write_scatter(file, s, all, 1, "Metric against multiply-adds of the whole encoder",
                             "multiply-adds, whole encoder, real tokens, % of exact",
                             "Whole encoder, from token ids to logits. Bars: 95 %. Numbers: settings of the table.");
    if (!code)
        code = write_scatter(file, s, timed, 1, "Metric against time", "seconds of a pass, token ids to logits",
                             "Time of one pass over all examples: median, and a bar from the least to the largest; 95 % for the "
                             "metric. Other work on the machine widens the bars.");
    if (!code)
        code =
            write_scatter(file, s, values, 2, "Metric against multiply-adds of the value projection",
                          "multiply-adds, value projection, % of exact",
                          "The value projection alone, which the papers count. Full: real tokens. Hollow: the padded convention, "
                          "where padding is part of the baseline alone.");
    fputs("</div>\n", file);
    return code;
}

int report_lengths(FILE *file, const report_source *s) {
    const evaluation *v = report_first(s);
    size_t longest = 1;
    for (size_t i = 0; i < v->data.count; i++)
        if (v->infos[i].tokens > longest) longest = v->infos[i].tokens;
    const double width = fmax(1, svg_step((double)longest, 30));
    const size_t bins = (size_t)ceil((double)longest / width);
    size_t *counts = calloc(bins, sizeof *counts);
    if (!counts) return complain_memory();
    for (size_t i = 0; i < v->data.count; i++)
        if (v->infos[i].tokens) counts[(size_t)((double)(v->infos[i].tokens - 1) / width)]++;
    fputs("<h2>Lengths of the texts</h2>\n<figure>\n", file);
    svg_histogram(file, "Histogram of text lengths", "tokens of a text, special tokens included", "texts", counts, bins, width);
    fprintf(file, "<figcaption>%zu examples in classes of %.0f token%s; mean %.1f, longest %zu tokens.", v->data.count, width,
            width > 1 ? "s" : "", (double)v->stats.tokens / (double)v->data.count, longest);
    report_origin(file, s);
    fputs("</figcaption>\n</figure>\n", file);
    free(counts);
    return 0;
}
