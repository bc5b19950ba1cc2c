/* yoso.c: YOSO attention: its expectation against the formula, with the convolution that its checkpoints may have, and how the
 * sampled form, linear in the length, comes nearer to it with more hashes.
 *
 *     cc yoso.c $(pkg-config --cflags --libs foveate) -lm -o yoso && ./yoso */
#include "common.h"

enum { T = 200, D = 32, N = T * D, TAU = 8, TAPS = 3 };

static float q[N], k[N], v[N], y[N], loop[N], expectation[N];
static const float conv[TAPS] = {.1f, -.2f, .3f};

static double product(const float *a, const float *b) {
    double sum = 0;
    for (size_t c = 0; c < D; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

/* w_j = (1 - angle of q_i and k_j / pi)^tau; y = sum w_j v_j at length 1, and the convolution of v around i. */
static void plain_row(size_t i, float *to) {
    double out[D] = {0}, square = 0;
    for (size_t j = 0; j < T; j++) {
        const float *a = q + i * D, *b = k + j * D;
        const double weight = pow(1 - acos(product(a, b) / sqrt(product(a, a) * product(b, b))) / acos(-1), TAU);
        for (size_t c = 0; c < D; c++) out[c] += weight * (double)v[j * D + c];
    }
    for (size_t c = 0; c < D; c++) square += out[c] * out[c];
    for (size_t c = 0; c < D; c++) out[c] /= sqrt(square);
    for (size_t t = 0; t < TAPS; t++) {
        const size_t j = i + t - TAPS / 2;
        for (size_t c = 0; j < T && c < D; c++) out[c] += (double)conv[t] * (double)v[j * D + c];
    }
    for (size_t c = 0; c < D; c++) to[c] = (float)out[c];
}

int main(void) {
    fill(q, N, 1);
    fill(k, N, 1);
    fill(v, N, 1);
    for (size_t i = 0; i < N; i++) v[i] += .5f; /* values with a mean: a mere noise has none to find */
    fov_attention_problem problem = {
        .method = "yoso:tau=8", .texts = 1, .heads = 1, .head_size = D, .queries = T, .keys = T, .q = q, .k = k, .v = v};
    problem.conv = conv;
    problem.conv_width = TAPS;
    problem.y = expectation;
    problem.seed = 1; /* the same draws everywhere */
    attend(&problem);
    for (size_t i = 0; i < T; i++) plain_row(i, loop + i * D);
    check("yoso:tau=8", expectation, loop, N);

    static const char *const sampled[] = {"yoso:tau=8,m=32", "yoso:tau=8,m=128", "yoso:tau=8,m=512"};
    double before = INFINITY;
    for (size_t m = 0; m < sizeof sampled / sizeof *sampled; m++) {
        problem.method = sampled[m];
        problem.y = y;
        attend(&problem);
        const double far = distance(y, expectation, N);
        printf("%-28s relative distance from its expectation %.3f\n", sampled[m], far);
        if (far >= before) return 1; /* it falls as 1 / sqrt(m) */
        before = far;
    }
    return 0;
}
