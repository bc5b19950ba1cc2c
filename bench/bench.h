/* bench.h: clock, order statistics and the machine's yardstick, for the benchmarks. */
#ifndef FOV_BENCH_H
#define FOV_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/cpu.h"
#include "core/memory.h"
#include "core/threads.h"
#include "kernels/kernels.h"

#ifndef BENCH_CLOCK
#define BENCH_CLOCK CLOCK_MONOTONIC
#endif

static inline double bench_now(void) {
    struct timespec t;
    clock_gettime(BENCH_CLOCK, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. share .5 is the median. */
static inline double bench_quantile(double *values, size_t count, double share) {
    qsort(values, count, sizeof *values, bench_compare);
    return values[(size_t)(share * (double)(count - 1) + 0.5)];
}

static inline float *bench_floats(size_t count, uint32_t seed) {
    float *x = fov_alloc(NULL, fov_mul(count, sizeof *x));
    if (!x) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-24f - 0.5f;
    }
    return x;
}

typedef struct bench_peak {
    const fov_kernels *kernels;
    uint64_t iterations, flops;
    volatile float keep;
} bench_peak;

static inline void bench_peak_task(void *context, size_t index, unsigned thread) {
    bench_peak *p = context;
    uint64_t flops;
    const float value = p->kernels->fma_loop[FOV_TYPE_F32](p->iterations, &flops);
    if (index == 0 && thread == 0) p->keep = value;
    if (index == 0) p->flops = flops;
}

/* FLOP/s of the register-only loop: the best of five runs of about 30 ms. */
static inline double bench_fma_peak(const fov_kernels *kernels, unsigned threads) {
    double best = 0;
    bench_peak p = {kernels, 1000000, 0, 0};
    for (int i = 0; i < 7; i++) {
        const double start = bench_now();
        fov_parallel(threads, threads, bench_peak_task, &p);
        const double seconds = bench_now() - start, rate = (double)(p.flops * p.iterations * threads) / seconds;
        if (i >= 2 && rate > best) best = rate;
        if (i < 2) p.iterations = (uint64_t)((double)p.iterations * 0.03 / seconds) + 1;
    }
    return best;
}

/* The kernels named on the command line or the best here, and one line about the machine. */
static inline const fov_kernels *bench_begin(const char *tier, unsigned threads, double *peak) {
    fov_error error;
    const fov_kernels *kernels = tier ? fov_kernels_named(tier) : fov_kernels_get(&error);
    if (!kernels) {
        fprintf(stderr, "no such tier here: %s\n", tier ? tier : error.message);
        exit(1);
    }
    char features[128];
    fov_cpu_features(fov_cpu_get(), features, sizeof features);
    *peak = bench_fma_peak(kernels, threads);
    printf("cpu      %s (%s)\ntier     %s, %u threads\ncompiler %s\nfma peak %.1f GFLOP/s\n", fov_cpu_get()->name, features,
           kernels->name, threads, FOV_COMPILER, *peak * 1e-9);
    return kernels;
}

#endif
