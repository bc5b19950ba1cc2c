/* slots.c: the other kernels on one thread: the sampled projection against the dense gemm, what a fused gelu costs, packing,
 * softmax and layernorm. Time is the processor time of the process: it stands still while others have the core.
 *
 *     bench_slots [tier] */
#define BENCH_CLOCK CLOCK_PROCESS_CPUTIME_ID
#include "bench.h"
#include "kernels/gemm.h"

enum { REPETITIONS = 21 };

typedef void work_fn(void *context);

/* Median seconds of one run; a repetition takes at least about a millisecond. */
static double seconds_of(work_fn *work, void *context) {
    double times[REPETITIONS];
    size_t rounds = 1;
    for (;; rounds *= 2) {
        const double start = bench_now();
        for (size_t i = 0; i < rounds; i++) work(context);
        if (bench_now() - start > 1e-3) break;
    }
    for (size_t r = 0; r < REPETITIONS; r++) {
        const double start = bench_now();
        for (size_t i = 0; i < rounds; i++) work(context);
        times[r] = (bench_now() - start) / (double)rounds;
    }
    return bench_quantile(times, REPETITIONS, .5);
}

typedef struct task {
    const fov_kernels *kernels;
    fov_gemm gemm;
    fov_sampled sampled;
    float *a, *b, *packed;
    size_t n, c;
} task;

static float *scratch;

static void run_gemm(void *context) {
    const task *t = context;
    fov_gemm_run(t->kernels, &t->gemm, 1, scratch);
}

static void run_sampled(void *context) {
    const task *t = context;
    t->kernels->sampled(&t->sampled);
}

static void run_pack_t(void *context) {
    const task *t = context;
    t->kernels->pack_t(t->a, t->c, t->n, t->c, t->packed);
}

static void run_softmax(void *context) {
    const task *t = context;
    t->kernels->softmax(t->a, t->c, t->n, t->c, 0.125f, t->b, t->b + t->c);
}

static void run_layernorm(void *context) {
    const task *t = context;
    t->kernels->layernorm(t->a, t->c, t->n, t->c, t->b, t->b + t->c, 1e-12f, t->packed, t->c);
}

static void bench_sampled(const fov_kernels *k, size_t n, size_t r, double peak) {
    enum { D = 768, E = 64 };
    float *x = bench_floats(n * D, 1), *w = bench_floats(D * E, 2), *y = bench_floats(n * E, 3), *scale = bench_floats(n, 4);
    float *packed = bench_floats(fov_packed_size(E, D), 5);
    uint32_t rows[256], count[256], index[D];
    for (size_t i = 0; i < n; i++) rows[i] = (uint32_t)i, count[i] = (uint32_t)r;
    for (size_t i = 0; i < r; i++) index[i] = (uint32_t)(i * 2654435761u % D);
    k->pack_n(w, E, D, E, packed);
    task t = {.kernels = k,
              .gemm = {.n = n, .m = E, .k = D, .x = x, .ldx = D, .w = packed, .y = y, .ldy = E},
              .sampled = {.n = n,
                          .e = E,
                          .x = x,
                          .ldx = D,
                          .rows = rows,
                          .count = count,
                          .index = index,
                          .w = w,
                          .scale = scale,
                          .y = y,
                          .ldy = E}};
    const double dense = seconds_of(run_gemm, &t), sampled = seconds_of(run_sampled, &t);
    const double rate = 2.0 * (double)(n * r * E) / sampled;
    printf("sampled  n %4zu  r %4zu of %d  e %d: %6.1f GFLOP/s (%4.1f %% of peak), dense gemm %6.1f, time %.2f of dense\n", n, r, D,
           E, rate * 1e-9, 100 * rate / peak, 2.0 * (double)(n * D * E) / dense * 1e-9, sampled / dense);
    float *const all[] = {x, w, y, scale, packed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fov_release(NULL, all[i]);
}

static void bench_gelu(const fov_kernels *k) {
    enum { N = 128, M = 3072, K = 768 };
    float *x = bench_floats(N * K, 1), *packed = bench_floats(fov_packed_size(M, K), 2), *y = bench_floats(N * M, 3);
    task t = {.kernels = k, .gemm = {.n = N, .m = M, .k = K, .x = x, .ldx = K, .w = packed, .y = y, .ldy = M}};
    double ratio[9];
    for (size_t r = 0; r < 9; r++) {
        t.gemm.act = FOV_ACT_NONE;
        const double without = seconds_of(run_gemm, &t);
        t.gemm.act = FOV_ACT_GELU;
        ratio[r] = seconds_of(run_gemm, &t) / without;
    }
    printf("gelu     fused in %d x %d x %d: time %.3f [%.3f %.3f] of the gemm without\n", N, K, M, bench_quantile(ratio, 9, .5),
           bench_quantile(ratio, 9, .25), bench_quantile(ratio, 9, .75));
    float *const all[] = {x, packed, y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fov_release(NULL, all[i]);
}

static void bench_rows(const fov_kernels *k) {
    task t = {.kernels = k, .n = 128, .c = 768};
    t.a = bench_floats(t.n * t.c, 1), t.b = bench_floats(2 * t.c, 2), t.packed = bench_floats(t.n * t.c, 3);
    const double elements = 128 * 768;
    printf("layernorm 128 x 768: %.2f ns per 16 elements\n", seconds_of(run_layernorm, &t) / elements * 16e9);
    t.c = 128;
    printf("softmax   128 x 128 with column statistics: %.2f ns per 16 elements\n",
           seconds_of(run_softmax, &t) / (128 * 128) * 16e9);
    t.c = 64;
    printf("pack_t    128 x 64: %.2f ns per 16 elements\n", seconds_of(run_pack_t, &t) / (128 * 64) * 16e9);
    float *const all[] = {t.a, t.b, t.packed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fov_release(NULL, all[i]);
}

int main(int argc, char **argv) {
    double peak;
    const fov_kernels *k = bench_begin(argc > 1 ? argv[1] : NULL, 1, &peak);
    scratch = bench_floats(fov_gemm_scratch(), 9);
    static const size_t rows[] = {8, 32, 128}, draws[] = {192, 384, 768};
    for (size_t d = 0; d < 3; d++)
        for (size_t r = 0; r < 3; r++) bench_sampled(k, rows[r], draws[d], peak);
    bench_gelu(k);
    bench_rows(k);
    fov_release(NULL, scratch);
    return 0;
}
