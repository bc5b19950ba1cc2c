/* block.c: the loops of a gemm around the register tile (Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", 2008): rows of X are packed in L2, panels of W stream through, one tile of Y stays in registers. */
#include "kernels/tile.h"

#include <string.h>

enum {
    ROWS_AHEAD = 2,
    PANELS = 4 /* 192 KiB of W a block, in L2; 1, 2 and 8 are up to 2 % slower at K = 3072 */
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t fov_gemm_scratch(void) {
    return (size_t)FOV_TILE_PACKED * FOV_TILE_STRIDE + (size_t)FOV_TILE_SUMS * FOV_PANEL;
}

static const float *x_row(const fov_gemm *g, size_t row) {
    return g->x + (g->x_rows ? g->x_rows[row] : row) * g->ldx;
}

/* Rows [row, row + rows) and columns [k0, k0 + k) of X into a. X comes from far away: rows are asked for ahead of their copy. */
static void copy_rows(const fov_gemm *g, size_t row, size_t rows, size_t k0, size_t k, float *a) {
    for (size_t i = 0; i < rows; i++) {
        if (i + ROWS_AHEAD < rows) {
            const float *next = x_row(g, row + i + ROWS_AHEAD) + k0;
            for (size_t j = 0; j < k; j += 16) __builtin_prefetch(next + j);
        }
        memcpy(a + i * FOV_TILE_STRIDE, x_row(g, row + i) + k0, k * sizeof *a);
    }
}

/* The same through x_columns, which are scattered over whole rows. */
static void gather_rows(const fov_gemm *g, size_t row, size_t rows, size_t k0, size_t k, float *a) {
    const uint32_t *columns = g->x_columns + k0;
    for (size_t i = 0; i < rows; i++, a += FOV_TILE_STRIDE) {
        const float *x = x_row(g, row + i);
        if (i + ROWS_AHEAD < rows)
            for (size_t j = 0; j < g->ldx; j += 16) __builtin_prefetch(x_row(g, row + i + ROWS_AHEAD) + j);
        for (size_t j = 0; j < k; j++) a[j] = x[columns[j]];
    }
}

static void pack_rows(const fov_gemm *g, size_t row, size_t rows, size_t k0, size_t k, float *a) {
    if (g->x_columns)
        gather_rows(g, row, rows, k0, k, a);
    else
        copy_rows(g, row, rows, k0, k, a);
}

typedef struct block {
    const fov_gemm *gemm;
    size_t row, rows, tiles;
    void (*tile)(const fov_tile *tile);
} block;

/* Panels [p0, p1) of one block of K for all row tiles: a tile's rows of X stay in L1 while the panels stream from L2. */
static void run_panels(const block *b, size_t p0, size_t p1, size_t k0, const float *a, float *sums) {
    const fov_gemm *g = b->gemm;
    const size_t k = least(g->k - k0, FOV_GEMM_KC);
    fov_tile tile = {.k = k, .first = k0 == 0, .last = k0 + k == g->k, .gemm = g};
    for (size_t t = 0; t < b->tiles; t++) {
        const size_t begin = t * b->rows / b->tiles; /* tiles differ by at most one row */
        tile.rows = (t + 1) * b->rows / b->tiles - begin;
        tile.a = a + begin * FOV_TILE_STRIDE;
        tile.row = b->row + begin;
        for (size_t p = p0; p < p1; p++) {
            tile.panel = p;
            tile.b = g->w + (p * g->k + k0) * FOV_PANEL;
            tile.sum = sums + ((p - p0) * b->rows + begin) * FOV_PANEL;
            b->tile(&tile);
        }
    }
}

/* X packed once with all of K. */
static void run_whole(const block *b, size_t panel_begin, size_t panel_end, float *a, float *sums) {
    const fov_gemm *g = b->gemm;
    const size_t step = b->rows * FOV_TILE_STRIDE;
    for (size_t k0 = 0, i = 0; k0 < g->k; k0 += FOV_GEMM_KC, i++)
        pack_rows(g, b->row, b->rows, k0, least(g->k - k0, FOV_GEMM_KC), a + i * step);
    for (size_t p = panel_begin; p < panel_end; p += PANELS)
        for (size_t k0 = 0, i = 0; i == 0 || k0 < g->k; k0 += FOV_GEMM_KC, i++)
            run_panels(b, p, least(p + PANELS, panel_end), k0, a + i * step, sums);
}

/* X packed per block of K, for a group of panels whose sums stay in scratch. */
static void run_groups(const block *b, size_t panel_begin, size_t panel_end, float *a, float *sums) {
    const fov_gemm *g = b->gemm;
    const size_t group = FOV_TILE_SUMS / b->rows;
    for (size_t p0 = panel_begin; p0 < panel_end; p0 += group) {
        const size_t p1 = least(p0 + group, panel_end);
        for (size_t k0 = 0; k0 < g->k; k0 += FOV_GEMM_KC) {
            pack_rows(g, b->row, b->rows, k0, least(g->k - k0, FOV_GEMM_KC), a);
            for (size_t p = p0; p < p1; p += PANELS)
                run_panels(b, p, least(p + PANELS, p1), k0, a, sums + (p - p0) * b->rows * FOV_PANEL);
        }
    }
}

/* Rows at a time: all that fit in scratch with all of K; where K is long, as many as let the sums of all panels fit. */
void fov_gemm_block_run(const fov_gemm *gemm, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end,
                        float *scratch, size_t mr, void (*tile)(const fov_tile *tile)) {
    if (panel_begin >= panel_end) return;
    float *a = scratch, *sums = scratch + (size_t)FOV_TILE_PACKED * FOV_TILE_STRIDE;
    const size_t blocks = (gemm->k + FOV_GEMM_KC - 1) / FOV_GEMM_KC, fit = blocks ? FOV_TILE_PACKED / blocks : FOV_GEMM_ROWS;
    const bool whole = fit >= FOV_GEMM_ROWS || fit >= row_end - row_begin;
    size_t most = FOV_GEMM_ROWS;
    if (!whole && most * (panel_end - panel_begin) > FOV_TILE_SUMS) most = FOV_GEMM_ROWS / 2;
    for (size_t row = row_begin; row < row_end; row += most) {
        const size_t rows = least(row_end - row, most);
        const block b = {gemm, row, rows, (rows + mr - 1) / mr, tile};
        if (whole)
            run_whole(&b, panel_begin, panel_end, a, sums);
        else
            run_groups(&b, panel_begin, panel_end, a, sums);
    }
}
