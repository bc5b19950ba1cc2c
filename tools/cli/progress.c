/* progress.c: rate and time left, on terminals only. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_start(progress *p, const char *unit, bool quiet) {
    double now = seconds_now();
    *p = (progress){.shown = !quiet && isatty(STDERR_FILENO), .unit = unit, .start = now, .last = now};
}

/* gone: the share of this run's work that is done; 0: unknown. */
static void draw(progress *p, size_t done, size_t total, double gone) {
    double now = seconds_now(), spent = now - p->start;
    if (!p->shown || now - p->last < .1) return;
    p->last = now;
    p->drawn = true;
    double rate = spent > 0 ? (double)done / spent : 0;
    fprintf(stderr, "\r\033[K%zu", p->before + done);
    if (total) fprintf(stderr, " of %zu", total);
    fprintf(stderr, " %s, %.*f/s", p->unit, rate < 10, rate);
    if (gone > 0 && gone < 1) {
        unsigned long left = (unsigned long)(spent * (1 - gone) / gone);
        fprintf(stderr, ", %lu:%02lu left", left / 60, left % 60);
    }
    fflush(stderr);
}

void progress_update(progress *p, size_t done, size_t total) {
    draw(p, done, total, total ? (double)done / (double)total : 0);
}

int progress_callback(void *context, size_t done, size_t total) {
    progress *p = context;
    if (!p->stream) {
        progress_update(p, p->base + done, p->base ? 0 : total);
        return 0;
    }
    double share = total ? p->share + (p->next - p->share) * (double)done / (double)total : p->share;
    draw(p, p->base + done, 0, (share - p->first) / (1 - p->first));
    return 0;
}

void progress_end(progress *p) {
    if (p->drawn) fputs("\r\033[K", stderr);
    p->drawn = false;
}
