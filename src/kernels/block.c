/* block.c: the loops of a gemm around the register tile, in words of K (Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", 2008): rows of X are packed in L2, panels of W stream through, one tile of Y stays in registers. */
#include "kernels/tile.h"

#include <string.h>

#include "core/memory.h"

enum {
    ROWS_AHEAD = 2,
    PANELS = 4 /* 192 KiB of W a block, in L2; 1, 2 and 8 are up to 2 % slower at K = 3072 */
};

size_t fov_gemm_scratch(void) {
    const size_t quants = (FOV_TILE_PACKED * sizeof(fov_quant) + 63) / 64 * 16;
    return (size_t)FOV_TILE_PACKED * FOV_TILE_STRIDE + (size_t)FOV_TILE_SUMS * FOV_PANEL + quants;
}

static size_t value_size(const fov_gemm *g) {
    return g->x_bf16 ? sizeof(uint16_t) : sizeof(float);
}

/* From column `first` on. */
static const void *x_at(const fov_gemm *g, size_t row, size_t first) {
    return (const char *)g->x + ((g->x_rows ? g->x_rows[row] : row) * g->ldx + first) * value_size(g);
}

typedef struct block {
    const fov_gemm *gemm;
    const fov_tiles *ops;
    bool in_place; /* columns of X are not packed */
    size_t words;  /* of K */
    size_t row, rows, tiles;
    bool packed;      /* X is */
    fov_quant *quant; /* [rows] */
    fov_tile *before; /* whose epilogue is still to do; rows = 0: none */
} block;

static void prefetch_bytes(const char *x, size_t count) {
    for (size_t i = 0; i < count; i += 64) __builtin_prefetch(x + i);
}

/* Values x_columns[first ..] of a row, which are scattered over all of it. */
static const float *gather_values(const fov_gemm *g, size_t row, size_t first, size_t count, float *buffer) {
    const float *x = x_at(g, row, 0);
    const uint32_t *columns = g->x_columns + first;
    for (size_t j = 0; j < count; j++) buffer[j] = x[columns[j]];
    return buffer;
}

/* Words [k0, k0 + k) of a row of the block into a. */
static void pack_row(const block *b, size_t i, size_t k0, size_t k, float *a) {
    const fov_gemm *g = b->gemm;
    const size_t first = k0 << g->type, values = fov_least(k << g->type, g->k - first);
    float gathered[2 * FOV_GEMM_KC], *to = a + i * FOV_TILE_STRIDE;
    if (g->x_columns && !b->ops->pack) {
        gather_values(g, b->row + i, first, values, to);
        return;
    }
    if (g->x_bf16) {
        memcpy(to, x_at(g, b->row + i, first), values * sizeof(uint16_t));
        if (values % 2) ((uint16_t *)(void *)to)[values] = 0;
        return;
    }
    const float *x = g->x_columns ? gather_values(g, b->row + i, first, values, gathered) : x_at(g, b->row + i, first);
    if (b->ops->pack)
        b->ops->pack(x, values, &b->quant[i], to);
    else
        memcpy(to, x, k * sizeof *a);
    if (b->ops->measure) fov_quant_put_wide(&b->quant[i], k0, k, to);
}

/* X comes from far away: rows are asked for ahead of their copy. */
static void prefetch_ahead(const block *b, size_t i, size_t first, size_t values) {
    const fov_gemm *g = b->gemm;
    if (i + ROWS_AHEAD >= b->rows) return;
    if (g->x_columns) first = 0, values = g->ldx;
    prefetch_bytes(x_at(g, b->row + i + ROWS_AHEAD, first), values * value_size(g));
}

/* Words [k0, k0 + k) of the block's rows. */
static void pack_rows(const block *b, size_t k0, size_t k, float *a) {
    const size_t type = b->gemm->type;
    for (size_t i = 0; i < b->rows; i++) {
        prefetch_ahead(b, i, k0 << type, fov_least(k << type, b->gemm->k - (k0 << type)));
        pack_row(b, i, k0, k, a);
    }
}

static void measure_row(const block *b, size_t i) {
    if (b->ops->measure) b->ops->measure(x_at(b->gemm, b->row + i, 0), b->gemm->k, &b->quant[i]);
}

/* All of K, the blocks of K `step` apart: a row is measured and packed while it is in L1. */
static void pack_whole(const block *b, size_t step, float *a) {
    for (size_t i = 0; i < b->rows; i++) {
        prefetch_ahead(b, i, 0, b->gemm->k);
        measure_row(b, i);
        for (size_t k0 = 0; k0 < b->words; k0 += FOV_GEMM_KC)
            pack_row(b, i, k0, fov_least(b->words - k0, FOV_GEMM_KC), a + k0 / FOV_GEMM_KC * step);
    }
}

/* Panels [p0, p1) and the block of K at k0 for all row tiles: a tile's rows of X stay in L1 while the panels stream from L2. */
static void run_panels(const block *b, size_t p0, size_t p1, size_t k0, const float *a, float *sums) {
    const fov_gemm *g = b->gemm;
    const size_t k = fov_least(b->words - k0, FOV_GEMM_KC);
    fov_tile tile = {.k = k, .first = k0 == 0, .last = k0 + k == b->words, .gemm = g};
    if (b->in_place) tile.columns = g->x_columns + k0;
    tile.b_step = b->words * FOV_PANEL;
    tile.sum_step = b->rows * FOV_PANEL;
    /* From here to what follows: the next words of these panels, or as many panels behind them. */
    const size_t next = tile.last ? (p1 - p0) * tile.b_step - k0 * FOV_PANEL : k * FOV_PANEL;
    const bool whole = tile.first && tile.last; /* then the sums are done with before the next tile's: one place, in L1 */
    for (size_t t = 0; t < b->tiles; t++) {
        const size_t begin = b->ops->full ? t * b->ops->mr : t * b->rows / b->tiles;
        const size_t end = b->ops->full ? begin + b->ops->mr : (t + 1) * b->rows / b->tiles;
        tile.rows = fov_least(end, b->rows) - begin;
        tile.a = a + begin * FOV_TILE_STRIDE;
        tile.quant = b->quant + begin;
        tile.row = b->row + begin;
        tile.cold = t == 0;
        const bool asks = t + 2 >= b->tiles; /* the last two, for half each; W comes from memory where rows are few */
        tile.lines = b->tiles > 1 ? 1 : 2;
        const size_t wide = b->ops->wide && !b->in_place ? fov_tile_panels(b->ops->mr, tile.rows) : 1;
        for (size_t p = p0; p < p1; p += tile.panels) {
            tile.panels = p1 - p >= wide ? wide : 1;
            tile.panel = p;
            tile.b = g->w + (p * b->words + k0) * FOV_PANEL;
            tile.ask = asks ? tile.b + next + (t && t + 1 == b->tiles ? k * FOV_PANEL / 2 : 0) : NULL;
            tile.sum = whole ? sums : sums + ((p - p0) * b->rows + begin) * FOV_PANEL;
            tile.before = b->before->rows ? b->before : NULL;
            if (b->in_place)
                b->ops->columns(&tile);
            else
                b->ops->tile(&tile);
            b->before->rows = 0;
            if (b->ops->finish && tile.last) *b->before = tile;
        }
    }
}

/* X packed once with all of K, or read in place. */
static void run_whole(const block *b, size_t panel_begin, size_t panel_end, float *a, float *sums) {
    const size_t step = b->rows * FOV_TILE_STRIDE;
    if (!b->packed) pack_whole(b, step, a);
    for (size_t p = panel_begin; p < panel_end; p += PANELS)
        for (size_t k0 = 0, i = 0; i == 0 || k0 < b->words; k0 += FOV_GEMM_KC, i++)
            run_panels(b, p, fov_least(p + PANELS, panel_end), k0, a + i * step, sums);
}

/* X packed per block of K, for a group of panels whose sums stay in scratch. */
static void run_groups(const block *b, size_t panel_begin, size_t panel_end, float *a, float *sums) {
    for (size_t i = 0; i < b->rows; i++) measure_row(b, i);
    const size_t group = FOV_TILE_SUMS / b->rows;
    for (size_t p0 = panel_begin; p0 < panel_end; p0 += group) {
        const size_t p1 = fov_least(p0 + group, panel_end);
        for (size_t k0 = 0; k0 < b->words; k0 += FOV_GEMM_KC) {
            pack_rows(b, k0, fov_least(b->words - k0, FOV_GEMM_KC), a);
            for (size_t p = p0; p < p1; p += PANELS)
                run_panels(b, p, fov_least(p + PANELS, p1), k0, a, sums + (p - p0) * b->rows * FOV_PANEL);
        }
    }
}

/* Rows at a time: all that fit in scratch with all of K; where K is long, as many as let the sums of all panels fit. */
bool fov_gemm_block_run(const fov_tiles *ops, const fov_gemm *gemm, size_t row_begin, size_t row_end, size_t panel_begin,
                        size_t panel_end, float *scratch, bool packed) {
    if (panel_begin >= panel_end || row_begin >= row_end) return packed;
    float *a = scratch, *sums = a + (size_t)FOV_TILE_PACKED * FOV_TILE_STRIDE;
    fov_quant *quant = (fov_quant *)(void *)(sums + (size_t)FOV_TILE_SUMS * FOV_PANEL);
    const size_t words = fov_words(gemm->type, gemm->k), n = row_end - row_begin;
    const bool in_place = gemm->x_columns && ops->columns;
    size_t most = in_place ? ops->rows : fov_block_rows(ops->rows, ops->mr, words);
    const bool whole = in_place || most >= n || most >= FOV_GEMM_ROWS / 10 * 9;
    if (!whole) most = n * (panel_end - panel_begin) > FOV_TILE_SUMS ? FOV_GEMM_ROWS / 2 : FOV_GEMM_ROWS;
    fov_tile before = {.rows = 0};
    if (ops->begin) ops->begin();
    for (size_t row = row_begin; row < row_end; row += most) {
        const size_t rows = fov_least(row_end - row, most);
        const block b = {gemm, ops, in_place, words, row, rows, (rows + ops->mr - 1) / ops->mr, in_place || packed, quant, &before};
        if (whole)
            run_whole(&b, panel_begin, panel_end, a, sums);
        else
            run_groups(&b, panel_begin, panel_end, a, sums);
        if (before.rows) ops->finish(&before);
        before.rows = 0;
    }
    if (ops->end) ops->end();
    return whole && !in_place && most >= n;
}

void fov_gemm_block(const fov_kernels *kernels, const fov_gemm *g, size_t row_begin, size_t row_end, size_t panel_begin,
                    size_t panel_end, float *scratch) {
    fov_gemm_block_run(kernels->tiles[g->type], g, row_begin, row_end, panel_begin, panel_end, scratch, false);
}
