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

/* z += features summed over n keys: k_a k_b summed is K^T K, a gemm. In the engine's plain code the sums would cost a fifth of all.
 */
static void add_sums(const fov_fastmax *f, const fov_kernels *kernels, const float *x, size_t n, const fov_fastmax_scratch *s) {
    const size_t d = f->d;
    float *z = s->moments.z;
    z[0] += (float)n;
    for (size_t a = 0; a < d; a++) z[1 + a] += fov_fastmax_dot(s->transposed + a * f->block, NULL, n);
    if (f->p == 1) return;
    kernels->pack_n(x, d, n, d, s->packed_x);
    const fov_gemm g = {.n = d, .m = d, .k = n, .x = s->transposed, .ldx = f->block, .w = s->packed_x, .y = s->gram, .ldy = d};
    fov_gemm_block(kernels, &g, 0, d, 0, fov_panels(d), s->gemm);
    float *run = z + 1 + d;
    for (size_t a = 0; a < d; run += d - a++)
        for (size_t b = a; b < d; b++) run[b - a] += s->gram[a * d + b];
}

/* g = phi(x) z = z_0 + x . z_1 + x^T Z x / 2 with the symmetric Z of the squares: one more gemm of D columns. */
static void read_sums(const fov_fastmax *f, const fov_kernels *kernels, const float *x, size_t n, float *g,
                      const fov_fastmax_scratch *s) {
    const size_t d = f->d;
    const float *z = s->moments.z, *run = z + 1 + d;
    for (size_t i = 0; i < n; i++) g[i] = z[0] + fov_fastmax_dot(x + i * d, z + 1, d);
    if (f->p == 1) return;
    for (size_t a = 0; a < d; run += d - a++)
        for (size_t b = a; b < d; b++) s->gram[a * d + b] = s->gram[b * d + a] = run[b - a];
    kernels->pack_n(s->gram, d, d, d, s->packed_x);
    const fov_gemm gemm = {.n = n, .m = d, .k = d, .x = x, .ldx = d, .w = s->packed_x, .y = s->products, .ldy = d};
    fov_gemm_block(kernels, &gemm, 0, n, 0, fov_panels(d), s->gemm);
    for (size_t i = 0; i < n; i++) g[i] += fov_fastmax_dot(x + i * d, s->products + i * d, d) / 2;
}

void fov_fastmax_moments_add(const fov_fastmax *f, const fov_kernels *kernels, const float *x, const float *share,
                             const float *packed_v, size_t n, const fov_fastmax_scratch *s) {
    const size_t ld = f->block;
    if (!n) return;
    transpose(x, n, f->d, ld, s->transposed);
    if (!share) add_sums(f, kernels, x, n, s);
    feature it = {0, 0, 0};
    for (size_t first = 0; first < f->features; first += FOV_FASTMAX_FEATURES) {
        const size_t left = f->features - first, count = left < FOV_FASTMAX_FEATURES ? left : FOV_FASTMAX_FEATURES;
        for (size_t i = 0; i < count; i++, next(&it, f->d)) {
            key_feature(&it, f->d, s->transposed, ld, n, s->features + i * ld);
            if (share) s->moments.z[first + i] += fov_fastmax_dot(s->features + i * ld, share, n);
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
            fov_gemm_block(kernels, &g, 0, count, 0, 1, s->gemm);
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
    if (g) read_sums(f, kernels, x, n, g, s);
    if (!sums) return;
    for (size_t i = 0; i < n; i++) query_features(f, x + i * f->d, s->features + i * f->features);
    const fov_gemm gemm = {
        .n = n, .m = f->d, .k = f->features, .x = s->features, .ldx = f->features, .w = s->moments.m, .y = sums, .ldy = f->d};
    fov_gemm_block(kernels, &gemm, 0, n, 0, fov_panels(f->d), s->gemm);
}
