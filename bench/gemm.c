/* gemm.c: dense layers against oneDNN's inner product. Both have their weights in their own layout and read the same rows; the runs
 * alternate, and a ratio is taken of each neighbouring pair, so that a change of clock or a busy neighbour meets both.
 *
 *     bench_gemm [threads [tier [gelu]]] */
#include <dnnl.h>
#include <omp.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "kernels/gemm.h"

#define CHECK(call)                                                                                                                \
    do {                                                                                                                           \
        if ((call) != dnnl_success) {                                                                                              \
            fprintf(stderr, "oneDNN: %s failed\n", #call);                                                                         \
            exit(1);                                                                                                               \
        }                                                                                                                          \
    } while (0)

enum { REPETITIONS = 15 };

typedef struct yardstick {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, w, bias, y;
} yardstick;

static void reorder(yardstick *d, dnnl_memory_t from, dnnl_memory_t to) {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    const dnnl_memory_desc_t *a, *b;
    CHECK(dnnl_memory_get_memory_desc(from, &a));
    CHECK(dnnl_memory_get_memory_desc(to, &b));
    CHECK(dnnl_reorder_primitive_desc_create(&pd, a, d->engine, b, d->engine, NULL));
    CHECK(dnnl_primitive_create(&primitive, pd));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    CHECK(dnnl_primitive_execute(primitive, d->stream, 2, args));
    CHECK(dnnl_stream_wait(d->stream));
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(pd);
}

/* y [n, m] = x [n, k] w [m, k]^T + bias, weights in the layout oneDNN asks for, perhaps with its exact gelu behind. */
static void yardstick_make(yardstick *d, const fov_gemm *g, const float *w, int gelu, float *y) {
    const dnnl_dims_t dx = {(dnnl_dim_t)g->n, (dnnl_dim_t)g->k}, dw = {(dnnl_dim_t)g->m, (dnnl_dim_t)g->k};
    const dnnl_dims_t db = {(dnnl_dim_t)g->m}, dy = {(dnnl_dim_t)g->n, (dnnl_dim_t)g->m};
    dnnl_memory_desc_t mx, mw, mb, my, plain;
    CHECK(dnnl_memory_desc_init_by_tag(&mx, 2, dx, dnnl_f32, dnnl_ab));
    CHECK(dnnl_memory_desc_init_by_tag(&mw, 2, dw, dnnl_f32, dnnl_format_tag_any));
    CHECK(dnnl_memory_desc_init_by_tag(&mb, 1, db, dnnl_f32, dnnl_a));
    CHECK(dnnl_memory_desc_init_by_tag(&my, 2, dy, dnnl_f32, dnnl_ab));
    CHECK(dnnl_memory_desc_init_by_tag(&plain, 2, dw, dnnl_f32, dnnl_ab));
    dnnl_inner_product_desc_t desc;
    CHECK(dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference, &mx, &mw, &mb, &my));
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    CHECK(dnnl_primitive_attr_create(&attr));
    CHECK(dnnl_post_ops_create(&post));
    if (gelu) CHECK(dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_gelu_erf, 0, 0));
    CHECK(dnnl_primitive_attr_set_post_ops(attr, post));
    CHECK(dnnl_primitive_desc_create(&d->pd, &desc, attr, d->engine, NULL));
    CHECK(dnnl_primitive_create(&d->primitive, d->pd));
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    dnnl_memory_t from;
    CHECK(dnnl_memory_create(&from, &plain, d->engine, (void *)w));
    CHECK(
        dnnl_memory_create(&d->w, dnnl_primitive_desc_query_md(d->pd, dnnl_query_weights_md, 0), d->engine, DNNL_MEMORY_ALLOCATE));
    reorder(d, from, d->w);
    dnnl_memory_destroy(from);
    CHECK(dnnl_memory_create(&d->x, &mx, d->engine, (void *)g->x));
    CHECK(dnnl_memory_create(&d->bias, &mb, d->engine, (void *)g->bias));
    CHECK(dnnl_memory_create(&d->y, &my, d->engine, y));
}

static void yardstick_run(yardstick *d) {
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, d->x}, {DNNL_ARG_WEIGHTS, d->w}, {DNNL_ARG_BIAS, d->bias}, {DNNL_ARG_DST, d->y}};
    CHECK(dnnl_primitive_execute(d->primitive, d->stream, 4, args));
    CHECK(dnnl_stream_wait(d->stream));
}

static void yardstick_free(yardstick *d) {
    dnnl_primitive_destroy(d->primitive);
    dnnl_primitive_desc_destroy(d->pd);
    dnnl_memory_destroy(d->x);
    dnnl_memory_destroy(d->w);
    dnnl_memory_destroy(d->bias);
    dnnl_memory_destroy(d->y);
}

/* oneDNN's OpenMP threads spin for milliseconds after their last region: let them fall asleep, so that neither side pays for the
 * other. */
static void settle(void) {
    const struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
}

static void shape(const fov_kernels *kernels, yardstick *d, size_t n, size_t m, size_t k, int gelu, unsigned threads, double peak,
                  float *scratch) {
    float *x = bench_floats(n * k, 1), *w = bench_floats(m * k, 2), *bias = bench_floats(m, 3);
    float *packed = bench_floats(fov_packed_size(m, k), 4), *y = bench_floats(n * m, 5), *other = bench_floats(n * m, 6);
    kernels->pack_t(w, k, m, k, packed);
    const fov_gemm g = {.n = n,
                        .m = m,
                        .k = k,
                        .x = x,
                        .ldx = k,
                        .w = packed,
                        .bias = bias,
                        .y = y,
                        .ldy = m,
                        .act = gelu ? FOV_ACT_GELU : FOV_ACT_NONE};
    yardstick_make(d, &g, w, gelu, other);
    const double flops = 2.0 * (double)n * (double)m * (double)k;
    const size_t rounds = (size_t)(4e9 / flops) + 1; /* a repetition takes at least 20 ms */
    double ours[REPETITIONS], theirs[REPETITIONS], ratio[REPETITIONS];
    for (size_t r = 0; r < REPETITIONS + 1; r++) {
        settle();
        for (size_t i = 0; i < rounds / 4 + 1; i++) fov_gemm_run(kernels, &g, threads, scratch); /* threads wake and spread */
        const double start = bench_now();
        for (size_t i = 0; i < rounds; i++) fov_gemm_run(kernels, &g, threads, scratch);
        const double middle = bench_now();
        settle();
        for (size_t i = 0; i < rounds / 4 + 1; i++) yardstick_run(d);
        const double restart = bench_now();
        for (size_t i = 0; i < rounds; i++) yardstick_run(d);
        const double end = bench_now();
        if (!r) continue; /* warm-up */
        ours[r - 1] = flops * (double)rounds / (middle - start);
        theirs[r - 1] = flops * (double)rounds / (end - restart);
        ratio[r - 1] = ours[r - 1] / theirs[r - 1];
    }
    double worst = 0;
    for (size_t i = 0; i < n * m; i++) {
        const double difference = (double)y[i] - (double)other[i];
        if (difference > worst) worst = difference;
        if (-difference > worst) worst = -difference;
    }
    const double rate = bench_quantile(ours, REPETITIONS, .5);
    printf("%5zu %5zu %5zu  %8.1f %8.1f   %5.3f [%5.3f %5.3f]  %5.1f %%   %.1e\n", n, k, m, rate * 1e-9,
           bench_quantile(theirs, REPETITIONS, .5) * 1e-9, bench_quantile(ratio, REPETITIONS, .5),
           bench_quantile(ratio, REPETITIONS, .25), bench_quantile(ratio, REPETITIONS, .75), 100 * rate / peak, worst);
    fflush(stdout);
    yardstick_free(d);
    float *const all[] = {x, w, bias, packed, y, other};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fov_release(NULL, all[i]);
}

int main(int argc, char **argv) {
    unsigned threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (!threads || threads > FOV_MAX_THREADS) threads = fov_threads_default();
    double peak;
    const fov_kernels *kernels = bench_begin(argc > 2 && *argv[2] ? argv[2] : NULL, threads, &peak);
    const int gelu = argc > 3 && !strcmp(argv[3], "gelu");
    omp_set_num_threads((int)threads);
    yardstick d;
    CHECK(dnnl_engine_create(&d.engine, dnnl_cpu, 0));
    CHECK(dnnl_stream_create(&d.stream, d.engine, dnnl_stream_default_flags));
    const dnnl_version_t *version = dnnl_version();
    printf("oneDNN   %d.%d.%d, epilogue bias%s; ratio ours / oneDNN: median [quartiles] of %d interleaved pairs\n\n",
           version->major, version->minor, version->patch, gelu ? " + gelu" : "", REPETITIONS);
    printf("    N     K     M      ours   oneDNN   ratio                  of peak  max difference\n");
    float *scratch = bench_floats(threads * fov_gemm_scratch(), 7);
    static const size_t shapes[][2] = {{768, 768}, {3072, 768}, {768, 3072}}, rows[] = {1, 8, 16, 32, 64, 128, 512, 2048, 4096};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            shape(kernels, &d, rows[r], shapes[s][0], shapes[s][1], gelu, threads, peak, scratch);
    fov_release(NULL, scratch);
    dnnl_stream_destroy(d.stream);
    dnnl_engine_destroy(d.engine);
    return 0;
}
