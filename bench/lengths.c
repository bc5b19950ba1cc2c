/* lengths.c: time of attention methods over the length of a text, one head, one thread, all in one run. Times are the processor
 * time of the process, the least of a few: it stands still while others have the core.
 *
 *     bench_lengths HEAD_SIZE LENGTH[,LENGTH...] METHOD... */
#define BENCH_CLOCK CLOCK_PROCESS_CPUTIME_ID
#include <math.h>
#include <string.h>

#include "bench.h"
#include "foveate/attention.h"

enum { MOST = 15, LEAST = 3 };

static double seconds_of(const char *method, size_t length, size_t head_size) {
    const size_t floats = length * head_size;
    float *q = bench_floats(floats, 1), *k = bench_floats(floats, 2), *v = bench_floats(floats, 3), *y = bench_floats(floats, 4);
    fov_attention_problem p = {.method = method,
                               .texts = 1,
                               .heads = 1,
                               .head_size = head_size,
                               .queries = length,
                               .keys = length,
                               .q = q,
                               .k = k,
                               .v = v,
                               .y = y,
                               .threads = 1};
    size_t bytes;
    fov_error error;
    if (fov_attention_workspace(&p, &bytes, &error)) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        exit(1);
    }
    void *workspace = fov_alloc(NULL, bytes);
    double best = INFINITY, total = 0;
    for (int i = 0; i < MOST && (i < LEAST || total < .3); i++) {
        const double start = bench_now();
        if (!workspace || fov_attention_forward(&p, workspace, bytes, &error)) exit(1);
        const double seconds = bench_now() - start;
        total += seconds;
        if (seconds < best) best = seconds;
    }
    void *blocks[] = {q, k, v, y, workspace};
    for (size_t i = 0; i < 5; i++) fov_release(NULL, blocks[i]);
    return best;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: bench_lengths HEAD_SIZE LENGTH[,LENGTH...] METHOD...\n");
        return 2;
    }
    double peak;
    bench_begin(NULL, 1, &peak);
    const size_t head_size = strtoul(argv[1], NULL, 10);
    printf("%8s", "T");
    for (int m = 3; m < argc; m++) printf("  %s", argv[m]);
    printf("   ms\n");
    for (char *at = argv[2]; *at; at += *at == ',') {
        const size_t length = strtoul(at, &at, 10);
        if (!length) return 2;
        printf("%8zu", length);
        for (int m = 3; m < argc; m++) {
            const double seconds = seconds_of(argv[m], length, head_size);
            printf("  %*.3f", (int)strlen(argv[m]), seconds * 1e3);
            fflush(stdout);
        }
        printf("\n");
    }
    return 0;
}
