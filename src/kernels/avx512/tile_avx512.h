/* tile_avx512.h: the register tile of the avx512 tiers: up to 14 rows x 32 columns of sums, W in registers, words of X broadcast.
 * One text for all types: `multiply` is constant where it is inlined. The instructions beyond avx512 are there only in files
 * compiled for them. */
#ifndef FOV_KERNELS_AVX512_TILE_H
#define FOV_KERNELS_AVX512_TILE_H

#include "kernels/avx512/avx512.h"

/* A word of X in all lanes. */
static inline __m512i fov_word16(const float *a) {
    int32_t word;
    memcpy(&word, a, sizeof word);
    return _mm512_set1_epi32(word);
}

/* The lines of Y a finished tile will write, asked for while the tile is computed. */
static inline void fov_prefetch_y(const fov_tile *t) {
    const fov_gemm *g = t->gemm;
    for (size_t i = 0; i < t->rows; i++) {
        const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
        const float *y = g->y + to * g->ldy + t->panel * FOV_PANEL;
        __builtin_prefetch(y, 1, 2);
        __builtin_prefetch(y + 16, 1, 2);
    }
}

typedef enum fov_multiply {
    FOV_MULTIPLY_F32,
    FOV_MULTIPLY_BF16,       /* vdpbf16ps; without it the halves of a word are two floats */
    FOV_MULTIPLY_INT8,       /* vpdpbusd */
    FOV_MULTIPLY_INT8_SPLIT, /* even and odd bytes as int16, vpmaddwd */
} fov_multiply;

/* What 16 columns of a word of W are multiplied as. */
typedef struct fov_operand16 {
    __m512i a, b;
} fov_operand16;

__attribute__((always_inline)) static inline fov_operand16 fov_operand_w(const fov_multiply multiply, const float *b) {
    const __m512i w = _mm512_load_si512((const void *)b);
#if !defined(__AVX512BF16__)
    if (multiply == FOV_MULTIPLY_BF16)
        return (fov_operand16){_mm512_slli_epi32(w, 16), _mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000u))};
#endif
    if (multiply == FOV_MULTIPLY_INT8_SPLIT)
        return (fov_operand16){_mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8), _mm512_srai_epi16(w, 8)};
    return (fov_operand16){w, w};
}

__attribute__((always_inline)) static inline fov_operand16 fov_operand_x(const fov_multiply multiply, const float *a) {
    const __m512i x = fov_word16(a);
#if !defined(__AVX512BF16__)
    if (multiply == FOV_MULTIPLY_BF16)
        return (fov_operand16){_mm512_slli_epi32(x, 16), _mm512_and_si512(x, _mm512_set1_epi32((int)0xffff0000u))};
#endif
    if (multiply == FOV_MULTIPLY_INT8_SPLIT)
        return (fov_operand16){_mm512_and_si512(x, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(x, 8)};
    return (fov_operand16){x, x};
}

__attribute__((always_inline)) static inline __m512i fov_multiply_add(const fov_multiply multiply, __m512i sum, fov_operand16 x,
                                                                      fov_operand16 w) {
    const __m512 f = _mm512_castsi512_ps(sum);
    if (multiply == FOV_MULTIPLY_F32)
        return _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(x.a), _mm512_castsi512_ps(w.a), f));
#if defined(__AVX512BF16__)
    if (multiply == FOV_MULTIPLY_BF16) return _mm512_castps_si512(_mm512_dpbf16_ps(f, (__m512bh)x.a, (__m512bh)w.a));
#else
    if (multiply == FOV_MULTIPLY_BF16) {
        const __m512 lower = _mm512_fmadd_ps(_mm512_castsi512_ps(x.a), _mm512_castsi512_ps(w.a), f);
        return _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(x.b), _mm512_castsi512_ps(w.b), lower));
    }
#endif
#if defined(__AVX512VNNI__)
    if (multiply == FOV_MULTIPLY_INT8) return _mm512_dpbusd_epi32(sum, x.a, w.a);
#endif
    return _mm512_add_epi32(sum, _mm512_add_epi32(_mm512_madd_epi16(x.a, w.a), _mm512_madd_epi16(x.b, w.b)));
}

__attribute__((always_inline)) static inline __m512i fov_add_sum(const fov_multiply multiply, const float *sum, __m512i acc) {
    const __m512i old = _mm512_load_si512((const void *)sum);
    if (multiply == FOV_MULTIPLY_F32 || multiply == FOV_MULTIPLY_BF16)
        return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(old), _mm512_castsi512_ps(acc)));
    return _mm512_add_epi32(old, acc);
}

/* columns: X is read in place, at t->columns of its rows. The loads of the rows' addresses hide behind the multiply-adds. */
__attribute__((always_inline)) static inline void fov_tile_rows(const fov_multiply multiply, const bool columns, const fov_tile *t,
                                                                const size_t rows) {
    __m512i acc[14][2];
    const float *x_row[14];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        const size_t row = t->row + i;
        acc[i][0] = acc[i][1] = _mm512_setzero_si512();
        if (columns) x_row[i] = t->gemm->x + (t->gemm->x_rows ? t->gemm->x_rows[row] : row) * t->gemm->ldx;
    }
    const size_t ahead = (rows <= 2 ? 32 : 16) * FOV_PANEL; /* of W; measured: few rows outrun 16 */
    const float *a = t->a, *b = t->b;
    const uint32_t *column = t->columns;
    for (size_t k = t->k; k; k--) {
        const size_t c = columns ? *column++ : 0;
        const fov_operand16 w0 = fov_operand_w(multiply, b), w1 = fov_operand_w(multiply, b + 16);
        _mm_prefetch((const char *)(b + ahead), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + ahead + 16), _MM_HINT_T0);
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const fov_operand16 x = fov_operand_x(multiply, columns ? x_row[i] + c : a + i * FOV_TILE_STRIDE);
            acc[i][0] = fov_multiply_add(multiply, acc[i][0], x, w0);
            acc[i][1] = fov_multiply_add(multiply, acc[i][1], x, w1);
        }
        a++;
        b += FOV_PANEL;
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        float *sum = t->sum + i * FOV_PANEL;
        if (!t->first) {
            acc[i][0] = fov_add_sum(multiply, sum, acc[i][0]);
            acc[i][1] = fov_add_sum(multiply, sum + 16, acc[i][1]);
        }
        _mm512_store_si512((void *)sum, acc[i][0]);
        _mm512_store_si512((void *)(sum + 16), acc[i][1]);
    }
}

/* The epilogue of finished sums: of int8 to f32 first, then bias, activation and residual. */
void fov_finish_f32_avx512(const fov_tile *t);
void fov_finish_int8_avx512(const fov_tile *t);

void fov_pack_bf16_avx512(const float *x, size_t k, const fov_quant *quant, float *words);
void fov_measure_int8_avx512(const float *x, size_t k, fov_quant *quant);
void fov_pack_int8_avx512(const float *x, size_t k, const fov_quant *quant, float *words);

#if defined(__AVX512BF16__)
/* fov_tiles.pack by the processor's own conversion, which takes subnormals for 0 as its products do. */
static inline void fov_pack_bf16_native(const float *x, size_t k, const fov_quant *quant, float *words) {
    (void)quant;
    char *to = (char *)words;
    for (size_t i = 0; i < k; i += 32) {
        const size_t left = k - i;
        const __m512 low = fov_load16(x + i, left), high = left > 16 ? fov_load16(x + i + 16, left - 16) : _mm512_setzero_ps();
        const __m512i y = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        _mm512_mask_storeu_epi32(to + 2 * i, fov_mask16((left + 1) / 2), y);
    }
}
#endif

#define FOV_TILE_1(name, multiply, columns, r)                                                                                     \
    static void name##_##r(const fov_tile *t) {                                                                                    \
        fov_tile_rows(multiply, columns, t, r);                                                                                    \
    }
#define FOV_TILE_12(name, multiply, columns)                                                                                       \
    FOV_TILE_1(name, multiply, columns, 1)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 2)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 3)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 4)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 5)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 6)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 7)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 8)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 9)                                                                                         \
    FOV_TILE_1(name, multiply, columns, 10)                                                                                        \
    FOV_TILE_1(name, multiply, columns, 11)                                                                                        \
    FOV_TILE_1(name, multiply, columns, 12)
#define FOV_TILE_LIST_12(name)                                                                                                     \
    name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8, name##_9, name##_10, name##_11, name##_12

/* name(): the tile and its epilogue; fov_tiles_<name>: what block.c needs. 14 rows take all registers, 12 leave some for
 * operands that are split. */
#define FOV_TILES_14(name, multiply, finish, measure, pack, in_place)                                                              \
    FOV_TILE_12(name, multiply, false)                                                                                             \
    FOV_TILE_1(name, multiply, false, 13)                                                                                          \
    FOV_TILE_1(name, multiply, false, 14)                                                                                          \
    static void (*const name##_all[])(const fov_tile *t) = {FOV_TILE_LIST_12(name), name##_13, name##_14};                         \
    FOV_TILES_RUN(name, 14, finish, measure, pack, in_place)
#define FOV_TILES_12(name, multiply, finish, measure, pack)                                                                        \
    FOV_TILE_12(name, multiply, false)                                                                                             \
    static void (*const name##_all[])(const fov_tile *t) = {FOV_TILE_LIST_12(name)};                                               \
    FOV_TILES_RUN(name, 12, finish, measure, pack, NULL)
#define FOV_TILES_RUN(name, mr, finish, measure, pack, in_place)                                                                   \
    static void name(const fov_tile *t) {                                                                                          \
        if (t->last) fov_prefetch_y(t);                                                                                            \
        name##_all[t->rows - 1](t);                                                                                                \
        if (t->last) finish(t);                                                                                                    \
    }                                                                                                                              \
    const fov_tiles fov_tiles_##name = {mr, FOV_GEMM_ROWS, FOV_GEMM_KC, false, name, measure, pack, in_place};

/* gemm_block of a tier. */
#define FOV_GEMM_BLOCK(tier, f32, bf16, int8)                                                                                      \
    void fov_gemm_block_##tier(const fov_gemm *g, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end,          \
                               float *scratch) {                                                                                   \
        static const fov_tiles *const tiles[FOV_TYPES] = {&fov_tiles_##f32, &fov_tiles_##bf16, &fov_tiles_##int8};                 \
        fov_gemm_block_run(g, row_begin, row_end, panel_begin, panel_end, scratch, tiles[g->type]);                                \
    }

extern const fov_tiles fov_tiles_f32_avx512, fov_tiles_bf16_avx512, fov_tiles_int8_avx512, fov_tiles_int8_vnni, fov_tiles_bf16_dot;

#endif
