/* tile.h: between the loops of a gemm (block.c, one for all tiers) and the register tiles of a tier.
 *
 * The order of operations of every output element, for all tiers:
 *     for each block of FOV_GEMM_KC of K, ascending: acc = 0; acc += x[k] w[k], k ascending; sum = first ? acc : sum + acc
 *     y = act(sum + bias) + residual
 * Sums between blocks are kept in scratch and y is written once, so y may be the residual. */
#ifndef FOV_KERNELS_TILE_H
#define FOV_KERNELS_TILE_H

#include "kernels/kernels.h"

enum {
    FOV_TILE_STRIDE = FOV_GEMM_KC + 16,  /* floats between packed rows: 25 cache lines, so rows fall in different L1 sets */
    FOV_TILE_PACKED = 2 * FOV_GEMM_ROWS, /* rows of packed X, one block of K each: 525 KiB, half of a 1 MiB L2 */
    FOV_TILE_SUMS = 12 * FOV_GEMM_ROWS   /* rows of a panel's sums kept in scratch */
};

typedef struct fov_tile {
    size_t rows, k;   /* rows <= mr, k <= FOV_GEMM_KC */
    const float *a;   /* [rows][FOV_TILE_STRIDE] */
    const float *b;   /* [k][FOV_PANEL], 64-byte aligned */
    float *sum;       /* [rows][FOV_PANEL] of scratch, 64-byte aligned */
    bool first, last; /* block of K */
    const fov_gemm *gemm;
    size_t row, panel; /* of the tile in the gemm, for the epilogue */
} fov_tile;

/* gemm_block of a tier with register tiles of at most mr rows. */
void fov_gemm_block_run(const fov_gemm *gemm, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end,
                        float *scratch, size_t mr, void (*tile)(const fov_tile *tile));

#endif
