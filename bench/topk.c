/* topk.c: attention methods against each other in one run: CPU time (least and median over rounds that take turns), and what they
 * lose against the first of them with a `topk` name: error of the output, and the share of its kept keys that are kept. Public
 * headers only.
 *
 *     bench_topk [-t TOKENS] [-h HEADS] [-d HEAD_SIZE] [-j THREADS] [-r ROUNDS] [-c] [-f QKV] METHOD...
 *
 * -c: causal. -f: q, k and v from a file of floats, [3][heads][tokens][head size]; else about normal. */
#include <getopt.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "foveate/attention.h"

enum { METHODS = 16, ROUNDS = 64, WEIGHTS_MOST = 1 << 28 };

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* About normal: the sum of four uniforms, variance 1. */
static void fill(float *x, size_t floats, uint64_t seed) {
    for (size_t i = 0; i < floats; i++) {
        x[i] = 0;
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            x[i] += (float)(seed >> 40) * 0x1p-24f - 0.5f;
        }
        x[i] *= 1.7320508f;
    }
}

static void *need(size_t bytes) {
    void *block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!block) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        exit(1);
    }
    return block;
}

static void must(fov_status status, const fov_error *error) {
    if (!status) return;
    fprintf(stderr, "%s: %s\n", error->where, error->message);
    exit(1);
}

typedef struct entry {
    const char *method;
    void *workspace;
    size_t bytes;
    float *y, *a;
    double cpu[ROUNDS], wall;
} entry;

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(entry *e, fov_attention_problem p, size_t round) {
    fov_error error;
    p.method = e->method;
    p.y = e->y;
    const double cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    must(fov_attention_forward(&p, e->workspace, e->bytes, &error), &error);
    e->cpu[round] = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const double seconds = now(CLOCK_MONOTONIC) - wall;
    if (!round || seconds < e->wall) e->wall = seconds;
}

static void report(const entry *e, const entry *exact, size_t floats, size_t cells, size_t rounds) {
    double sorted[ROUNDS], error = 0, size = 0, kept = 0, same = 0;
    memcpy(sorted, e->cpu, sizeof sorted);
    qsort(sorted, rounds, sizeof *sorted, compare);
    printf("%-24s cpu least %.4f median %.4f s, wall least %.4f s, workspace %.1f MiB", e->method, sorted[0], sorted[rounds / 2],
           e->wall, (double)e->bytes / 0x1p20);
    for (size_t i = 0; exact && i < floats; i++) {
        const double d = (double)e->y[i] - (double)exact->y[i];
        error += d * d;
        size += (double)exact->y[i] * (double)exact->y[i];
    }
    for (size_t i = 0; exact && e->a && exact->a && i < cells; i++) {
        kept += exact->a[i] > 0;
        same += exact->a[i] > 0 && e->a[i] > 0;
    }
    if (exact && exact != e) printf(", relative error %.3g", sqrt(error / size));
    if (kept > 0 && exact != e) printf(", recall %.6f", same / kept);
    printf("\n");
}

int main(int count, char **list) {
    size_t tokens = 4096, heads = 1, size = 64, rounds = 5;
    fov_attention_problem p = {.texts = 1, .threads = 1};
    const char *file = NULL;
    for (int c; (c = getopt(count, list, "t:h:d:j:r:cf:")) != -1;) {
        const size_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (c == 't') tokens = value;
        if (c == 'h') heads = value;
        if (c == 'd') size = value;
        if (c == 'j') p.threads = (unsigned)value;
        if (c == 'r') rounds = value < 1 ? 1 : value > ROUNDS ? ROUNDS : value;
        if (c == 'c') p.causal = 1;
        if (c == 'f') file = optarg;
        if (c == '?') return 2;
    }
    const size_t floats = tokens * heads * size, cells = heads * tokens * tokens;
    float *qkv = need(3 * floats * sizeof *qkv);
    fill(qkv, 3 * floats, 1);
    FILE *in = file ? fopen(file, "rb") : NULL;
    if (file && (!in || fread(qkv, sizeof *qkv, 3 * floats, in) != 3 * floats)) {
        fprintf(stderr, "%s: cannot read %zu floats\n", file, 3 * floats);
        return 1;
    }
    if (in) fclose(in);
    p.heads = heads;
    p.head_size = size;
    p.queries = p.keys = tokens;
    p.q_strides = p.k_strides = p.v_strides = p.y_strides = (fov_strides){.head = tokens * size, .row = size};
    p.q = qkv;
    p.k = qkv + floats;
    p.v = qkv + 2 * floats;
    static entry entries[METHODS];
    size_t methods = 0;
    const entry *exact = NULL;
    fov_error error;
    for (int i = optind; i < count && methods < METHODS; i++) {
        entry *e = &entries[methods++];
        e->method = p.method = list[i];
        p.y = e->y = need(floats * sizeof *e->y);
        must(fov_attention_workspace(&p, &e->bytes, &error), &error);
        e->workspace = need(e->bytes);
        if (strncmp(e->method, "topk", 4)) continue;
        if (!exact) exact = e;
        if (cells > WEIGHTS_MOST) continue;
        e->a = need(cells * sizeof *e->a);
        must(fov_attention_weights(&p, e->a, NULL, NULL, e->workspace, e->bytes, &error), &error);
    }
    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < methods; i++) run(&entries[i], p, r);
    printf("T=%zu heads=%zu D=%zu threads=%u%s%s%s\n", tokens, heads, size, p.threads, p.causal ? " causal" : "", file ? " " : "",
           file ? file : "");
    for (size_t i = 0; i < methods; i++) report(&entries[i], exact, floats, cells, rounds);
    for (size_t i = 0; i < methods; i++) {
        free(entries[i].y);
        free(entries[i].a);
        free(entries[i].workspace);
    }
    free(qkv);
    return 0;
}
