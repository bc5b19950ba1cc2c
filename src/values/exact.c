/* exact.c: V = X Wv + bv for every token: the dense projection, one gemm. */
#include "kernels/gemm.h"
#include "values/project.h"

static const float *head_of(const fov_value_weights *w, size_t head) {
    return w->packed + head * fov_packed_size(w->head_size, fov_words(w->type, w->width));
}

float fov_value_weight(const fov_value_weights *w, size_t head, size_t i, size_t c) {
    return fov_packed_at(w->type, head_of(w, head), w->scale ? w->scale + head * w->head_size : NULL, w->width, c, i);
}

fov_gemm fov_value_gemm(const fov_value_weights *weights, const fov_values *problem, size_t head, const uint32_t *rows, size_t n) {
    size_t e = weights->head_size;
    return (fov_gemm){.n = n,
                      .m = e,
                      .k = weights->width,
                      .type = weights->type,
                      .x = problem->x,
                      .ldx = problem->ldx,
                      .x_rows = rows,
                      .w = head_of(weights, head),
                      .w_scale = weights->scale ? weights->scale + head * e : NULL,
                      .w_sum = weights->sum ? weights->sum + head * e : NULL,
                      .bias = weights->bias ? weights->bias + head * e : NULL,
                      .y = problem->v + head * e,
                      .ldy = problem->ldv,
                      .y_rows = rows};
}

size_t fov_value_gemms(const fov_value_weights *weights, const fov_values *problem, const uint32_t *rows, size_t n,
                       fov_gemm *gemms) {
    for (size_t h = 0; h < weights->heads; h++) gemms[h] = fov_value_gemm(weights, problem, h, rows, n);
    if (weights->head_size % FOV_PANEL) return weights->heads;
    gemms[0].m = weights->heads * weights->head_size; /* the heads' panels are contiguous: one matrix */
    return 1;
}

static size_t workspace(const fov_values_size *size) {
    return fov_mul(size->heads, sizeof(fov_gemm));
}

static void forward(const fov_values_run *run, const fov_values *problem) {
    const fov_value_weights *w = run->weights;
    size_t first = problem->offsets[0], n = problem->offsets[problem->texts] - first;
    fov_values slice = *problem;
    slice.x += first * problem->ldx;
    slice.v += first * problem->ldv;
    fov_gemm *gemms = run->scratch;
    const size_t count = fov_value_gemms(w, &slice, NULL, n, gemms);
    fov_gemm_run_all(run->kernels, gemms, count, run->threads, run->gemm_scratch);
    *run->multiply_adds += (double)n * (double)w->width * (double)(w->heads * w->head_size);
    for (size_t i = 0; problem->work && i < n; i++) problem->work[first + i] = 1;
    for (size_t h = 0; problem->head_work && h < w->heads; h++) problem->head_work[h] += (float)n;
}

const fov_values_row fov_values_exact = {
    .info = {.name = "exact",
             .place = FOV_PLACE_VALUES,
             .help = "the dense value projection",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT},
    .workspace = workspace,
    .forward = forward,
};
