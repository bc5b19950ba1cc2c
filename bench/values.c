/* values.c: does an estimator's time follow its cost? The value projection of BERT-base's size on random inputs, with a made-up
 * profile, so that no checkpoint is needed. The least of the repeats of each, taken in turn.
 * usage: bench_values [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD... */
#include "values/values.h"
#include "kernels/gemm.h"
#include "methods.h"

enum { D = 768, H = 12, E = 64, LEVELS = 10, TOP = 512, SUM = 1680 };

static uint32_t level[LEVELS] = {0, 16, 32, 64, 96, 128, 192, 256, 384, 512};

static fov_value_profile make_profile(void) {
    uint32_t *order = bench_alloc(H * TOP, sizeof *order);
    float *share = bench_floats(H, 1), *error = bench_floats(H * LEVELS, 2);
    for (size_t h = 0; h < H; h++) {
        share[h] = 1;
        for (size_t l = 0; l < LEVELS; l++) error[h * LEVELS + l] = expf(-(float)level[l] / 90); /* as measured, roughly */
        for (size_t k = 0; k < TOP; k++) order[h * TOP + k] = (uint32_t)((k * 487 + h * 61) % D);
    }
    float *variance = bench_floats(D, 3);
    for (size_t i = 0; i < D; i++) variance[i] = i % 50 == 0 ? 4 : .3f;
    return (fov_value_profile){.mean = bench_floats(D, 4),
                               .variance = variance,
                               .variance_step = 1,
                               .share = share,
                               .levels = LEVELS,
                               .level = level,
                               .order = order,
                               .regress_weight = bench_floats((size_t)H * SUM * E, 5),
                               .regress_error = error};
}

static float *make_packed(const fov_kernels *kernels) {
    const float *w = bench_floats((size_t)D * D, 6);
    const size_t per_head = fov_packed_size(E, D);
    float *packed = bench_alloc(H * per_head, sizeof *packed);
    for (size_t h = 0; h < H; h++) kernels->pack_t(w + h * E * D, D, E, D, packed + h * per_head);
    return packed;
}

static void bind(bench_method *m, const fov_values_size *size, const fov_value_weights *weights) {
    fov_error error;
    const fov_values_row *row = m->row = fov_values_row_of(&m->setting);
    if (row->bind && row->bind(&m->setting, weights, fov_allocator_or_default(NULL), &m->bound, &error)) bench_fail(error.message);
    m->scratch = bench_alloc(row->workspace(size), 1);
}

typedef struct layer {
    fov_value_weights weights;
    fov_values problem;
} layer;

static void forward(const bench_methods *b, bench_method *m, const void *given) {
    const layer *l = given;
    const fov_values_run run = {b->kernels, &m->setting, &l->weights, m->bound, b->threads, m->scratch, b->gemm_scratch, &m->done};
    ((const fov_values_row *)m->row)->forward(&run, &l->problem);
}

int main(int argc, char **argv) {
    size_t known;
    const fov_method_info *const *infos = fov_values_infos(&known);
    bench_methods b = bench_methods_begin(argc, argv, 15, infos, known);
    const fov_value_profile profile = make_profile();
    float *energy = bench_floats(H * b.n, 9);
    for (size_t i = 0; i < H * b.n; i++) energy[i] = expf(6 * energy[i] - 2); /* over three decades, mean about 1 / n per row */
    uint64_t *hashes = bench_alloc(b.texts, sizeof *hashes);
    for (size_t t = 0; t < b.texts; t++) hashes[t] = t;
    const layer l = {
        .weights = {.width = D, .heads = H, .head_size = E, .packed = make_packed(b.kernels), .profile = &profile},
        .problem = {.texts = b.texts,
                    .offsets = b.offsets,
                    .hashes = hashes,
                    .x = bench_floats(b.n * D, 7),
                    .ldx = D,
                    .v = bench_floats(b.n * D, 8),
                    .ldv = D,
                    .col_max = energy,
                    .col_energy = energy},
    };
    const fov_values_size size = {b.n, b.texts, b.length, D, H, E, b.threads};
    for (size_t m = 0; m < b.count; m++) bind(&b.methods[m], &size, &l.weights);
    bench_methods_run(&b, forward, &l, (double)b.n * D * D);
    return 0;
}
