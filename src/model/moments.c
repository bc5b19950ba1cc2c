/* moments.c: see moments.h.
 *
 * x is rounded to a multiple of STEP, an integer q; sums of q and q q^T are kept in doubles. While sum q_i^2 <= 2^53 for every i,
 * Cauchy-Schwarz bounds every partial sum of every q_i q_j by 2^53, so that all of them are integers that a double holds: no
 * addition ever rounds, in whatever order. fov_moments_finish checks that. With STEP = 2^-12 a feature of root mean square 16
 * reaches the bound after 2 million tokens; the rounding adds 5e-9 to a variance. */
#include "model/moments.h"

#include <string.h>

#include "core/threads.h"

enum {
    ROWS = 256, /* rounded at a time */
    TILE = 32,  /* of the product matrix, per task */
    REGISTERS = 4
};
static const double STEP = 0x1p-12, EXACT = 0x1p53;

fov_status fov_moments_create(size_t layers, size_t width, unsigned threads, const fov_allocator *allocator,
                              fov_moments **moments) {
    const size_t cells = fov_mul(fov_mul(layers, width), sizeof(double));
    const size_t padded = (width + TILE - 1) / TILE * TILE;
    fov_moments *m = fov_alloc_zero(allocator, sizeof *m);
    if (!m) return FOV_ERR_MEMORY;
    m->allocator = *allocator;
    m->layers = layers;
    m->width = width;
    m->threads = threads;
    m->sum = fov_alloc_zero(allocator, cells);
    m->gram = fov_alloc_zero(allocator, fov_mul(cells, width));
    m->block = fov_alloc_zero(allocator, fov_mul(padded, ROWS * sizeof(double)));
    if (m->sum && m->gram && m->block) {
        *moments = m;
        return FOV_OK;
    }
    fov_moments_free(m);
    return FOV_ERR_MEMORY;
}

void fov_moments_free(fov_moments *m) {
    if (!m) return;
    const fov_allocator allocator = m->allocator;
    fov_release(&allocator, m->sum);
    fov_release(&allocator, m->gram);
    fov_release(&allocator, m->block);
    fov_release(&allocator, m);
}

typedef struct job {
    fov_moments *m;
    size_t layer, rows, tiles;
    const float *x;
} job;

/* Block of rounded inputs: groups of 4 features, [padded / 4][ROWS][4], so that the products below walk it straight. */
static void round_task(void *context, size_t group, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t d = j->m->width, first = group * REGISTERS;
    double *to = j->m->block + group * ROWS * REGISTERS, *sum = j->m->sum + j->layer * d;
    for (size_t t = 0; t < j->rows; t++)
        for (size_t i = 0; i < REGISTERS && first + i < d; i++) {
            const double shift = 0x1.8p52, q = (double)j->x[t * d + first + i] / STEP + shift - shift; /* to the nearest integer */
            to[t * REGISTERS + i] = q;
            sum[first + i] += q;
        }
}

/* Products of two groups of 4 features over the block's rows. */
static void products(const double *a, const double *b, size_t rows, double out[REGISTERS][REGISTERS]) {
    double s[REGISTERS][REGISTERS] = {{0}};
    for (size_t t = 0; t < rows; t++, a += REGISTERS, b += REGISTERS)
        for (size_t i = 0; i < REGISTERS; i++)
            for (size_t k = 0; k < REGISTERS; k++) s[i][k] += a[i] * b[k];
    memcpy(out, s, sizeof s);
}

/* A tile of the upper triangle. */
static void gram_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t d = j->m->width, row = index / j->tiles * TILE, column = index % j->tiles * TILE;
    if (column < row) return;
    double *gram = j->m->gram + j->layer * d * d, out[REGISTERS][REGISTERS];
    for (size_t i = row; i < row + TILE && i < d; i += REGISTERS)
        for (size_t k = column; k < column + TILE && k < d; k += REGISTERS) {
            if (k + REGISTERS <= i) continue;
            products(j->m->block + i * ROWS, j->m->block + k * ROWS, j->rows, out);
            for (size_t a = 0; a < REGISTERS && i + a < d; a++)
                for (size_t b = 0; b < REGISTERS && k + b < d; b++) gram[(i + a) * d + k + b] += out[a][b];
        }
}

void fov_moments_add(fov_moments *m, size_t layer, const float *x, size_t n) {
    job j = {.m = m, .layer = layer, .tiles = (m->width + TILE - 1) / TILE};
    for (size_t t = 0; t < n; t += ROWS) {
        j.x = x + t * m->width;
        j.rows = n - t < ROWS ? n - t : ROWS;
        fov_parallel(m->threads, (m->width + REGISTERS - 1) / REGISTERS, round_task, &j);
        fov_parallel(m->threads, j.tiles * j.tiles, gram_task, &j);
    }
}

bool fov_moments_finish(const fov_moments *m, size_t layer, double tokens, double *mean, double *covariance) {
    const size_t d = m->width;
    const double *sum = m->sum + layer * d, *gram = m->gram + layer * d * d;
    for (size_t i = 0; i < d; i++)
        if (!(gram[i * d + i] < EXACT)) return false;
    for (size_t i = 0; i < d; i++) mean[i] = sum[i] / tokens * STEP;
    for (size_t i = 0; i < d; i++)
        for (size_t k = i; k < d; k++)
            covariance[i * d + k] = covariance[k * d + i] = gram[i * d + k] / tokens * (STEP * STEP) - mean[i] * mean[k];
    return true;
}
