/* exact.c: the dense feed-forward layer, in blocks of rows so that the hidden activations (4 C per token) stay small and warm. */
#include "feedforward/feedforward.h"
#include "kernels/gemm.h"

enum { BLOCK = 6 * FOV_GEMM_ROWS }; /* 1008 rows: 12 MiB of hidden activations at 3072 */

static size_t workspace(size_t rows, size_t hidden) {
    return fov_mul(fov_mul(rows < BLOCK ? rows : BLOCK, hidden), sizeof(float));
}

static void forward(const fov_ffn_run *run, const fov_ffn *p) {
    const fov_ffn_weights *w = run->weights;
    float *hidden = run->scratch;
    for (size_t i = 0; i < p->n; i += BLOCK) {
        size_t n = p->n - i < BLOCK ? p->n - i : BLOCK;
        fov_gemm up = {.n = n,
                       .m = w->hidden,
                       .k = w->width,
                       .x = p->x + i * w->width,
                       .ldx = w->width,
                       .w = w->up,
                       .bias = w->up_bias,
                       .act = w->activation,
                       .y = hidden,
                       .ldy = w->hidden};
        fov_gemm down = {.n = n,
                         .m = w->width,
                         .k = w->hidden,
                         .x = hidden,
                         .ldx = w->hidden,
                         .w = w->down,
                         .bias = w->down_bias,
                         .residual = p->x + i * w->width,
                         .ldr = w->width,
                         .y = p->y + i * w->width,
                         .ldy = w->width};
        fov_gemm_run(run->kernels, &up, run->threads, run->gemm_scratch);
        fov_gemm_run(run->kernels, &down, run->threads, run->gemm_scratch);
    }
    *run->multiply_adds += 2.0 * (double)p->n * (double)w->width * (double)w->hidden;
}

const fov_ffn_row fov_ffn_exact = {
    .info = {.name = "exact",
             .place = FOV_PLACE_FFN,
             .help = "the dense feed-forward layer",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT},
    .workspace = workspace,
    .forward = forward,
};
