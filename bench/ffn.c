/* ffn.c: does the time of a narrow feed-forward follow its cost? A layer of BERT-base's size on random inputs, with a made-up
 * profile, so that no checkpoint is needed. The least of the repeats of each, taken in turn.
 * usage: bench_ffn [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD... */
#include <math.h>
#include <unistd.h>

#include "bench.h"
#include "feedforward/feedforward.h"

enum { D = 768, HIDDEN = 3072, LEVELS = 7, TOP = 1024, SUM = 2752, METHODS = 8 };

typedef struct method {
    const char *text;
    fov_setting setting;
    const fov_ffn_row *row;
    void *bound, *scratch;
    double done, best;
} method;

static const uint32_t level[LEVELS] = {0, 64, 128, 256, 512, 768, 1024};
static float errors[LEVELS] = {.3f, .1f, .07f, .05f, .03f, .02f, .013f}, energy = 1; /* as measured, roughly */

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static fov_ffn_profile make_profile(void) {
    uint32_t *order = fov_alloc(NULL, TOP * sizeof *order);
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
    float *w = bench_floats(m * k, seed), *packed = fov_alloc(NULL, fov_packed_size(m, k) * sizeof *packed);
    if (!packed) fail("out of memory");
    kernels->pack_t(w, k, m, k, packed);
    return (fov_linear){.m = m, .k = k, .w = packed, .bias = bench_floats(m, seed + 1)};
}

int main(int argc, char **argv) {
    size_t n = 4096, length = 128, repeats = 9;
    unsigned threads = 1;
    for (int option; (option = getopt(argc, argv, "n:l:t:r:")) != -1;) {
        const size_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (!value || option == '?') fail("usage: bench_ffn [-n TOKENS] [-l LENGTH] [-t THREADS] [-r REPEATS] METHOD...");
        if (option == 'n') n = value;
        if (option == 'l') length = value;
        if (option == 't') threads = (unsigned)value;
        if (option == 'r') repeats = value;
    }
    const fov_kernels *kernels = fov_kernels_get(NULL);
    if (!kernels) fail("no kernels");
    const fov_ffn_profile profile = make_profile();
    const fov_ffn_weights weights = {make_linear(kernels, HIDDEN, D, 3), make_linear(kernels, D, HIDDEN, 5), FOV_ACT_GELU};
    float *importance = bench_floats(n, 9), *gemm = fov_alloc(NULL, threads * fov_gemm_scratch() * sizeof *gemm);
    const size_t texts = (n + length - 1) / length;
    size_t *offsets = fov_alloc(NULL, (texts + 1) * sizeof *offsets), count = 1, known;
    if (!gemm || !offsets) fail("out of memory");
    for (size_t i = 0; i < n; i++) importance[i] = expf(6 * importance[i]); /* over three decades */
    for (size_t b = 0; b <= texts; b++) offsets[b] = b * length < n ? b * length : n;
    method methods[METHODS] = {{.text = "exact"}};
    for (int i = optind; i < argc && count < METHODS; i++) methods[count++].text = argv[i];
    const fov_method_info *const *infos = fov_ffn_infos(&known);
    fov_error error;
    for (size_t m = 0; m < count; m++) {
        method *now = &methods[m];
        if (fov_setting_parse(&now->setting, infos, known, now->text, &error)) fail(error.message);
        now->row = fov_ffn_row_of(&now->setting);
        now->best = INFINITY;
        if (now->row->bind &&
            now->row->bind(&now->setting, &weights, &profile, fov_allocator_or_default(NULL), &now->bound, &error))
            fail(error.message);
        now->scratch = fov_alloc(NULL, now->row->workspace(n, HIDDEN));
        if (!now->scratch) fail("out of memory");
    }
    const fov_ffn problem = {n, bench_floats(n * D, 7), bench_floats(n * D, 8), texts, offsets, importance};
    for (size_t r = 0; r < repeats; r++)
        for (size_t m = 0; m < count; m++) {
            method *now = &methods[m];
            now->done = 0;
            const fov_ffn_run run = {kernels, &now->setting, &weights, threads, now->scratch, gemm, &now->done, now->bound};
            const double start = bench_now();
            now->row->forward(&run, &problem);
            const double seconds = bench_now() - start;
            if (seconds < now->best) now->best = seconds;
        }
    printf("%zu tokens in texts of %zu, %u threads, %s, %s\n", n, length, threads, kernels->name, fov_cpu_get()->name);
    for (size_t m = 0; m < count; m++)
        printf("%-28s %8.3f ms  %5.2fx faster  %5.1f %% of the multiply-adds\n", methods[m].text, methods[m].best * 1e3,
               methods[0].best / methods[m].best, 100 * methods[m].done / (2. * (double)n * D * HIDDEN));
    return 0;
}
