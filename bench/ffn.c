/* ffn.c: does the time of a narrow feed-forward follow its cost? A layer of BERT-base's size on random inputs, with a made-up
 * profile, so that no checkpoint is needed. The least of the repeats of each, taken in turn.
 * usage: bench_ffn [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD... */
#include "feedforward/feedforward.h"
#include "methods.h"

enum { D = 768, HIDDEN = 3072, LEVELS = 7, TOP = 1024, SUM = 2752 };

static const uint32_t level[LEVELS] = {0, 64, 128, 256, 512, 768, 1024};
static float errors[LEVELS] = {.3f, .1f, .07f, .05f, .03f, .02f, .013f}, energy = 1; /* as measured, roughly */

static fov_ffn_profile make_profile(void) {
    uint32_t *order = bench_alloc(TOP, sizeof *order);
    for (uint32_t k = 0; k < TOP; k++) order[k] = k * 1021 % HIDDEN;
    return (fov_ffn_profile){.levels = LEVELS,
                             .level = level,
                             .order = order,
                             .weight = bench_floats((size_t)SUM * D, 1),
                             .bias = bench_floats(LEVELS * D, 2),
                             .error = errors,
                             .energy = &energy};
}

static fov_linear make_linear(const fov_kernels *kernels, size_t m, size_t k, uint32_t seed) {
    float *w = bench_floats(m * k, seed), *packed = bench_alloc(fov_packed_size(m, k), sizeof *packed);
    kernels->pack_t(w, k, m, k, packed);
    return (fov_linear){.m = m, .k = k, .w = packed, .bias = bench_floats(m, seed + 1)};
}

static void bind(bench_method *m, size_t n, const fov_ffn_weights *weights, const fov_ffn_profile *profile) {
    fov_error error;
    const fov_ffn_row *row = m->row = fov_ffn_row_of(&m->setting);
    if (row->bind && row->bind(&m->setting, weights, profile, fov_allocator_or_default(NULL), &m->bound, &error))
        bench_fail(error.message);
    m->scratch = bench_alloc(row->workspace(n, HIDDEN), 1);
}

typedef struct layer {
    fov_ffn_weights weights;
    fov_ffn problem;
} layer;

static void forward(const bench_methods *b, bench_method *m, const void *given) {
    const layer *l = given;
    const fov_ffn_run run = {b->kernels, &m->setting, &l->weights, b->threads, m->scratch, b->gemm_scratch, &m->done, m->bound};
    ((const fov_ffn_row *)m->row)->forward(&run, &l->problem);
}

int main(int argc, char **argv) {
    size_t known;
    const fov_method_info *const *infos = fov_ffn_infos(&known);
    bench_methods b = bench_methods_begin(argc, argv, 9, infos, known);
    const fov_ffn_profile profile = make_profile();
    float *importance = bench_floats(b.n, 9);
    for (size_t i = 0; i < b.n; i++) importance[i] = expf(6 * importance[i]); /* over three decades */
    const layer l = {.weights = {make_linear(b.kernels, HIDDEN, D, 3), make_linear(b.kernels, D, HIDDEN, 5), FOV_ACT_GELU},
                     .problem = {b.n, bench_floats(b.n * D, 7), bench_floats(b.n * D, 8), b.texts, b.offsets, importance}};
    for (size_t m = 0; m < b.count; m++) bind(&b.methods[m], b.n, &l.weights, &profile);
    bench_methods_run(&b, forward, &l, 2. * (double)b.n * D * HIDDEN);
    return 0;
}
