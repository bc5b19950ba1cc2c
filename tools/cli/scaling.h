/* scaling.h: time and memory of the attention methods as texts grow, against exact attention in the same run. scaling.c measures,
 * scaling_report.c writes. */
#ifndef FOVEATE_CLI_SCALING_H
#define FOVEATE_CLI_SCALING_H

#include "foveate/foveate.h"
#include "output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCALING_FIRST = 512, SCALING_LENGTHS = 12, SCALING_FIT_FROM = 8192 };

typedef struct scaling_point {
    bool measured;
    double seconds;   /* least of the repetitions */
    double processor; /* likewise, processor time of all threads: what a shared machine leaves comparable */
    size_t workspace;
    double error; /* |Y - reference Y| / |reference Y|, Frobenius; NaN where there is none */
} scaling_point;

typedef struct scaling_method {
    const char *text; /* method string */
    unsigned flags;
    size_t reference;    /* the method whose output it should have, or itself */
    bool is_reference;   /* of a later one */
    float *y;            /* output of a reference */
    const char *stopped; /* why longer texts were left out; NULL: none were */
    size_t stopped_at;
    scaling_point points[SCALING_LENGTHS];
    double slope_seconds, slope_processor,
        slope_workspace; /* of logarithms from SCALING_FIT_FROM on; NaN with fewer than two points */
    double break_even;   /* length from which it is faster than exact; NaN: not in what was measured */
} scaling_method;

typedef struct scaling {
    unsigned threads;
    size_t heads, head_size, longest, lengths; /* lengths: SCALING_FIRST, doubled .. longest */
    double limit;                              /* seconds one forward pass may take, by what the shorter ones took */
    size_t exact_length;                       /* longest text dense runs on; 0: as the others */
    uint64_t seed;
    bool quiet;
    fov_machine machine;
    double peak; /* FLOP/s */
    scaling_method *methods;
    size_t count; /* the first is dense */
    float *q, *k, *v, *y;
} scaling;

/* methods [count] to compare with dense; count 0: every method of the library, as its defaults are. One that draws and does
 * not approximate softmax attention is compared with the first setting of the same name. 0 or an exit code. */
int scaling_open(scaling *s, const char *const *methods, size_t count);
int scaling_run(scaling *s);
void scaling_close(scaling *s);
/* Seconds that dense would take at lengths[at] by the square of the length, where it was not measured; else NaN. */
double scaling_extrapolate(const scaling *s, size_t at);

void scaling_print(const scaling *s); /* a table that gnuplot reads, on standard output */
json_t *scaling_pack(const scaling *s);

#endif
