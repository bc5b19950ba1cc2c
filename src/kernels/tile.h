/* tile.h: between the loops of a gemm (block.c, one for all tiers and types) and the register tiles of a tier. K counts words here.
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
    FOV_TILE_PACKED = 4 * FOV_GEMM_ROWS, /* rows of packed X, one block of K each: 1 MiB, of which f32 uses half */
    FOV_TILE_SUMS = 16 * FOV_GEMM_ROWS   /* rows of a panel's sums kept in scratch */
};

enum {
    FOV_WIDE = 8, /* values of a row that need more than a byte, at most */
    FOV_WIDE_SEEN = 64,
    FOV_LANES = 16
};

/* A value that needs more than a byte, at column k: u = byte + more, more = 256 h, 0 < |h| < 128. */
typedef struct fov_wide {
    uint32_t k, word, shift; /* where the column's words are in a panel, and how far left its byte is from the upper one */
    uint32_t spread;         /* |h| in the byte k % 4 */
    int32_t more;
    uint8_t byte;
} fov_wide;

/* int8: X[i, k] = scale (u - zero); inverse = 1 / scale, or 0. */
typedef struct fov_quant {
    float scale, inverse;
    int32_t zero;
    uint32_t below, wide; /* the first `below` of `wide` have more < 0 */
    fov_wide more[FOV_WIDE];
} fov_quant;

typedef struct fov_tile {
    size_t rows, k;          /* rows <= mr, k <= FOV_GEMM_KC */
    const float *a;          /* [rows][FOV_TILE_STRIDE] */
    const uint32_t *columns; /* [k] where X is read in place, instead of a */
    const float *b;          /* [k][FOV_PANEL], 64-byte aligned */
    float *sum;              /* [rows][FOV_PANEL] of scratch, 64-byte aligned; of int8: int32_t */
    const fov_quant *quant;  /* [rows] of int8 */
    bool first, last;        /* block of K */
    const fov_gemm *gemm;
    size_t row, panel;             /* of the tile in the gemm, for the epilogue */
    size_t panels;                 /* side by side: 1, or what fov_tile_panels says */
    size_t b_step, sum_step;       /* floats from one of them to the next */
    bool cold;                     /* the first rows of the block to meet these words of W */
    const float *ask;              /* W that the block meets next, for a tile to ask for while it runs; or NULL */
    size_t lines;                  /* of it per word of K: 1 or 2 */
    const struct fov_tile *before; /* where the tier has `finish`: the tile whose epilogue is still to do, or NULL */
} fov_tile;

/* Rows that are packed at a time, all of K: what scratch holds, at most `rows`; whole register tiles where there is a choice. */
static inline size_t fov_block_rows(size_t rows, size_t mr, size_t words) {
    const size_t blocks = (words + FOV_GEMM_KC - 1) / FOV_GEMM_KC, fit = blocks ? FOV_TILE_PACKED / blocks : rows;
    return (fit < rows ? fit : rows) / mr * mr;
}

/* What a tier brings for a type. */
typedef struct fov_tiles {
    size_t mr;                         /* rows of a register tile at most */
    size_t rows;                       /* packed at a time, a multiple of mr, at most FOV_TILE_PACKED */
    bool full;                         /* tiles of mr rows and a rest; else of equal rows */
    bool stores_bf16;                  /* y_bf16 of a gemm is understood */
    bool wide;                         /* the tile takes several panels where it has few rows */
    void (*begin)(void), (*end)(void); /* around the tiles of a block; or NULL */
    void (*tile)(const fov_tile *tile);
    /* NULL: `tile` ends with its epilogue. Else it runs that of tile->before beside its own products, and this one the last. */
    void (*finish)(const fov_tile *tile);
    void (*measure)(const float *x, size_t k, fov_quant *quant); /* of a row of X, before it is packed; or NULL */
    /* k values of a row into words, padded with zeros; NULL: f32, copied. */
    void (*pack)(const float *x, size_t k, const fov_quant *quant, float *words);
    /* The tile with X read in place, at tile->columns of its rows, where the gemm chooses columns; NULL: packing gathers them. */
    void (*columns)(const fov_tile *tile);
} fov_tiles;

/* Panels side by side of a wide tile, so that few rows have sums enough to hide the latency of a multiply-add: at most as many sums
 * as mr rows of one panel. */
static inline size_t fov_tile_panels(size_t mr, size_t rows) {
    return mr >= 4 * rows ? 4 : mr >= 2 * rows ? 2 : 1;
}

/* fov_gemm_block of a tier and type. packed: the call before, with this scratch, left these rows of X (of another gemm, the same
 * X, k and type) there. Returns whether this one does. */
bool fov_gemm_block_run(const fov_tiles *tiles, const fov_gemm *gemm, size_t row_begin, size_t row_end, size_t panel_begin,
                        size_t panel_end, float *scratch, bool packed);

/* Passes over a row of X that a tier brings for its quantisation. */
typedef struct fov_row_scan {
    /* lanes[l] = max of |x[i]|, i = l modulo 16, or 0; whether all are finite (else lanes is anything). */
    bool (*lanes)(const float *x, size_t k, float lanes[FOV_LANES]);
    /* Every i with |x[i]| >= bound, ascending, and how many. Stops once they are more than FOV_WIDE_SEEN. */
    size_t (*above)(const float *x, size_t k, float bound, uint32_t seen[FOV_WIDE_SEEN + FOV_LANES]);
    /* Least and largest of 0 and the x[i] with |x[i]| < bound. */
    void (*range)(const float *x, size_t k, float bound, float *low, float *high);
} fov_row_scan;

/* quantize.c. A row's quantisation, the same bits on every tier. */
void fov_quant_measure(const fov_row_scan *scan, const float *x, size_t k, fov_quant *quant);
/* Wide values' own bytes, into the words [first, first + count) of a packed row, which hold 0 or 255 there. */
void fov_quant_put_wide(const fov_quant *quant, size_t first, size_t count, float *words);

/* A tile's panel from its first word on. */
static inline const float *fov_tile_panel(const fov_tile *t) {
    return t->gemm->w + t->panel * fov_words(t->gemm->type, t->gemm->k) * FOV_PANEL;
}

#endif
