/* methods.h: what the benchmarks of a room's methods share: options, the methods in turn, the report. `row`, `bound`
 * and `scratch` of a method are the benchmark's. */
#ifndef FOV_BENCH_METHODS_H
#define FOV_BENCH_METHODS_H

#include <math.h>
#include <unistd.h>

#include "bench.h"
#include "core/method.h"
#include "kernels/gemm.h"

enum { BENCH_METHODS = 8 };

typedef struct bench_method {
    const char *text;
    fov_setting setting;
    const void *row;
    void *bound, *scratch;
    double done, best; /* multiply-adds; seconds */
} bench_method;

typedef struct bench_methods {
    size_t n, length, repeats, texts, count;
    unsigned threads;
    size_t *offsets; /* [texts + 1] */
    const fov_kernels *kernels;
    float *gemm_scratch;
    bench_method methods[BENCH_METHODS]; /* the first is exact */
} bench_methods;

static inline void bench_fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void *bench_alloc(size_t count, size_t size) {
    void *block = fov_alloc(NULL, fov_mul(count, size));
    if (!block) bench_fail("out of memory");
    return block;
}

/* [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD... */
static inline bench_methods bench_methods_begin(int argc, char **argv, size_t repeats, const fov_method_info *const *infos,
                                                size_t known) {
    bench_methods b = {.n = 4096, .length = 128, .repeats = repeats, .threads = 1, .kernels = fov_kernels_get(NULL)};
    for (int option; (option = getopt(argc, argv, "n:l:t:r:")) != -1;) {
        const size_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (!value || option == '?') {
            fprintf(stderr, "usage: %s [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD...\n", argv[0]);
            exit(1);
        }
        if (option == 'n') b.n = value;
        if (option == 'l') b.length = value;
        if (option == 't') b.threads = (unsigned)value;
        if (option == 'r') b.repeats = value;
    }
    if (!b.kernels) bench_fail("no kernels");
    b.texts = (b.n + b.length - 1) / b.length;
    b.offsets = bench_alloc(b.texts + 1, sizeof *b.offsets);
    for (size_t t = 0; t <= b.texts; t++) b.offsets[t] = t * b.length < b.n ? t * b.length : b.n;
    b.gemm_scratch = bench_alloc(b.threads * fov_gemm_scratch(), sizeof *b.gemm_scratch);
    b.methods[b.count++].text = "exact";
    for (int i = optind; i < argc && b.count < BENCH_METHODS; i++) b.methods[b.count++].text = argv[i];
    for (size_t m = 0; m < b.count; m++) {
        fov_error error;
        b.methods[m].best = INFINITY;
        if (fov_setting_parse(&b.methods[m].setting, infos, known, b.methods[m].text, &error)) bench_fail(error.message);
    }
    return b;
}

typedef void bench_forward(const bench_methods *b, bench_method *now, const void *problem);

/* The least of the repeats of each method, taken in turn; `dense`: multiply-adds of the exact one. */
static inline void bench_methods_run(bench_methods *b, bench_forward *forward, const void *problem, double dense) {
    for (size_t r = 0; r < b->repeats; r++)
        for (size_t m = 0; m < b->count; m++) {
            bench_method *now = &b->methods[m];
            now->done = 0;
            const double start = bench_now();
            forward(b, now, problem);
            const double seconds = bench_now() - start;
            if (seconds < now->best) now->best = seconds;
        }
    printf("%zu tokens in texts of %zu, %u threads, %s, %s\n", b->n, b->length, b->threads, b->kernels->name, fov_cpu_get()->name);
    for (size_t m = 0; m < b->count; m++)
        printf("%-28s %8.3f ms  %5.2fx faster  %5.1f %% of the multiply-adds\n", b->methods[m].text, b->methods[m].best * 1e3,
               b->methods[0].best / b->methods[m].best, 100 * b->methods[m].done / dense);
}

#endif
