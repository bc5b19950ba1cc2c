/* quantize.c: the int8 quantisation of a row of X. A few values of a row are many times as large as the others (outlier features of
 * layer norms, hidden units that fire) and would set the step of all. They stay out of the row's range: what their u has beyond a
 * byte is added in the epilogue, as a whole number of 16 bits times their column of W (after Dettmers et al., "LLM.int8()", 2022,
 * but chosen row by row and without a second product). Errors: docs/results/dtype.md. Does less: smoothing factors per feature
 * (Xiao et al., "SmoothQuant", 2023), even fitted to the texts measured: X and W together .70 and 1.90 % of the products with W1
 * and W2, from 1.51 and 1.82 %. Does nothing: cutting W's range where its squared error is least. */
#include <math.h>

#include "kernels/tile.h"

/* Few, since each costs the epilogue of every panel: the first leave out the most error. */
static size_t wide_most(size_t k) {
    const size_t most = k < 128 ? 0 : 1 + k / 512;
    return most < FOV_WIDE ? most : FOV_WIDE;
}

/* From the range without the wide values and the largest magnitude; none is wide yet. */
static void set_range(fov_quant *quant, float low, float high, float most) {
    /* halves: high - low may overflow; u fits in 15 bits and a sign */
    const float half = high * 0.5f - low * 0.5f, least = most / 240, scale = (half > least ? half : least) / 127.5f;
    const bool flat = !(scale > 0x1p-120f); /* nothing that f32 can tell from 0 */
    quant->below = quant->wide = 0;
    quant->scale = flat ? 0 : scale;
    quant->inverse = flat ? 0 : 1 / scale;
    quant->zero = (int32_t)lrintf(-low * quant->inverse);
}

/* The first `first` of n in descending order of magnitude, by selection. */
static void sort_first(const float *x, uint32_t *index, size_t n, size_t first) {
    for (size_t i = 0; i < first && i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (fabsf(x[index[j]]) > fabsf(x[index[i]])) {
                const uint32_t swap = index[i];
                index[i] = index[j];
                index[j] = swap;
            }
}

/* The least of the maxima of `groups` parts of a row: as many values at least are not below it, and not many more unless the row is
 * flat. */
static float bound_of(const float lanes[FOV_LANES], size_t groups) {
    float most[FOV_WIDE] = {0}, least = INFINITY;
    for (size_t i = 0, g = 0; i < FOV_LANES; i++, g = g + 1 < groups ? g + 1 : 0) most[g] = lanes[i] > most[g] ? lanes[i] : most[g];
    for (size_t g = 0; g < groups; g++) least = most[g] < least ? most[g] : least;
    return least;
}

/* The largest magnitudes of a row, at most `most`, none of which equals one that is left: how many, and their places. */
static size_t find_wide(const fov_row_scan *scan, const float *x, size_t k, size_t most, const float lanes[FOV_LANES],
                        uint32_t seen[FOV_WIDE_SEEN + FOV_LANES]) {
    size_t count = 0;
    for (size_t groups = most; groups; groups--) {
        const float bound = bound_of(lanes, groups);
        count = bound > 0 ? scan->above(x, k, bound, seen) : 0;
        if (bound > 0 && count <= FOV_WIDE_SEEN) break;
        count = 0;
    }
    sort_first(x, seen, count, most + 1);
    size_t wide = count < most ? count : most;
    while (wide && wide < count && !(fabsf(x[seen[wide - 1]]) > fabsf(x[seen[wide]]))) wide--;
    return wide;
}

/* Note a value whose u is beyond a byte. */
static void add_wide(fov_quant *quant, int32_t u, uint32_t k) {
    const int32_t byte = u & 255, more = u - byte;
    const uint32_t high = (uint32_t)(more < 0 ? -more : more) / 256;
    quant->more[quant->wide++] = (fov_wide){.k = k,
                                            .word = k / 4 * FOV_PANEL,
                                            .shift = 24 - k % 4 * 8,
                                            .spread = high << k % 4 * 8,
                                            .more = more,
                                            .byte = (uint8_t)byte};
}

void fov_quant_measure(const fov_row_scan *scan, const float *x, size_t k, fov_quant *quant) {
    float lanes[FOV_LANES], low, high, top = 0;
    uint32_t seen[FOV_WIDE_SEEN + FOV_LANES];
    if (!scan->lanes(x, k, lanes)) {
        *quant = (fov_quant){.scale = NAN};
        return;
    }
    for (size_t i = 0; i < FOV_LANES; i++) top = lanes[i] > top ? lanes[i] : top;
    const size_t wide = find_wide(scan, x, k, wide_most(k), lanes, seen);
    scan->range(x, k, wide ? fabsf(x[seen[wide - 1]]) : INFINITY, &low, &high);
    set_range(quant, low, high, top);
    int32_t u[FOV_WIDE];
    for (size_t i = 0; i < wide; i++) u[i] = (int32_t)lrintf(x[seen[i]] * quant->inverse) + quant->zero;
    for (size_t i = 0; i < wide; i++)
        if (u[i] < 0) add_wide(quant, u[i], seen[i]);
    quant->below = quant->wide;
    for (size_t i = 0; i < wide; i++)
        if (u[i] > 255) add_wide(quant, u[i], seen[i]);
}

void fov_quant_put_wide(const fov_quant *quant, size_t first, size_t count, float *words) {
    for (size_t o = 0; o < quant->wide; o++) {
        const size_t k = quant->more[o].k;
        if (k / 4 >= first && k / 4 < first + count) ((uint8_t *)words)[k - 4 * first] = quant->more[o].byte;
    }
}
