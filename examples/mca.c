/* mca.c: attention with Monte-Carlo values: the attention weights say how much each token matters, the value projection X W^T is
 * estimated with as much work as that asks for, then Y = A V. How far is it from exact, and what did it cost?
 *
 *     cc mca.c $(pkg-config --cflags --libs foveate) -lm -o mca && ./mca */
#include "common.h"

enum { T = 40, H = 4, D = 32, C = H * D, SEEDS = 64 };

static float x[T * C], q[T * C], k[T * C], weight[C * C], a[H * T * T], col_max[H * T];
static float v[T * C], loop[T * C], exact[T * C], y[T * C], mean[T * C];

static void project(const char *method, uint64_t seed, double *done) {
    fov_error error;
    fov_projection *projection;
    size_t bytes;
    must(fov_projection_create(method, weight, NULL, C, H, D, NULL, &projection, &error), &error);
    const fov_projection_problem values = {
        .texts = 1, .offsets = (size_t[]){0, T}, .x = x, .v = v, .col_max = col_max, .seed = seed};
    must(fov_projection_workspace(projection, &values, &bytes, &error), &error);
    void *block = workspace(bytes);
    must(fov_projection_run(projection, &values, block, bytes, done, &error), &error);
    free(block);
    fov_projection_free(projection);
}

/* V = X W^T, then Y = A V, with the weights that the library made. */
static void plain(void) {
    for (size_t i = 0; i < T; i++)
        for (size_t c = 0; c < C; c++) {
            double sum = 0;
            for (size_t j = 0; j < T; j++)
                for (size_t f = 0; f < C; f++)
                    sum += (double)a[(c / D * T + i) * T + j] * (double)x[j * C + f] * (double)weight[c * C + f];
            loop[i * C + c] = (float)sum;
        }
}

int main(void) {
    fill(x, T * C, 1);
    fill(q, T * C, 2);
    fill(k, T * C, 2);
    fill(weight, C * C, 1);
    fov_error error;
    fov_attention_problem attention = {.texts = 1, .heads = H, .head_size = D, .queries = T, .keys = T, .q = q, .k = k, .v = v};
    size_t bytes;
    double all, done;
    must(fov_attention_workspace(&attention, &bytes, &error), &error);
    void *block = workspace(bytes);
    must(fov_attention_weights(&attention, a, col_max, NULL, block, bytes, &error), &error);

    project("exact", 0, &all);
    attention.y = exact;
    must(fov_attention_apply(&attention, a, block, bytes, &error), &error);
    plain();
    check("exact values", exact, loop, T * C);

    attention.y = y;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        project("mca:alpha=.4", seed, &done);
        must(fov_attention_apply(&attention, a, block, bytes, &error), &error);
        for (size_t i = 0; i < T * C; i++) mean[i] += y[i] / SEEDS;
    }
    free(block);
    const double one = distance(y, loop, T * C), many = distance(mean, loop, T * C);
    printf("mca:alpha=.4: %.0f %% of the multiply-adds, relative error %.3f, of the mean of %d seeds %.3f\n", 100 * done / all, one,
           SEEDS, many);
    return many > one / 4; /* the estimate is unbiased: the error of the mean falls as 1 / sqrt(SEEDS) = 1 / 8 */
}
