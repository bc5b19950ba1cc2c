/* short_avx512.c: exact attention of one head of a short text. Queries lie in the lanes: S^T = K Q^T, so that the softmax runs down
 * the rows of S^T without a sum over lanes; K, V and the weights are read where they are, as broadcasts. Every element's chain of
 * operations is that of gemm, softmax and gemm. */
#include <float.h>

#include "core/memory.h"
#include "kernels/avx512/avx512.h"

enum { LANES = FOV_PANEL, CHAINS = 16 };

/* Of the next head, whose columns stand behind this one's: rows are 3 KB apart, and no processor asks for them by itself. It pays
 * 5 to 20 %. */
static inline void prefetch_floats(const float *x, size_t count) {
    for (size_t c = 0; c < count; c += 16) __builtin_prefetch(x + c);
}

/* s[j + r] = k[j + r] Q^T for `rows` keys, the last again where there are fewer; vectors of 16 queries. */
__attribute__((always_inline)) static inline void score_keys(const fov_short_head *h, const float *qt, size_t j, const size_t rows,
                                                             const size_t vectors, float *s) {
    __m512 acc[8][2];
    const float *key[8];
    FOV_UNROLL
    for (size_t r = 0; r < rows; r++) {
        key[r] = h->k + (j + r < h->keys ? j + r : h->keys - 1) * h->ldk;
        prefetch_floats(key[r] + h->key_size, h->key_size);
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) acc[r][v] = _mm512_setzero_ps();
    }
    for (size_t c = 0; c < h->key_size; c++, qt += LANES) {
        __m512 q[2];
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) q[v] = _mm512_load_ps(qt + 16 * v);
        FOV_UNROLL
        for (size_t r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(key[r][c]);
            FOV_UNROLL
            for (size_t v = 0; v < vectors; v++) acc[r][v] = _mm512_fmadd_ps(x, q[v], acc[r][v]);
        }
    }
    FOV_UNROLL
    for (size_t r = 0; r < rows; r++) {
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++)
            if (j + r < h->keys) _mm512_store_ps(s + (j + r) * LANES + 16 * v, _mm512_add_ps(acc[r][v], _mm512_setzero_ps()));
    }
}

__attribute__((always_inline)) static inline void score(const fov_short_head *h, const float *qt, const size_t vectors, float *s) {
    for (size_t j = 0; j < h->keys;) {
        if (h->keys - j > 4) {
            score_keys(h, qt, j, 8, vectors, s);
            j += 8;
        } else {
            score_keys(h, qt, j, 4, vectors, s);
            j += 4;
        }
    }
}

/* Sums over j in the order of a row of softmax: CHAINS of every 16th, then halves upon halves. */
static inline __m512 sum_rows(const float *s, size_t keys) {
    __m512 c[CHAINS];
    FOV_UNROLL
    for (size_t l = 0; l < CHAINS; l++) {
        c[l] = _mm512_setzero_ps();
        for (size_t j = l; j < keys; j += CHAINS) c[l] = _mm512_add_ps(c[l], _mm512_load_ps(s + j * LANES));
    }
    FOV_UNROLL
    for (size_t l = 0; l < 8; l++) c[l] = _mm512_add_ps(c[l], c[l + 8]);
    FOV_UNROLL
    for (size_t l = 0; l < 4; l++) c[l] = _mm512_add_ps(c[l], c[l + 4]);
    return _mm512_add_ps(_mm512_add_ps(c[0], c[2]), _mm512_add_ps(c[1], c[3]));
}

/* s[j] = softmax over j of scale s[j], 16 queries. */
static inline void softmax_rows(float *s, size_t keys, float scale) {
    const __m512 factor = _mm512_set1_ps(scale);
    __m512 top = _mm512_set1_ps(-FLT_MAX);
    for (size_t j = 0; j < keys; j++) {
        const __m512 v = _mm512_mul_ps(_mm512_load_ps(s + j * LANES), factor);
        top = _mm512_max_ps(v, top); /* a NaN is passed over here and found by the sum */
        _mm512_store_ps(s + j * LANES, v);
    }
    for (size_t j = 0; j < keys; j++) _mm512_store_ps(s + j * LANES, fov_exp16(_mm512_sub_ps(_mm512_load_ps(s + j * LANES), top)));
    const __m512 total = sum_rows(s, keys), zero = _mm512_setzero_ps();
    const __mmask16 some = _mm512_cmp_ps_mask(total, zero, _CMP_NEQ_UQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(1.0f), total);
    for (size_t j = 0; j < keys; j++) _mm512_store_ps(s + j * LANES, fov_quotient16(_mm512_load_ps(s + j * LANES), total, inverse));
}

/* Column maxima and energies of n queries. */
static void importance(const fov_short_head *h, const float *a, size_t n) {
    for (size_t j = 0; j < h->keys; j += 16) {
        const size_t columns = h->keys - j;
        __m512 most = h->col_max ? fov_load16(h->col_max + j, columns) : _mm512_setzero_ps();
        __m512 energy = h->col_energy ? fov_load16(h->col_energy + j, columns) : _mm512_setzero_ps();
        for (size_t i = 0; i < n; i += 16) {
            __m512 r[16];
            FOV_UNROLL
            for (size_t l = 0; l < 16; l++) r[l] = l < columns ? _mm512_load_ps(a + (j + l) * LANES + i) : _mm512_setzero_ps();
            fov_transpose16(r);
            FOV_UNROLL
            for (size_t l = 0; l < 16; l++) {
                most = i + l < n ? fov_max_nan16(r[l], most) : most;
                energy = i + l < n ? _mm512_fmadd_ps(r[l], r[l], energy) : energy;
            }
        }
        if (h->col_max) fov_store16(h->col_max + j, columns, most);
        if (h->col_energy) fov_store16(h->col_energy + j, columns, energy);
    }
}

/* y[i + r] = sum_j a[j][i + r] v[j] for `rows` queries, of which there are n, and `vectors` of 16 columns from c. */
__attribute__((always_inline)) static inline void value_tile(const fov_short_head *h, const float *a, size_t i, size_t n, size_t c,
                                                             const size_t rows, const size_t vectors, float *y) {
    __m512 acc[8][4];
    __mmask16 mask[4];
    FOV_UNROLL
    for (size_t v = 0; v < vectors; v++) mask[v] = fov_mask16_from(h->value_size - c, 16 * v);
    FOV_UNROLL
    for (size_t r = 0; r < rows; r++) {
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) acc[r][v] = _mm512_setzero_ps();
    }
    const float *value = h->v + c;
    a += i;
    for (size_t j = 0; j < h->keys; j++, value += h->ldv, a += LANES) {
        __m512 w[4];
        if (i == 0) prefetch_floats(value + h->value_size, 16 * vectors);
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) w[v] = _mm512_maskz_loadu_ps(mask[v], value + 16 * v);
        FOV_UNROLL
        for (size_t r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(a[r]);
            FOV_UNROLL
            for (size_t v = 0; v < vectors; v++) acc[r][v] = _mm512_fmadd_ps(x, w[v], acc[r][v]);
        }
    }
    y += i * h->ldy + c;
    FOV_UNROLL
    for (size_t r = 0; r < rows; r++, y += h->ldy) {
        FOV_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            if (i + r < n && mask[v])
                fov_store16(y + 16 * v, h->value_size - c - 16 * v, _mm512_add_ps(acc[r][v], _mm512_setzero_ps()));
        }
    }
}

static void values(const fov_short_head *h, const float *a, size_t n, float *y) {
    size_t c = 0;
    for (; c + 32 < h->value_size; c += 64)
        for (size_t i = 0; i < n; i += 4) value_tile(h, a, i, n, c, 4, 4, y);
    for (; c < h->value_size; c += 32)
        for (size_t i = 0; i < n; i += 8) value_tile(h, a, i, n, c, 8, 2, y);
}

void fov_short_head_avx512(const fov_short_head *h) {
    float *qt = h->scratch, *s = qt + h->key_size * LANES;
    for (size_t i = 0; i < h->queries; i += LANES) { /* y may be q: a block's queries are read before its outputs are written */
        const size_t n = fov_least(h->queries - i, LANES);
        for (size_t r = 0; r < n; r++) prefetch_floats(h->q + (i + r) * h->ldq + h->key_size, h->key_size);
        fov_pack_t_avx512(h->q + i * h->ldq, h->ldq, n, h->key_size, qt);
        if (n > 16)
            score(h, qt, 2, s);
        else
            score(h, qt, 1, s);
        for (size_t l = 0; l < n; l += 16) softmax_rows(s + l, h->keys, h->scale);
        if (h->col_max || h->col_energy) importance(h, s, n);
        values(h, s, n, h->y + i * h->ldy);
    }
}
