/* score_ref.c: scores of chosen keys, and of all keys in 8 bits, in plain C. */
#include "kernels/ref/ref.h"

void fov_dots_ref(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y) {
    for (size_t i = 0; i < n; i++) {
        const float *row = w + index[i] * ldw;
        y[i] = 0;
        for (size_t c = 0; c < cols; c++) y[i] += x[c] * row[c];
    }
}

void fov_score_i8_ref(const fov_score_i8 *s) {
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; j < s->m; j++) {
            const uint8_t *w = s->w + j / FOV_PANEL * FOV_PANEL * s->k + j % FOV_PANEL * 4;
            int32_t sum = 0;
            for (size_t c = 0; c < s->k; c++) sum += s->x[i * s->k + c] * (w[c / 4 * FOV_PANEL * 4 + c % 4] - 128);
            s->y[i * s->ldy + j] = (float)sum * s->scale[j] + s->shift[j];
        }
}
