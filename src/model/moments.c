/* moments.c: see moments.h.
 *
 * x is rounded to a multiple of STEP, an integer q; sums of q and q q^T are kept in doubles. While sum q_i^2 <= 2^53 for every i,
 * Cauchy-Schwarz bounds every partial sum of every q_i q_j by 2^53, so that all of them are integers that a double holds: no
 * addition ever rounds, in whatever order. fov_moments_finish checks that. With STEP = 2^-12 a feature of root mean square 16
 * reaches the bound after 2 million tokens; the rounding adds 5e-9 to a variance. */
#include "model/moments.h"

#include "core/threads.h"

enum {
    ROWS = 128, /* rounded at a time: 8 features of them stay in L1 */
    PANEL = FOV_GRAM_PANEL,
    TILE = 4 * PANEL /* of the product matrix, per task */
};
static const double STEP = 0x1p-12, EXACT = 0x1p53;

fov_status fov_moments_create(size_t layers, size_t width, unsigned threads, const fov_allocator *allocator,
                              fov_moments **moments) {
    const size_t cells = fov_mul(fov_mul(layers, width), sizeof(double));
    const size_t padded = (width + PANEL - 1) / PANEL * PANEL;
    const fov_kernels *kernels = fov_kernels_get(NULL);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    fov_moments *m = fov_alloc_zero(allocator, sizeof *m);
    if (!m) return FOV_ERR_MEMORY;
    m->kernels = kernels;
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
    const uint32_t *chosen; /* NULL: the first rows of x */
} job;

/* A panel of rounded inputs, [ROWS][PANEL]; features beyond the width stay 0. */
static void round_task(void *context, size_t panel, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t d = j->m->width, first = panel * PANEL, columns = d - first < PANEL ? d - first : PANEL;
    double *to = j->m->block + first * ROWS, *sum = j->m->sum + j->layer * d + first;
    for (size_t t = 0; t < j->rows; t++, to += PANEL) {
        const float *x = j->x + (j->chosen ? j->chosen[t] : t) * d + first;
        for (size_t i = 0; i < columns; i++) {
            const double shift = 0x1.8p52, q = (double)x[i] / STEP + shift - shift; /* to the nearest integer */
            to[i] = q;
            sum[i] += q;
        }
    }
}

/* Add products of FOV_GRAM_ROWS features from i on and a panel from k on. */
static void add_products(const job *j, size_t i, size_t k) {
    const size_t d = j->m->width, rows = d - i < FOV_GRAM_ROWS ? d - i : FOV_GRAM_ROWS, columns = d - k < PANEL ? d - k : PANEL;
    double sum[FOV_GRAM_ROWS * PANEL], *gram = j->m->gram + j->layer * d * d + i * d + k;
    j->m->kernels->gram(j->m->block + i / PANEL * PANEL * ROWS + i % PANEL, j->m->block + k * ROWS, j->rows, sum);
    for (size_t a = 0; a < rows; a++)
        for (size_t b = 0; b < columns; b++) gram[a * d + b] += sum[a * PANEL + b];
}

/* A tile of the upper triangle. */
static void gram_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t d = j->m->width, row = index / j->tiles * TILE, column = index % j->tiles * TILE;
    for (size_t i = row; i < row + TILE && i < d; i += FOV_GRAM_ROWS)
        for (size_t k = column; k < column + TILE && k < d; k += PANEL)
            if (k + PANEL > i) add_products(j, i, k);
}

void fov_moments_add(fov_moments *m, size_t layer, const float *x, const uint32_t *rows, size_t n) {
    job j = {.m = m, .layer = layer, .tiles = (m->width + TILE - 1) / TILE};
    for (size_t t = 0; t < n; t += ROWS) {
        j.x = rows ? x : x + t * m->width;
        j.chosen = rows ? rows + t : NULL;
        j.rows = n - t < ROWS ? n - t : ROWS;
        fov_parallel(m->threads, (m->width + PANEL - 1) / PANEL, round_task, &j);
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
