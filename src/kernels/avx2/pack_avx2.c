/* pack_avx2.c: packing of gemm operands. Transposes run at inference too: K of every attention head is packed as a weight. */
#include "kernels/avx2/avx2.h"

/* r[i] = row i of an 8 x 8 block -> r[i] = column i. */
static inline void transpose(__m256 r[8]) {
    __m256 t[8];
    FOV_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    FOV_UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    FOV_UNROLL
    for (size_t i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    FOV_UNROLL
    for (size_t i = 0; i < 8; i++) r[i] = t[i];
}

/* Rows w[0 .. rows) into 8 columns of a panel; missing rows are zeros. */
static void pack_8(const float *w, size_t ldw, size_t rows, size_t k, float *packed) {
    for (size_t k0 = 0; k0 < k; k0 += 8) {
        const size_t depth = k - k0;
        __m256 r[8];
        FOV_UNROLL
        for (size_t i = 0; i < 8; i++) r[i] = i < rows ? fov_load8(w + i * ldw + k0, depth) : _mm256_setzero_ps();
        transpose(r);
        float *to = packed + k0 * FOV_PANEL;
        for (size_t i = 0; i < 8 && i < depth; i++) _mm256_storeu_ps(to + i * FOV_PANEL, r[i]);
    }
}

void fov_pack_t_avx2(const float *w, size_t ldw, size_t m, size_t k, float *packed) {
    for (size_t j = 0; j < fov_panels(m) * FOV_PANEL; j += 8) {
        const size_t rows = j >= m ? 0 : m - j < 8 ? m - j : 8;
        pack_8(w + (rows ? j * ldw : 0), ldw, rows, k, packed + j / FOV_PANEL * FOV_PANEL * k + j % FOV_PANEL);
    }
}

void fov_pack_n_avx2(const float *w, size_t ldw, size_t k, size_t m, float *packed) {
    for (size_t j0 = 0; j0 < m; j0 += FOV_PANEL) {
        const size_t columns = m - j0 < FOV_PANEL ? m - j0 : FOV_PANEL;
        for (size_t i = 0; i < k; i++, packed += FOV_PANEL)
            for (size_t c = 0; c < FOV_PANEL; c += 8)
                _mm256_storeu_ps(packed + c, c < columns ? fov_load8(w + i * ldw + j0 + c, columns - c) : _mm256_setzero_ps());
    }
}
