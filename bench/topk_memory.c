/* topk_memory.c: attention of one long text through attention.h: wall and CPU time, workspace and the process's peak memory. Plain
 * C, public headers only. usage: bench_topk_memory [METHOD [TOKENS [HEADS [HEAD_SIZE [THREADS]]]]] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "foveate/attention.h"

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t argument(int count, char **list, int i, size_t otherwise) {
    return count > i ? strtoull(list[i], NULL, 10) : otherwise;
}

/* About normal: the sum of four uniforms, variance 1. */
static float *random_block(size_t floats, uint64_t seed) {
    float *block = malloc(floats * sizeof *block);
    for (size_t i = 0; block && i < floats; i++) {
        float sum = 0;
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            sum += (float)(seed >> 40) * 0x1p-24f - 0.5f;
        }
        block[i] = sum * 1.7320508f;
    }
    return block;
}

int main(int count, char **list) {
    const char *method = count > 1 ? list[1] : "topk:k=64";
    const size_t tokens = argument(count, list, 2, 131072), heads = argument(count, list, 3, 1),
                 size = argument(count, list, 4, 64);
    const size_t floats = tokens * heads * size;
    int failed = 1;
    fov_error error;
    float *q = random_block(floats, 1), *k = random_block(floats, 2), *v = random_block(floats, 3), *y = random_block(floats, 4);
    fov_attention_problem p = {.method = method,
                               .texts = 1,
                               .heads = heads,
                               .head_size = size,
                               .queries = tokens,
                               .keys = tokens,
                               .q = q,
                               .k = k,
                               .v = v,
                               .y = y,
                               .threads = (unsigned)argument(count, list, 5, 1)};
    size_t bytes = 0;
    void *workspace = NULL;
    if (!q || !k || !v || !y) goto end;
    if (fov_attention_workspace(&p, &bytes, &error)) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        goto end;
    }
    workspace = aligned_alloc(64, bytes);
    if (!workspace) goto end;
    const double start = now(CLOCK_MONOTONIC), start_cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    if (fov_attention_forward(&p, workspace, bytes, &error)) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        goto end;
    }
    const double seconds = now(CLOCK_MONOTONIC) - start, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("%s T=%zu heads=%zu D=%zu threads=%u: %.3f s (%.3f s of CPU), workspace %.1f MiB, q k v y %.1f MiB, peak of the process "
           "%.1f MiB\n",
           method, tokens, heads, size, p.threads, seconds, cpu, (double)bytes / 0x1p20, 4.0 * (double)floats * 4 / 0x1p20,
           (double)use.ru_maxrss / 1024);
    failed = 0;
end:
    free(q);
    free(k);
    free(v);
    free(y);
    free(workspace);
    return failed;
}
