/* gemm_ref.c: packing, gemm and the sampled value projection in plain C. */
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

static void tile_ref(const fov_tile *t) {
    for (size_t i = 0; i < t->rows; i++) {
        const float *a = t->a + i * FOV_TILE_STRIDE;
        float acc[FOV_PANEL] = {0}, *sum = t->sum + i * FOV_PANEL;
        for (size_t k = 0; k < t->k; k++)
            for (size_t j = 0; j < FOV_PANEL; j++) acc[j] += a[k] * t->b[k * FOV_PANEL + j];
        for (size_t j = 0; j < FOV_PANEL; j++) sum[j] = t->first ? acc[j] : sum[j] + acc[j];
        if (t->last) epilogue(t, t->row + i, sum);
    }
}

void fov_gemm_block_ref(const fov_gemm *g, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end, float *scratch) {
    fov_gemm_block_run(g, row_begin, row_end, panel_begin, panel_end, scratch, FOV_REF_ROWS, tile_ref);
}

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
