/* fastmax_moments.c: the factorised form of Fastmax (arXiv 2402.07901, sections 2.1 and 2.2 of the algorithm): sums over keys kept
 * as moments, made and read with the gemm kernel.
 *
 *     add    m += Psi(K)^T V    features of a block of keys by rows, FEATURES of them at a time: they stay in L2
 *     read   Y  = Phi(Q) m      features of a block of queries
 *
 * k_a k_b = k_b k_a, so that D (D + 1) / 2 products stand for D^2. m is summed in place in the packed layout that reading wants. */
#include <string.h>

#include "attention/fastmax.h"

static size_t panel_width(size_t d, size_t panel) {
    const size_t left = d - panel * FOV_PANEL;
    return left < FOV_PANEL ? left : FOV_PANEL;
}

void fov_fastmax_moments_clear(const fov_fastmax *f, const fov_fastmax_moments *m) {
    memset(m->m, 0, fov_packed_size(f->d, f->features) * sizeof *m->m);
    memset(m->z, 0, f->features * sizeof *m->z);
}

/* Which product a feature is: 1, x[a], or x[a] x[b]. */
typedef struct feature {
    size_t number, a, b;
} feature;

static void next(feature *it, size_t d) {
    it->number++;
    if (it->number <= d) {
        it->a = it->number - 1;
        it->b = 0;
    } else if (it->number == d + 1) {
        it->a = it->b = 0;
    } else if (++it->b == d) {
        it->b = ++it->a;
    }
}

/* One feature of n keys, from their transposed rows. */
static void key_feature(const feature *it, size_t d, const float *kt, size_t ld, size_t n, float *to) {
    const float *a = kt + it->a * ld, *b = kt + it->b * ld;
    if (!it->number)
        for (size_t i = 0; i < n; i++) to[i] = 1;
    else if (it->number <= d)
        memcpy(to, a, n * sizeof *to);
    else
        for (size_t i = 0; i < n; i++) to[i] = a[i] * b[i];
}

static void transpose(const float *x, size_t n, size_t d, size_t ld, float *to) {
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) to[c * ld + i] = x[i * d + c];
}

void fov_fastmax_moments_add(const fov_fastmax *f, const fov_kernels *kernels, const float *x, const float *share,
                             const float *packed_v, size_t n, const fov_fastmax_scratch *s) {
    const size_t ld = f->block;
    if (!n) return;
    transpose(x, n, f->d, ld, s->transposed);
    feature it = {0, 0, 0};
    for (size_t first = 0; first < f->features; first += FOV_FASTMAX_FEATURES) {
        const size_t left = f->features - first, count = left < FOV_FASTMAX_FEATURES ? left : FOV_FASTMAX_FEATURES;
        for (size_t i = 0; i < count; i++, next(&it, f->d)) {
            key_feature(&it, f->d, s->transposed, ld, n, s->features + i * ld);
            s->moments.z[first + i] += fov_fastmax_dot(s->features + i * ld, share, n);
        }
        for (size_t panel = 0; panel < fov_panels(f->d); panel++) {
            float *m = s->moments.m + (panel * f->features + first) * FOV_PANEL;
            const fov_gemm g = {.n = count,
                                .m = panel_width(f->d, panel),
                                .k = n,
                                .x = s->features,
                                .ldx = ld,
                                .w = packed_v + panel * n * FOV_PANEL,
                                .residual = m,
                                .ldr = FOV_PANEL,
                                .y = m,
                                .ldy = FOV_PANEL};
            kernels->gemm_block(&g, 0, count, 0, 1, s->gemm);
        }
    }
}

static void query_features(const fov_fastmax *f, const float *q, float *to) {
    to[0] = 1;
    memcpy(to + 1, q, f->d * sizeof *to);
    if (f->p == 1) return;
    float *run = to + 1 + f->d;
    for (size_t a = 0; a < f->d; run += f->d - a++) {
        const float x = q[a];
        for (size_t b = a; b < f->d; b++) run[b - a] = x * q[b];
        run[0] *= .5f;
    }
}

void fov_fastmax_pull(const fov_fastmax *f, const float *x, const float *gradient, float *dx) {
    for (size_t c = 0; c < f->d; c++) dx[c] += gradient[1 + c];
    if (f->p == 1) return;
    const float *run = gradient + 1 + f->d;
    for (size_t a = 0; a < f->d; run += f->d - a++) {
        dx[a] += fov_fastmax_dot(run, x + a, f->d - a);
        for (size_t b = a + 1; b < f->d; b++) dx[b] += x[a] * run[b - a];
    }
}

void fov_fastmax_moments_read(const fov_fastmax *f, const fov_kernels *kernels, const float *x, size_t n, float *sums, float *g,
                              const fov_fastmax_scratch *s) {
    for (size_t i = 0; i < n; i++) {
        float *row = s->features + i * f->features;
        query_features(f, x + i * f->d, row);
        if (g) g[i] = fov_fastmax_dot(row, s->moments.z, f->features);
    }
    if (!sums) return;
    const fov_gemm gemm = {
        .n = n, .m = f->d, .k = f->features, .x = s->features, .ldx = f->features, .w = s->moments.m, .y = sums, .ldy = f->d};
    kernels->gemm_block(&gemm, 0, n, 0, fov_panels(f->d), s->gemm);
}
