/* common.h: what the examples of attention.h share: numbers that are the same everywhere, workspace, and how far a result is from
 * that of a plain loop. */
#ifndef FOVEATE_EXAMPLES_COMMON_H
#define FOVEATE_EXAMPLES_COMMON_H

#include <foveate/attention.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Values in [-range, range). */
static inline void fill(float *x, size_t count, float range) {
    static unsigned state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = range * ((float)(state >> 8) / (1 << 23) - 1);
    }
}

static inline void must(fov_status status, const fov_error *error) {
    if (!status) return;
    fprintf(stderr, "%s: %s\n", error->where, error->message);
    exit(1);
}

/* A block aligned as the library asks; free it with free(). */
static inline void *workspace(size_t bytes) {
    void *block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!block) exit(1);
    return block;
}

/* y of the problem. Returns the bytes of workspace that it took. */
static inline size_t attend(const fov_attention_problem *problem) {
    fov_error error;
    size_t bytes;
    must(fov_attention_workspace(problem, &bytes, &error), &error);
    void *block = workspace(bytes);
    must(fov_attention_forward(problem, block, bytes, &error), &error);
    free(block);
    return bytes;
}

/* |x - y| / |y| */
static inline double distance(const float *x, const float *y, size_t count) {
    double far = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        far += pow((double)x[i] - (double)y[i], 2);
        size += pow((double)y[i], 2);
    }
    return sqrt(far / size);
}

/* Prints how far a result is from the plain loop's; ends the program where that is more than f32 rounding. */
static inline void check(const char *what, const float *x, const float *loop, size_t count) {
    const double error = distance(x, loop, count);
    printf("%-28s relative difference from a plain loop %.1e\n", what, error);
    if (error <= 1e-5) return; /* sums of some hundred terms: 1e-7 each */
    fprintf(stderr, "%s: more than rounding\n", what);
    exit(1);
}

#endif
