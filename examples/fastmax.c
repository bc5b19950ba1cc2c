/* fastmax.c: Fastmax attention, a polynomial in place of exp: a whole text at once, then the same text one position after the
 * other, as a decoder does, from a state whose size does not grow.
 *
 *     cc fastmax.c $(pkg-config --cflags --libs foveate) -lm -o fastmax && ./fastmax */
#include "common.h"

enum { T = 500, H = 2, D = 16, C = H * D, N = T * C };

static float q[N], k[N], v[N], y[N], loop[N];

/* y_i = sum_j f(x_ij) v_j / sum_j f(x_ij) over the keys j <= i, x = q_i . k_j / sqrt(D), f = 1 + x [+ x^2 / 2]. */
static void plain_row(int p, size_t i, size_t h, float *to) {
    double sum = 0, out[D] = {0};
    for (size_t j = 0; j <= i; j++) {
        double x = 0;
        for (size_t c = 0; c < D; c++) x += (double)q[i * C + h * D + c] * (double)k[j * C + h * D + c] / sqrt(D);
        const double f = 1 + x + (p == 2 ? x * x / 2 : 0);
        sum += f;
        for (size_t c = 0; c < D; c++) out[c] += f * (double)v[j * C + h * D + c];
    }
    for (size_t c = 0; c < D; c++) to[c] = (float)(out[c] / sum);
}

static void stream(const char *method) {
    fov_error error;
    fov_fastmax_stream *s;
    must(fov_fastmax_stream_create(method, H, D, 0, NULL, &s, &error), &error);
    for (size_t i = 0; i < T; i++) must(fov_fastmax_stream_step(s, q + i * C, k + i * C, v + i * C, y + i * C, &error), &error);
    fov_fastmax_stream_free(s);
}

int main(void) {
    static const char *const methods[] = {"fastmax:p=1,normalize=none", "fastmax:p=2,normalize=none"};
    fill(q, N, .4f); /* |x| < 1, so that f > 0 for p = 1 too */
    fill(k, N, .4f);
    fill(v, N, 1);
    for (int p = 1; p <= 2; p++) {
        const fov_attention_problem problem = {.method = methods[p - 1],
                                               .texts = 1,
                                               .heads = H,
                                               .head_size = D,
                                               .queries = T,
                                               .keys = T,
                                               .q = q,
                                               .k = k,
                                               .v = v,
                                               .y = y,
                                               .causal = 1};
        for (size_t i = 0; i < T; i++)
            for (size_t h = 0; h < H; h++) plain_row(p, i, h, loop + i * C + h * D);
        attend(&problem);
        check(methods[p - 1], y, loop, N);
        fill(y, N, 1);
        stream(methods[p - 1]);
        check("    one at a time", y, loop, N);
        const size_t features = p == 1 ? 1 + D : 1 + D + D * (D + 1) / 2;
        printf("    the state: %zu sums a head at any length; keys and values of %d positions: %d numbers\n", D * features, T,
               2 * T * D);
    }
    return 0;
}
