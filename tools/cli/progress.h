/* progress.h: a line on a terminal's stderr that says how far the work is; nothing anywhere else. */
#ifndef FOVEATE_CLI_PROGRESS_H
#define FOVEATE_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct progress {
    bool shown; /* stderr is a terminal and --quiet is not given */
    bool drawn;
    const char *unit; /* "texts" */
    double start, last;
    size_t base;   /* done before the current call */
    size_t before; /* done by an earlier run: shown, but not in the rate */
    /* A streamed input, whose texts are not counted: the share of its bytes read when the run began, before the current call and
     * after it; all 0 (a pipe): no time left is shown. */
    bool stream;
    double first, share, next;
} progress;

/* Seconds of a monotonic clock. */
double seconds_now(void);

void progress_start(progress *p, const char *unit, bool quiet);
/* total 0: unknown. Redraws at most ten times a second. */
void progress_update(progress *p, size_t done, size_t total);
/* A fov_progress callback; context is the progress, `base` is added. Never stops the work. */
int progress_callback(void *context, size_t done, size_t total);
/* Wipe the line. */
void progress_end(progress *p);

#endif
