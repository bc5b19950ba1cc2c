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

/* Value (row, column) of Y, of 4 bytes or 2. */
static inline void *fov_y_at(const fov_gemm *g, size_t row, size_t column) {
    const size_t size = g->y_bf16 ? sizeof(uint16_t) : sizeof(float);
    return (char *)(void *)g->y + (row * g->ldy + column) * size;
}

/* The lines of Y that rows [begin, end) of a finished tile will write, and of the residual they will read, asked for while the tile
 * is computed. */
static inline void fov_prefetch_y(const fov_tile *t, size_t begin, size_t end) {
    const fov_gemm *g = t->gemm;
    for (size_t i = begin; i < end; i++) {
        const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
        const float *y = fov_y_at(g, to, t->panel * FOV_PANEL);
        __builtin_prefetch(y, 1, 3);
        if (!g->y_bf16) __builtin_prefetch(y + 16, 1, 3);
        if (!g->residual || g->residual == g->y) continue;
        const float *residual = g->residual + to * g->ldr + t->panel * FOV_PANEL;
        __builtin_prefetch(residual);
        __builtin_prefetch(residual + 16);
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

/* `rows` rows of `panels` panels side by side. columns: X is read in place, at t->columns of its rows; the loads of the rows'
 * addresses hide behind the multiply-adds. */
__attribute__((always_inline)) static inline void fov_tile_rows(const fov_multiply multiply, const bool columns, const fov_tile *t,
                                                                const size_t rows, const size_t panels) {
    __m512i acc[14][8];
    const float *x_row[14];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        const size_t row = t->row + i;
        FOV_UNROLL
        for (size_t j = 0; j < 2 * panels; j++) acc[i][j] = _mm512_setzero_si512();
        if (columns) x_row[i] = t->gemm->x + (t->gemm->x_rows ? t->gemm->x_rows[row] : row) * t->gemm->ldx;
    }
    const bool prefetch = panels < 4; /* four streams the processor fetches itself: 10 to 25 % faster without */
    const float *ask = t->ask;
    const float *a = t->a, *b = t->b;
    const uint32_t *column = t->columns;
    for (size_t k = t->k; k; k--) {
        const size_t c = columns ? *column++ : 0;
        fov_operand16 w[8];
        FOV_UNROLL
        for (size_t j = 0; j < 2 * panels; j++) {
            const float *from = b + j / 2 * t->b_step + j % 2 * 16;
            w[j] = fov_operand_w(multiply, from);
        }
        for (size_t p = 0; prefetch && p < panels; p++) {
            const float *near = b + p * t->b_step + 16 * FOV_PANEL, *far = ask + p * t->b_step;
            if (ask) { /* into L2, which has room for it */
                _mm_prefetch((const char *)far, _MM_HINT_T1);
                if (t->lines > 1) _mm_prefetch((const char *)(far + 16), _MM_HINT_T1);
            } else {
                _mm_prefetch((const char *)near, _MM_HINT_T0);
                _mm_prefetch((const char *)(near + 16), _MM_HINT_T0);
            }
        }
        if (ask) ask += 16 * t->lines;
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const fov_operand16 x = fov_operand_x(multiply, columns ? x_row[i] + c : a + i * FOV_TILE_STRIDE);
            FOV_UNROLL
            for (size_t j = 0; j < 2 * panels; j++) acc[i][j] = fov_multiply_add(multiply, acc[i][j], x, w[j]);
        }
        a++;
        b += FOV_PANEL;
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) {
        FOV_UNROLL
        for (size_t j = 0; j < 2 * panels; j++) {
            float *sum = t->sum + i * FOV_PANEL + j / 2 * t->sum_step + j % 2 * 16;
            if (!t->first) acc[i][j] = fov_add_sum(multiply, sum, acc[i][j]);
            _mm512_store_si512((void *)sum, acc[i][j]);
        }
    }
}

/* The epilogue of finished sums: of int8 to f32 first, then bias, activation and residual. */
void fov_finish_f32_avx512(const fov_tile *t);
void fov_finish_bf16_native(const fov_tile *t); /* where the processor converts */
void fov_finish_int8_avx512(const fov_tile *t);
void fov_finish_int8_vnni(const fov_tile *t);

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

#define FOV_TILE_1(name, multiply, columns, r, panels)                                                                             \
    static void name##_##r(const fov_tile *t) {                                                                                    \
        fov_tile_rows(multiply, columns, t, r, panels);                                                                            \
    }
#define FOV_TILE_12(name, multiply, columns)                                                                                       \
    FOV_TILE_1(name, multiply, columns, 1, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 2, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 3, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 4, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 5, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 6, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 7, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 8, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 9, 1)                                                                                      \
    FOV_TILE_1(name, multiply, columns, 10, 1)                                                                                     \
    FOV_TILE_1(name, multiply, columns, 11, 1)                                                                                     \
    FOV_TILE_1(name, multiply, columns, 12, 1)
#define FOV_TILE_14(name, multiply, columns)                                                                                       \
    FOV_TILE_12(name, multiply, columns)                                                                                           \
    FOV_TILE_1(name, multiply, columns, 13, 1)                                                                                     \
    FOV_TILE_1(name, multiply, columns, 14, 1)
#define FOV_TILE_WIDE(name, multiply)                                                                                              \
    FOV_TILE_1(name, multiply, false, 1, 4)                                                                                        \
    FOV_TILE_1(name, multiply, false, 2, 4)                                                                                        \
    FOV_TILE_1(name, multiply, false, 3, 4)                                                                                        \
    FOV_TILE_1(name, multiply, false, 4, 2)                                                                                        \
    FOV_TILE_1(name, multiply, false, 5, 2)                                                                                        \
    FOV_TILE_1(name, multiply, false, 6, 2)                                                                                        \
    FOV_TILE_1(name, multiply, false, 7, 2)
#define FOV_TILE_LIST_7(name) name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7
#define FOV_TILE_LIST_12(name) FOV_TILE_LIST_7(name), name##_8, name##_9, name##_10, name##_11, name##_12
#define FOV_TILE_LIST_14(name) FOV_TILE_LIST_12(name), name##_13, name##_14

/* fov_tiles_<name>: what block.c needs; further fields of it behind. `side`: the tiles of panels side by side, if `wide_`. */
#define FOV_TILES_OF(name, most, wide_, side, finish, ...)                                                                         \
    static void name(const fov_tile *t) {                                                                                          \
        static void (*const one[])(const fov_tile *t) = {FOV_TILE_LIST_##most(name)};                                              \
        static void (*const side_by_side[])(const fov_tile *t) = {FOV_TILE_LIST_7(side)};                                          \
        fov_tile_run(t, (wide_) && t->panels > 1 ? side_by_side : one, finish);                                                    \
    }                                                                                                                              \
    const fov_tiles fov_tiles_##name = {.mr = most, .rows = FOV_GEMM_ROWS, .wide = wide_, .tile = name, __VA_ARGS__};
/* 14 rows take all registers, and fewer take panels side by side; 12 leave some for operands that are split. */
#define FOV_TILES_14(name, multiply, finish, ...)                                                                                  \
    FOV_TILE_14(name, multiply, false)                                                                                             \
    FOV_TILE_WIDE(name##_wide, multiply)                                                                                           \
    FOV_TILES_OF(name, 14, true, name##_wide, finish, __VA_ARGS__)
#define FOV_TILES_12(name, multiply, finish, ...)                                                                                  \
    FOV_TILE_12(name, multiply, false)                                                                                             \
    FOV_TILES_OF(name, 12, false, name, finish, __VA_ARGS__)

/* A tile and its epilogue. */
static inline void fov_tile_run(const fov_tile *t, void (*const *rows)(const fov_tile *t), void (*finish)(const fov_tile *t)) {
    if (t->last) fov_prefetch_y(t, 0, t->rows);
    rows[t->rows - 1](t);
    if (!t->last) return;
    fov_tile one = *t;
    for (size_t i = 0; i < t->panels; i++, one.panel++, one.sum += t->sum_step) finish(&one);
}

extern const fov_tiles fov_tiles_f32_avx512, fov_tiles_bf16_avx512, fov_tiles_int8_avx512, fov_tiles_int8_vnni, fov_tiles_bf16_dot;

#endif
