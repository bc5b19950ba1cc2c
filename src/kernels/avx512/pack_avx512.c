/* pack_avx512.c: packing of gemm operands. Transposes run at inference too: K of every attention head is packed as a weight. */
#include "kernels/avx512/avx512.h"

/* Rows w[0 .. rows) into 16 columns of a panel; missing rows are zeros. */
static void pack_16(const float *w, size_t ldw, size_t rows, size_t k, float *packed) {
    for (size_t k0 = 0; k0 < k; k0 += 16) {
        const size_t depth = k - k0 < 16 ? k - k0 : 16;
        const __mmask16 mask = fov_mask16(depth);
        __m512 r[16];
        FOV_UNROLL
        for (size_t i = 0; i < 16; i++) r[i] = i < rows ? _mm512_maskz_loadu_ps(mask, w + i * ldw + k0) : _mm512_setzero_ps();
        fov_transpose16(r);
        float *to = packed + k0 * FOV_PANEL;
        if (depth == 16) {
            FOV_UNROLL
            for (size_t i = 0; i < 16; i++) _mm512_storeu_ps(to + i * FOV_PANEL, r[i]);
        } else {
            for (size_t i = 0; i < depth; i++) _mm512_storeu_ps(to + i * FOV_PANEL, r[i]);
        }
    }
}

void fov_pack_t_avx512(const float *w, size_t ldw, size_t m, size_t k, float *packed) {
    for (size_t j = 0; j < fov_panels(m) * FOV_PANEL; j += 16) {
        const size_t rows = j >= m ? 0 : m - j < 16 ? m - j : 16;
        pack_16(w + (rows ? j * ldw : 0), ldw, rows, k, packed + j / FOV_PANEL * FOV_PANEL * k + j % FOV_PANEL);
    }
}

void fov_pack_n_avx512(const float *w, size_t ldw, size_t k, size_t m, float *packed) {
    for (size_t j0 = 0; j0 < m; j0 += FOV_PANEL) {
        const size_t columns = m - j0;
        const __mmask16 low = fov_mask16(columns), high = fov_mask16_from(columns, 16);
        for (size_t i = 0; i < k; i++, packed += FOV_PANEL) {
            const float *from = w + i * ldw + j0;
            _mm512_storeu_ps(packed, _mm512_maskz_loadu_ps(low, from));
            _mm512_storeu_ps(packed + 16, high ? _mm512_maskz_loadu_ps(high, from + 16) : _mm512_setzero_ps());
        }
    }
}
