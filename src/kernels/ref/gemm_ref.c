/* gemm_ref.c: packing, the gemm of every type and the sampled value projection in plain C. */
#include "kernels/ref/ref.h"

void fov_pack_t_ref(const float *w, size_t ldw, size_t m, size_t k, float *packed) {
    for (size_t j0 = 0; j0 < m; j0 += FOV_PANEL)
        for (size_t i = 0; i < k; i++)
            for (size_t j = j0; j < j0 + FOV_PANEL; j++) *packed++ = j < m ? w[j * ldw + i] : 0;
}

void fov_pack_n_ref(const float *w, size_t ldw, size_t k, size_t m, float *packed) {
    for (size_t j0 = 0; j0 < m; j0 += FOV_PANEL) {
        const size_t columns = m - j0 < FOV_PANEL ? m - j0 : FOV_PANEL;
        for (size_t i = 0; i < k; i++, packed += FOV_PANEL) {
            memcpy(packed, w + i * ldw + j0, columns * sizeof *packed);
            memset(packed + columns, 0, (FOV_PANEL - columns) * sizeof *packed);
        }
    }
}

static void epilogue(const fov_tile *t, size_t row, const float *sum) {
    const fov_gemm *g = t->gemm;
    const size_t to = g->y_rows ? g->y_rows[row] : row, j0 = t->panel * FOV_PANEL;
    const size_t columns = g->m - j0 < FOV_PANEL ? g->m - j0 : FOV_PANEL;
    float *y = g->y + to * g->ldy + j0;
    const float *residual = g->residual ? g->residual + to * g->ldr + j0 : NULL;
    for (size_t j = 0; j < columns; j++) {
        float value = sum[j];
        if (g->bias) value += g->bias[j0 + j];
        value = fov_activate(g->act, value);
        y[j] = residual ? value + residual[j] : value;
    }
}

static void tile_f32(const fov_tile *t) {
    for (size_t i = 0; i < t->rows; i++) {
        const float *a = t->a + i * FOV_TILE_STRIDE;
        float acc[FOV_PANEL] = {0}, *sum = t->sum + i * FOV_PANEL;
        for (size_t k = 0; k < t->k; k++)
            for (size_t j = 0; j < FOV_PANEL; j++) acc[j] += a[k] * t->b[k * FOV_PANEL + j];
        for (size_t j = 0; j < FOV_PANEL; j++) sum[j] = t->first ? acc[j] : sum[j] + acc[j];
        if (t->last) epilogue(t, t->row + i, sum);
    }
}

/* A word of two bf16: acc += lower lower, then upper upper. */
static void tile_bf16(const fov_tile *t) {
    for (size_t i = 0; i < t->rows; i++) {
        const float *a = t->a + i * FOV_TILE_STRIDE;
        float acc[FOV_PANEL] = {0}, *sum = t->sum + i * FOV_PANEL;
        for (size_t k = 0; k < t->k; k++) {
            const uint32_t x = fov_float_bits(a[k]);
            for (size_t j = 0; j < FOV_PANEL; j++) {
                const uint32_t w = fov_float_bits(t->b[k * FOV_PANEL + j]);
                acc[j] += fov_bits_float(x << 16) * fov_bits_float(w << 16);
                acc[j] += fov_bits_float(x & 0xffff0000u) * fov_bits_float(w & 0xffff0000u);
            }
        }
        for (size_t j = 0; j < FOV_PANEL; j++) sum[j] = t->first ? acc[j] : sum[j] + acc[j];
        if (t->last) epilogue(t, t->row + i, sum);
    }
}

static void dequantize_row(const fov_tile *t, size_t row) {
    const fov_gemm *g = t->gemm;
    const size_t j0 = t->panel * FOV_PANEL, columns = g->m - j0 < FOV_PANEL ? g->m - j0 : FOV_PANEL;
    const fov_quant quant = t->quant[row];
    float *sum = t->sum + row * FOV_PANEL;
    for (size_t j = 0; j < columns; j++) {
        int32_t q = (int32_t)fov_float_bits(sum[j]) - quant.zero * g->w_sum[j0 + j];
        for (size_t o = 0; o < quant.wide; o++) {
            int8_t w[4];
            memcpy(w, fov_tile_panel(t) + quant.more[o].word + j, sizeof w);
            q += quant.more[o].more * w[3 - quant.more[o].shift / 8];
        }
        sum[j] = (float)q * (quant.scale * g->w_scale[j0 + j]);
    }
}

static void tile_int8(const fov_tile *t) {
    for (size_t i = 0; i < t->rows; i++) {
        int32_t acc[FOV_PANEL];
        float *sum = t->sum + i * FOV_PANEL;
        if (t->first)
            memset(acc, 0, sizeof acc);
        else
            memcpy(acc, sum, sizeof acc);
        for (size_t k = 0; k < t->k; k++) {
            uint8_t x[4];
            memcpy(x, t->a + i * FOV_TILE_STRIDE + k, sizeof x);
            for (size_t j = 0; j < FOV_PANEL; j++) {
                int8_t w[4];
                memcpy(w, t->b + k * FOV_PANEL + j, sizeof w);
                acc[j] += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
            }
        }
        memcpy(sum, acc, sizeof acc);
        if (!t->last) continue;
        dequantize_row(t, i);
        epilogue(t, t->row + i, sum);
    }
}

void fov_to_bf16_ref(const float *x, uint16_t *y, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = fov_float_bits(x[i]);
        if ((bits & 0x7fffffffu) > 0x7f800000u)
            y[i] = (uint16_t)(bits >> 16 | 0x40u); /* a quiet NaN */
        else
            y[i] = (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }
}

void fov_pack_n_bf16_ref(const float *w, size_t ldw, size_t k, size_t m, float *packed) {
    for (size_t j0 = 0; j0 < m; j0 += FOV_PANEL) {
        const size_t columns = m - j0 < FOV_PANEL ? m - j0 : FOV_PANEL;
        for (size_t i = 0; i < k; i += 2, packed += FOV_PANEL) {
            uint16_t lower[FOV_PANEL] = {0}, upper[FOV_PANEL] = {0};
            fov_to_bf16_ref(w + i * ldw + j0, lower, columns);
            if (i + 1 < k) fov_to_bf16_ref(w + (i + 1) * ldw + j0, upper, columns);
            for (size_t j = 0; j < FOV_PANEL; j++) packed[j] = fov_bits_float((uint32_t)upper[j] << 16 | lower[j]);
        }
    }
}

static void pack_bf16(const float *x, size_t k, const fov_quant *quant, float *words) {
    (void)quant;
    if (k % 2) words[k / 2] = 0;
    fov_to_bf16_ref(x, (uint16_t *)(void *)words, k);
}

static bool lanes_int8(const float *x, size_t k, float lanes[FOV_LANES]) {
    float finite = 0;
    memset(lanes, 0, FOV_LANES * sizeof *lanes);
    for (size_t i = 0; i < k; i++) {
        const float size = fabsf(x[i]);
        lanes[i % FOV_LANES] = size > lanes[i % FOV_LANES] ? size : lanes[i % FOV_LANES];
        finite += 0 * x[i]; /* NaN where x is not finite */
    }
    return finite == 0;
}

static size_t above_int8(const float *x, size_t k, float bound, uint32_t *seen) {
    size_t count = 0;
    for (size_t i = 0; i < k && count <= FOV_WIDE_SEEN; i++)
        if (fabsf(x[i]) >= bound) seen[count++] = (uint32_t)i;
    return count;
}

static void range_int8(const float *x, size_t k, float bound, float *low, float *high) {
    *low = *high = 0;
    for (size_t i = 0; i < k; i++) {
        if (!(fabsf(x[i]) < bound)) continue;
        *low = x[i] < *low ? x[i] : *low;
        *high = x[i] > *high ? x[i] : *high;
    }
}

static void measure_int8(const float *x, size_t k, fov_quant *quant) {
    static const fov_row_scan scan = {lanes_int8, above_int8, range_int8};
    fov_quant_measure(&scan, x, k, quant);
}

static void pack_int8(const float *x, size_t k, const fov_quant *quant, float *words) {
    uint8_t *u = (uint8_t *)(void *)words;
    if (k % 4) words[k / 4] = 0;
    for (size_t i = 0; i < k; i++) {
        const float q = quant->inverse > 0 ? rintf(x[i] * quant->inverse) + (float)quant->zero : 0;
        u[i] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
    }
}

#define TILES(...)                                                                                                                 \
    { .mr = FOV_REF_ROWS, .rows = FOV_GEMM_ROWS, __VA_ARGS__ }
const fov_tiles fov_tiles_f32_ref = TILES(.tile = tile_f32);
const fov_tiles fov_tiles_bf16_ref = TILES(.tile = tile_bf16, .pack = pack_bf16);
const fov_tiles fov_tiles_int8_ref = TILES(.tile = tile_int8, .measure = measure_int8, .pack = pack_int8);

void fov_sampled_ref(const fov_sampled *s) {
    enum { COLUMNS = 32 };
    for (size_t i = 0; i < s->n; i++) {
        const float *x = s->x + s->rows[i] * s->ldx;
        float *y = s->y + s->rows[i] * s->ldy;
        for (size_t c0 = 0; c0 < s->e; c0 += COLUMNS) {
            const size_t columns = s->e - c0 < COLUMNS ? s->e - c0 : COLUMNS;
            float acc[COLUMNS] = {0};
            for (size_t k = 0; k < s->count[i]; k++) {
                const float *w = s->w + s->index[k] * s->e + c0;
                for (size_t c = 0; c < columns; c++) acc[c] += x[s->index[k]] * w[c];
            }
            for (size_t c = 0; c < columns; c++) y[c0 + c] = acc[c] * s->scale[i] + (s->bias ? s->bias[c0 + c] : 0);
        }
    }
}
