/* quantize.c: the int8 quantisation of a row of X. A few values of a row are many times as large as the others (outlier features of
 * layer norms, hidden units that fire) and would set the step of all. They stay out of the row's range: what their u has beyond a
 * byte is added in the epilogue, as a whole number of 16 bits times their column of W (after Dettmers et al., "LLM.int8()", 2022,
 * but chosen row by row and without a second product). BERT-base on RTE, mean over the layers of |error| / |Y| of the products with
 * W1 and W2: 1.51 and 1.82 % without, .57 and 1.20 % with. Does less: smoothing factors per feature (Xiao et al., "SmoothQuant",
 * 2023), even fitted to the texts measured: .70 and 1.90 %. Does nothing: cutting W's range where its squared error is least. */
#include <math.h>

#include "kernels/tile.h"

/* At a twentieth of the cost of the products: a wide value costs as much as about three words of K. */
static size_t wide_most(size_t k) {
    const size_t most = k / 256;
    return most < FOV_WIDE ? most : FOV_WIDE;
}

/* From the range without the wide values and the largest magnitude. */
static fov_quant quant_of(float low, float high, float most) {
    /* halves: high - low may overflow; u fits in 16 bits */
    const float half = high * 0.5f - low * 0.5f, least = most / 256, scale = (half > least ? half : least) / 127.5f;
    if (!(scale > 0x1p-120f)) return (fov_quant){0}; /* nothing that f32 can tell from 0 */
    const float inverse = 1 / scale;
    return (fov_quant){.scale = scale, .inverse = inverse, .zero = (int32_t)rintf(-low * inverse)};
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

/* The largest magnitudes of a row, at most `most`, none of which equals one that is left: how many, and their places. The most-th
 * largest of the lanes' maxima has at least `most` values that are not below it, and few more unless the row is flat. */
static size_t find_wide(const fov_row_scan *scan, const float *x, size_t k, size_t most, const float lanes[FOV_LANES],
                        uint32_t seen[FOV_WIDE_SEEN + FOV_LANES]) {
    uint32_t order[FOV_LANES];
    size_t count = 0;
    for (uint32_t i = 0; i < FOV_LANES; i++) order[i] = i;
    sort_first(lanes, order, FOV_LANES, most);
    for (size_t r = most; r; r--) {
        const float bound = lanes[order[r - 1]];
        if (bound > 0) count = scan->above(x, k, bound, seen);
        if (bound > 0 && count <= FOV_WIDE_SEEN) break;
        count = 0;
    }
    sort_first(x, seen, count, most + 1);
    size_t wide = count < most ? count : most;
    while (wide && wide < count && !(fabsf(x[seen[wide - 1]]) > fabsf(x[seen[wide]]))) wide--;
    return wide;
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
    *quant = quant_of(low, high, top);
    for (size_t i = 0; i < wide; i++) {
        const int32_t u = (int32_t)rintf(x[seen[i]] * quant->inverse) + quant->zero, byte = u < 0 ? 0 : u > 255 ? 255 : u;
        if (u == byte) continue;
        quant->at[quant->wide] = seen[i];
        quant->more[quant->wide++] = u - byte;
    }
}
