/* report_html.h: a comparison as one page that needs nothing else: no scripts, fonts or pictures from elsewhere. */
#ifndef FOVEATE_CLI_REPORT_HTML_H
#define FOVEATE_CLI_REPORT_HTML_H

#include "compare.h"
#include "output.h"

typedef struct report_source {
    const comparison *compared; /* run and traced */
    const fov_machine *machine;
    const shared_settings *shared; /* of the command: its words, dtype, max_length */
    unsigned threads;
} report_source;

/* 0 or an exit code (message printed). */
int report_html(output *out, const report_source *source);

/* report_figures.c. 0 or an exit code (message printed). */
int report_frontier(FILE *file, const report_source *source);
int report_lengths(FILE *file, const report_source *source);
double report_share(double done, double exact); /* in percent; NaN where there is no exact */
const evaluation *report_first(const report_source *source);

/* report_work.c: per-layer and per-head work, and texts shaded by the work of their tokens. */
void report_work(FILE *file, const report_source *source);
void report_texts(FILE *file, const report_source *source);
/* "Measured on ... with ...": ends every caption. */
void report_origin(FILE *file, const report_source *source);

#endif
