/* exact.c: the dense feed-forward layer, in blocks of rows so that the hidden activations (4 C per token) stay small and warm. */
#include "feedforward/feedforward.h"
#include "kernels/gemm.h"

enum { BLOCK = 1024 }; /* rows: 12 MiB of hidden activations at 3072, of which bf16 touches half; a batch of one or two threads */

static size_t workspace(size_t rows, size_t hidden) {
    return fov_mul(fov_mul(rows < BLOCK ? rows : BLOCK, hidden), sizeof(float));
}

static void forward(const fov_ffn_run *run, const fov_ffn *p) {
    const fov_ffn_weights *w = run->weights;
    const size_t width = w->up.k;
    float *hidden = run->scratch;
    for (size_t i = 0; i < p->n; i += BLOCK) {
        fov_gemm up = fov_linear_gemm(&w->up), down = fov_linear_gemm(&w->down);
        up.n = down.n = p->n - i < BLOCK ? p->n - i : BLOCK;
        up.x = p->x + i * width;
        up.act = w->activation;
        up.y = hidden;
        down.x = hidden;
        down.residual = p->x + i * width;
        down.ldr = width;
        down.y = p->y + i * width;
        fov_gemm_chain(run->kernels, &up, &down);
        fov_gemm_run(run->kernels, &up, run->threads, run->gemm_scratch);
        fov_gemm_run(run->kernels, &down, run->threads, run->gemm_scratch);
    }
    *run->multiply_adds += 2.0 * (double)p->n * (double)width * (double)w->up.m;
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
