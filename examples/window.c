/* window.c: sliding-window attention: how near is it to exact attention, and what does it read? Then its gradient, which is how
 * much a loss of one's own changes with q, k and v.
 *
 *     cc window.c $(pkg-config --cflags --libs foveate) -lm -o window && ./window */
#include "common.h"

enum { T = 400, D = 32, W = 64, N = T * D };

static float q[N], k[N], v[N], y[N], loop[N], exact[N], dy[N], dq[N], dk[N], dv[N];

/* softmax(q K^T / sqrt(D)) V over the keys at most W / 2 from the query. */
static void plain(float *to) {
    for (size_t i = 0; i < T; i++) {
        double sum = 0, out[D] = {0};
        for (size_t j = i > W / 2 ? i - W / 2 : 0; j < T && j <= i + W / 2; j++) {
            double score = 0;
            for (size_t c = 0; c < D; c++) score += (double)q[i * D + c] * (double)k[j * D + c];
            const double weight = exp(score / sqrt(D));
            sum += weight;
            for (size_t c = 0; c < D; c++) out[c] += weight * (double)v[j * D + c];
        }
        for (size_t c = 0; c < D; c++) to[i * D + c] = (float)(out[c] / sum);
    }
}

/* The loss is dy . y. dv by a small step of one value against the gradient's. */
static double slope(float *value) {
    const float kept = *value, step = 1.f / 16;
    double loss[2];
    for (int up = 0; up < 2; up++) {
        *value = up ? kept + step : kept - step;
        plain(loop);
        loss[up] = 0;
        for (size_t i = 0; i < N; i++) loss[up] += (double)dy[i] * (double)loop[i];
    }
    *value = kept;
    return (loss[1] - loss[0]) / (2 * (double)step);
}

int main(void) {
    fill(k, N, 1);
    fill(v, N, 1);
    for (size_t i = D; i < N; i++) k[i] += .97f * k[i - D]; /* neighbours are alike, as in a text: then a window misses little */
    for (size_t i = 0; i < N; i++) q[i] = k[i];
    fill(dy, N, 1);
    fov_attention_problem problem = {
        .method = "dense", .texts = 1, .heads = 1, .head_size = D, .queries = T, .keys = T, .q = q, .k = k, .v = v, .y = exact};
    attend(&problem);
    problem.method = "window:w=64";
    problem.y = y;
    attend(&problem);
    plain(loop);
    check("window of 64", y, loop, N);
    printf("reads at most %d of %d keys a query; relative distance from exact attention %.2f\n", W + 1, T, distance(y, exact, N));

    fov_error error;
    size_t bytes;
    const fov_attention_gradients gradients = {.dy = dy, .dq = dq, .dk = dk, .dv = dv};
    must(fov_attention_backward_workspace(&problem, &bytes, &error), &error);
    void *block = workspace(bytes);
    must(fov_attention_backward(&problem, &gradients, block, bytes, &error), &error);
    free(block);
    const double by_steps = slope(&v[200 * D]), far = fabs((double)dv[200 * D] - by_steps);
    printf("dv[200][0]: %.3f, by two runs of the loop %.3f\n", (double)dv[200 * D], by_steps);
    return far > 1e-3; /* y is linear in v: what is left is the rounding of the loop's result */
}
