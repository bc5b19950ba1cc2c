/* scaling.h: time and memory of the attention methods as texts grow, against exact attention in the same run. */
#ifndef FOVEATE_CLI_SCALING_H
#define FOVEATE_CLI_SCALING_H

#include "foveate/foveate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCALING_FIRST = 512, SCALING_LENGTHS = 12, SCALING_FIT_FROM = 8192 };

typedef struct scaling_point {
    bool measured;
    double seconds;   /* least of the repetitions */
    double processor; /* likewise, processor time of all threads: what a shared machine leaves comparable */
    size_t workspace;
    double error; /* |Y - exact Y| / |exact Y|, Frobenius; NaN where it says nothing */
} scaling_point;

typedef struct scaling_method {
    const char *text; /* method string */
    unsigned flags;
    bool stopped; /* by the time limit or the memory limit */
    scaling_point points[SCALING_LENGTHS];
    double slope_seconds, slope_processor,
        slope_workspace; /* of logarithms from SCALING_FIT_FROM on; NaN with fewer than two points */
    double break_even;   /* length from which it is faster than exact; NaN: not in what was measured */
} scaling_method;

typedef struct scaling {
    unsigned threads;
    size_t heads, head_size, longest, lengths; /* lengths: SCALING_FIRST, doubled .. longest */
    double limit;                              /* seconds one forward pass may take, by what the shorter ones took */
    uint64_t seed;
    bool quiet;
    fov_machine machine;
    double peak; /* FLOP/s */
    scaling_method *methods;
    size_t count; /* the first is dense */
    float *q, *k, *v, *y, *exact;
} scaling;

/* methods [count] to compare with dense; count 0: every method of the library, as its defaults are. 0 or an exit code. */
int scaling_open(scaling *s, const char *const *methods, size_t count);
int scaling_run(scaling *s);
void scaling_close(scaling *s);

#endif
