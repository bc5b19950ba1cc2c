/* values.c: does an estimator's time follow its cost? The value projection of BERT-base's size on random inputs, with a made-up
 * profile, so that no checkpoint is needed. The least of the repeats of each, taken in turn.
 * usage: bench_values [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD... */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "kernels/gemm.h"
#include "values/values.h"

enum { D = 768, H = 12, E = 64, LEVELS = 10, TOP = 512, SUM = 1680, METHODS = 8 };

typedef struct method {
    const char *text;
    fov_setting setting;
    const fov_values_row *row;
    void *bound, *scratch;
    double done, best;
} method;

static uint32_t level[LEVELS] = {0, 16, 32, 64, 96, 128, 192, 256, 384, 512};

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static fov_value_profile make_profile(void) {
    uint32_t *order = fov_alloc(NULL, H * TOP * sizeof *order);
    float *share = bench_floats(H, 1), *error = bench_floats(H * LEVELS, 2);
    for (size_t h = 0; h < H; h++) {
        share[h] = 1;
        for (size_t l = 0; l < LEVELS; l++) error[h * LEVELS + l] = expf(-(float)level[l] / 90); /* as measured, roughly */
        for (size_t k = 0; k < TOP; k++) order[h * TOP + k] = (uint32_t)((k * 487 + h * 61) % D);
    }
    float *covariance = bench_floats(D * D, 3);
    for (size_t i = 0; i < D; i++) covariance[i * D + i] = i % 50 == 0 ? 4 : .3f;
    return (fov_value_profile){.mean = bench_floats(D, 4),
                               .covariance = covariance,
                               .share = share,
                               .levels = LEVELS,
                               .level = level,
                               .order = order,
                               .regress_weight = bench_floats((size_t)H * SUM * E, 5),
                               .regress_error = error};
}

int main(int argc, char **argv) {
    size_t n = 4096, length = 128, repeats = 15;
    unsigned threads = 1;
    for (int option; (option = getopt(argc, argv, "n:l:t:r:")) != -1;) {
        const size_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (!value || option == '?') fail("usage: bench_values [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD...");
        if (option == 'n') n = value;
        if (option == 'l') length = value;
        if (option == 't') threads = (unsigned)value;
        if (option == 'r') repeats = value;
    }
    const fov_kernels *kernels = fov_kernels_get(NULL);
    const fov_value_profile profile = make_profile();
    float *w = bench_floats((size_t)D * D, 6), *x = bench_floats(n * D, 7), *v = bench_floats(n * D, 8),
          *energy = bench_floats(H * n, 9);
    float *packed = fov_alloc(NULL, H * fov_packed_size(E, D) * sizeof *packed);
    if (!kernels || !packed) fail("no kernels or no memory");
    for (size_t h = 0; h < H; h++) kernels->pack_t(w + h * E * D, D, E, D, packed + h * fov_packed_size(E, D));
    for (size_t i = 0; i < H * n; i++) energy[i] = expf(6 * energy[i] - 2); /* over three decades, mean about 1 / n per row */
    const fov_value_weights weights = {.width = D, .heads = H, .head_size = E, .packed = packed, .profile = &profile};
    const size_t texts = (n + length - 1) / length;
    size_t *offsets = fov_alloc(NULL, (texts + 1) * sizeof *offsets);
    uint64_t *hashes = fov_alloc(NULL, texts * sizeof *hashes);
    for (size_t b = 0; b <= texts; b++) offsets[b] = b * length < n ? b * length : n;
    for (size_t b = 0; b < texts; b++) hashes[b] = b;
    const fov_values_size size = {n, texts, length, D, H, E, threads};
    float *gemm = fov_alloc(NULL, threads * fov_gemm_scratch() * sizeof *gemm);
    method methods[METHODS] = {{.text = "exact"}};
    size_t count = 1, known;
    for (int i = optind; i < argc && count < METHODS; i++) methods[count++].text = argv[i];
    const fov_method_info *const *infos = fov_values_infos(&known);
    fov_error error;
    for (size_t m = 0; m < count; m++) {
        method *now = &methods[m];
        if (fov_setting_parse(&now->setting, infos, known, now->text, &error)) fail(error.message);
        now->row = fov_values_row_of(&now->setting);
        now->best = INFINITY;
        if (now->row->bind && now->row->bind(&now->setting, &weights, fov_allocator_or_default(NULL), &now->bound, &error))
            fail(error.message);
        now->scratch = fov_alloc(NULL, now->row->workspace(&size));
    }
    const fov_values problem = {.texts = texts,
                                .offsets = offsets,
                                .hashes = hashes,
                                .x = x,
                                .ldx = D,
                                .v = v,
                                .ldv = D,
                                .col_max = energy,
                                .col_energy = energy};
    for (size_t r = 0; r < repeats; r++)
        for (size_t m = 0; m < count; m++) {
            method *now = &methods[m];
            now->done = 0;
            const fov_values_run run = {kernels, &now->setting, &weights, now->bound, threads, now->scratch, gemm, &now->done};
            const double start = bench_now();
            now->row->forward(&run, &problem);
            const double seconds = bench_now() - start;
            if (seconds < now->best) now->best = seconds;
        }
    printf("%zu tokens in texts of %zu, %u threads, %s, %s\n", n, length, threads, kernels->name, fov_cpu_get()->name);
    for (size_t m = 0; m < count; m++)
        printf("%-28s %8.3f ms  %5.2fx faster  %5.1f %% of the multiply-adds\n", methods[m].text, methods[m].best * 1e3,
               methods[0].best / methods[m].best, 100 * methods[m].done / ((double)n * D * D));
    return 0;
}
