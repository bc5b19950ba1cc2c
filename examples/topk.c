/* topk.c: attention over the k best keys of every query: how near is it to exact attention as k grows?
 *
 *     cc topk.c $(pkg-config --cflags --libs foveate) -lm -o topk && ./topk */
#include "common.h"

enum { T = 256, H = 2, D = 32, C = H * D, N = T * C };

static float q[N], k[N], v[N], y[N], loop[N], exact[N];

static int descending(const void *a, const void *b) {
    const double x = *(const double *)a, z = *(const double *)b;
    return (x < z) - (x > z);
}

/* softmax over the `most` largest scores of a query and head; the others weigh 0. */
static void plain_row(size_t i, size_t h, size_t most, float *to) {
    double scores[T], sorted[T], sum = 0, out[D] = {0};
    for (size_t j = 0; j < T; j++) {
        scores[j] = 0;
        for (size_t c = 0; c < D; c++) scores[j] += (double)q[i * C + h * D + c] * (double)k[j * C + h * D + c];
        sorted[j] = scores[j] /= sqrt(D);
    }
    qsort(sorted, T, sizeof *sorted, descending);
    for (size_t j = 0; j < T; j++) {
        const double weight = scores[j] >= sorted[most - 1] ? exp(scores[j] - sorted[0]) : 0;
        sum += weight;
        for (size_t c = 0; c < D; c++) out[c] += weight * (double)v[j * C + h * D + c];
    }
    for (size_t c = 0; c < D; c++) to[c] = (float)(out[c] / sum);
}

int main(void) {
    static const size_t kept[] = {4, 16, 64, T};
    fill(q, N, 3);
    fill(k, N, 3);
    fill(v, N, 1);
    fov_attention_problem problem = {.texts = 1, .heads = H, .head_size = D, .queries = T, .keys = T, .q = q, .k = k, .v = v};
    problem.y = exact;
    attend(&problem); /* no method: dense */
    problem.y = y;
    for (size_t m = 0; m < sizeof kept / sizeof *kept; m++) {
        char method[32];
        snprintf(method, sizeof method, "topk:k=%zu", kept[m]);
        problem.method = method;
        attend(&problem);
        for (size_t i = 0; i < T; i++)
            for (size_t h = 0; h < H; h++) plain_row(i, h, kept[m], loop + i * C + h * D);
        check(method, y, loop, N);
        printf("    relative distance from exact attention %.3f\n", distance(y, exact, N));
    }
    return 0;
}
