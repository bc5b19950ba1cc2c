/* attention.c: attention on raw buffers: exact weights, then the value projection exact and Monte-Carlo, then Y = A V; how far apart are
 * they, and what did each cost?
 *
 *     cc attention.c $(pkg-config --cflags --libs foveate) -lm -o attention && ./attention */
#include <foveate/attention.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { T = 40, H = 4, D = 32, C = H * D };

static float x[T * C], q[T * C], k[T * C], weight[C * C], a[H * T * T], col_max[H * T], v[T * C], y[2][T * C];

/* A small generator of values in [-1, 1), so that the example prints the same everywhere. */
static float next(void) {
    static unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (1 << 23) - 1;
}

static void stop(const fov_error *error) {
    fprintf(stderr, "attention: %s: %s\n", error->where, error->message);
    exit(1);
}

static void *scratch(size_t bytes) {
    void *block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!block) exit(1);
    return block;
}

int main(void) {
    for (size_t i = 0; i < T * C; i++) x[i] = next(), q[i] = 2 * next(), k[i] = 2 * next();
    for (size_t i = 0; i < C * C; i++) weight[i] = next();
    fov_error error;
    fov_attention_problem attention = {.texts = 1, .heads = H, .head_size = D, .queries = T, .keys = T, .q = q, .k = k, .v = v};
    size_t bytes;
    if (fov_attention_workspace(&attention, &bytes, &error)) stop(&error);
    void *workspace = scratch(bytes);
    if (fov_attention_weights(&attention, a, col_max, NULL, workspace, bytes, &error)) stop(&error);

    const char *methods[] = {"exact", "mca:alpha=.4"};
    for (size_t m = 0; m < 2; m++) {
        fov_projection *projection;
        if (fov_projection_create(methods[m], weight, NULL, C, H, D, NULL, &projection, &error)) stop(&error);
        fov_projection_problem values = {.texts = 1, .offsets = (size_t[]){0, T}, .x = x, .v = v, .col_max = col_max, .seed = 1};
        size_t values_bytes;
        double done;
        if (fov_projection_workspace(projection, &values, &values_bytes, &error)) stop(&error);
        void *values_workspace = scratch(values_bytes);
        if (fov_projection_run(projection, &values, values_workspace, values_bytes, &done, &error)) stop(&error);
        attention.y = y[m];
        if (fov_attention_apply(&attention, a, workspace, bytes, &error)) stop(&error);
        double far = 0, size = 0;
        for (size_t i = 0; i < T * C; i++) far += pow(y[m][i] - y[0][i], 2), size += pow(y[0][i], 2);
        printf("%-14s %7.0f multiply-adds, relative error %.3f\n", methods[m], done, sqrt(far / size));
        fov_projection_free(projection);
        free(values_workspace);
    }
    free(workspace);
    return 0;
}
