/* dense.c: exact attention on buffers of one's own, [B, H, T, D] and causal, without ever holding a T x T matrix.
 *
 *     cc dense.c $(pkg-config --cflags --libs foveate) -lm -o dense && ./dense */
#include "common.h"

enum { B = 2, H = 3, T = 300, D = 40, N = B * H * T * D };

static float q[N], k[N], v[N], y[N], loop[N];

/* Row i of one text and head: softmax(q_i K^T / sqrt(D)) V over the keys 0 .. i. */
static void plain_row(const float *qi, const float *keys, const float *values, size_t i, float *to) {
    double weights[T], sum = 0, out[D] = {0};
    for (size_t j = 0; j <= i; j++) {
        double score = 0;
        for (size_t c = 0; c < D; c++) score += (double)qi[c] * (double)keys[j * D + c];
        sum += weights[j] = exp(score / sqrt(D));
    }
    for (size_t j = 0; j <= i; j++)
        for (size_t c = 0; c < D; c++) out[c] += weights[j] / sum * (double)values[j * D + c];
    for (size_t c = 0; c < D; c++) to[c] = (float)out[c];
}

int main(void) {
    fill(q, N, 2);
    fill(k, N, 2);
    fill(v, N, 1);
    const fov_strides strides = {.text = H * T * D, .head = T * D, .row = D};
    const fov_attention_problem problem = {.method = "dense",
                                           .texts = B,
                                           .heads = H,
                                           .head_size = D,
                                           .queries = T,
                                           .keys = T,
                                           .q = q,
                                           .k = k,
                                           .v = v,
                                           .y = y,
                                           .q_strides = strides,
                                           .k_strides = strides,
                                           .v_strides = strides,
                                           .y_strides = strides,
                                           .causal = 1,
                                           .threads = 1};
    const size_t bytes = attend(&problem);
    for (size_t row = 0; row < B * H * T; row++) {
        const size_t first = row / T * T * D; /* of the text and head */
        plain_row(q + row * D, k + first, v + first, row % T, loop + row * D);
    }
    check("dense, causal", y, loop, N);
    printf("workspace: %zu KiB; the weights, were they stored: %zu KiB\n", bytes / 1024, sizeof(float) * B * H * T * T / 1024);
    return 0;
}
