/* gemm_words_avx2.c: bf16 and int8 gemms of the avx2 tier, which has no instructions of their own: the halves of a word of bf16 are
 * two floats, the even and odd bytes of a word of int8 are multiplied as int16 (vpmaddwd; vpmaddubsw would saturate). About f32's
 * speed with half and a quarter of its memory. Up to 4 rows x 16 columns: 8 sums, 4 registers of W, 2 of X. */
#include <string.h>

#include "kernels/avx2/avx2.h"
#include "kernels/avx2/gemm_avx2.h"

enum { ROWS = 4, HALF = FOV_PANEL / 2, AHEAD = 16 /* word rows of W prefetched */ };

typedef enum multiply { BF16, INT8 } multiply;

typedef struct operand {
    __m256i a, b; /* lower and upper, or even and odd */
} operand;

static inline operand operand_w(const multiply how, const float *from) {
    const __m256i w = _mm256_load_si256((const __m256i *)(const void *)from);
    if (how == BF16) return (operand){_mm256_slli_epi32(w, 16), _mm256_and_si256(w, _mm256_set1_epi32((int)0xffff0000u))};
    return (operand){_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), _mm256_srai_epi16(w, 8)};
}

static inline operand operand_x(const multiply how, const float *from) {
    int32_t word;
    memcpy(&word, from, sizeof word);
    const __m256i x = _mm256_set1_epi32(word);
    if (how == BF16) return (operand){_mm256_slli_epi32(x, 16), _mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000u))};
    return (operand){_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(x, 8)};
}

static inline __m256i multiply_add(const multiply how, __m256i sum, operand x, operand w) {
    if (how == BF16) {
        const __m256 f = _mm256_fmadd_ps(_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(w.a), _mm256_castsi256_ps(sum));
        return _mm256_castps_si256(_mm256_fmadd_ps(_mm256_castsi256_ps(x.b), _mm256_castsi256_ps(w.b), f));
    }
    return _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(x.a, w.a), _mm256_madd_epi16(x.b, w.b)));
}

static inline __m256i add(const multiply how, __m256i a, __m256i b) {
    return how == BF16 ? _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)))
                       : _mm256_add_epi32(a, b);
}

__attribute__((always_inline)) static inline void tile_rows(const multiply how, const fov_tile *t, size_t half, const size_t rows) {
    __m256i acc[ROWS][2];
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++) acc[i][0] = acc[i][1] = _mm256_setzero_si256();
    const float *a = t->a, *b = t->b + half;
    for (size_t k = t->k; k; k--) {
        _mm_prefetch((const char *)(b + AHEAD * FOV_PANEL), _MM_HINT_T0);
        const operand w0 = operand_w(how, b), w1 = operand_w(how, b + 8);
        FOV_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const operand x = operand_x(how, a + i * FOV_TILE_STRIDE);
            acc[i][0] = multiply_add(how, acc[i][0], x, w0);
            acc[i][1] = multiply_add(how, acc[i][1], x, w1);
        }
        a++;
        b += FOV_PANEL;
    }
    FOV_UNROLL
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < 2; c++) {
            __m256i *sum = (__m256i *)(void *)(t->sum + i * FOV_PANEL + half + 8 * c);
            if (!t->first) acc[i][c] = add(how, _mm256_load_si256(sum), acc[i][c]);
            _mm256_store_si256(sum, acc[i][c]);
        }
}

#define TILE(name, how, r)                                                                                                         \
    static void name##_##r(const fov_tile *t) {                                                                                    \
        tile_rows(how, t, 0, r);                                                                                                   \
        tile_rows(how, t, HALF, r);                                                                                                \
    }
#define TILES(name, how)                                                                                                           \
    TILE(name, how, 1)                                                                                                             \
    TILE(name, how, 2)                                                                                                             \
    TILE(name, how, 3)                                                                                                             \
    TILE(name, how, 4)                                                                                                             \
    static void (*const name##_all[ROWS])(const fov_tile *t) = {name##_1, name##_2, name##_3, name##_4};
TILES(bf16, BF16)
TILES(int8, INT8)

static void tile_bf16(const fov_tile *t) {
    bf16_all[t->rows - 1](t);
    if (t->last) fov_finish_f32_avx2(t);
}

/* What wide values of X add to 8 columns' sums. */
static inline __m256i add_wide(const fov_quant *quant, const float *panel, __m256i sum) {
    for (size_t o = 0; o < quant->wide; o++) {
        const fov_wide *wide = &quant->more[o];
        const __m256i words = _mm256_load_si256((const __m256i *)(const void *)(panel + wide->word));
        const __m256i w = _mm256_srai_epi32(_mm256_sll_epi32(words, _mm_cvtsi32_si128((int)wide->shift)), 24);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w, _mm256_set1_epi32(wide->more & 0xffff)));
    }
    return sum;
}

/* sum = s_i scale[j] (sum - z_i w_sum[j]), as f32 in place. */
static void dequantize(const fov_tile *t) {
    const fov_gemm *g = t->gemm;
    const size_t j = t->panel * FOV_PANEL, columns = g->m - j < FOV_PANEL ? g->m - j : FOV_PANEL;
    for (size_t c = 0; c < columns; c += 8) {
        const __m256 scale = fov_load8(g->w_scale + j + c, columns - c);
        const __m256i w_sum = _mm256_maskload_epi32(g->w_sum + j + c, fov_mask8(columns - c));
        for (size_t i = 0; i < t->rows; i++) {
            float *sum = t->sum + i * FOV_PANEL + c;
            const __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(t->quant[i].zero), w_sum);
            const __m256i whole =
                add_wide(&t->quant[i], fov_tile_panel(t) + c, _mm256_load_si256((const __m256i *)(const void *)sum));
            const __m256i q = _mm256_sub_epi32(whole, zero);
            _mm256_store_ps(sum, _mm256_mul_ps(_mm256_cvtepi32_ps(q), _mm256_mul_ps(_mm256_set1_ps(t->quant[i].scale), scale)));
        }
    }
}

static void tile_int8(const fov_tile *t) {
    int8_all[t->rows - 1](t);
    if (!t->last) return;
    dequantize(t);
    fov_finish_f32_avx2(t);
}

/* To nearest, ties to even; a NaN keeps its upper half, made quiet. */
static __m128i round_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x), upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i near = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)), y = _mm256_blendv_epi8(near, quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
}

void fov_to_bf16_avx2(const float *x, uint16_t *y, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        uint16_t lanes[8];
        _mm_storeu_si128((__m128i *)lanes, round_bf16(fov_load8(x + i, count - i)));
        memcpy(y + i, lanes, (count - i < 8 ? count - i : 8) * sizeof *y);
    }
}

static void pack_bf16(const float *x, size_t k, const fov_quant *quant, float *words) {
    (void)quant;
    char *to = (char *)words;
    for (size_t i = 0; i < k; i += 8) {
        const __m128i y = round_bf16(fov_load8(x + i, k - i));
        char lanes[16];
        _mm_storeu_si128((__m128i *)(void *)lanes, y);
        memcpy(to + 2 * i, lanes, k - i < 8 ? (k - i + 1) / 2 * 4 : 16);
    }
}

static inline __m256 size8(__m256 v) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

static bool lanes_int8(const float *x, size_t k, float lanes[FOV_LANES]) {
    __m256 most[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, finite = most[0];
    for (size_t i = 0; i < k; i += 8) {
        const __m256 v = fov_load8(x + i, k - i);
        most[i / 8 % 2] = _mm256_max_ps(size8(v), most[i / 8 % 2]);
        finite = _mm256_fmadd_ps(v, _mm256_setzero_ps(), finite); /* NaN where v is not finite */
    }
    _mm256_storeu_ps(lanes, most[0]);
    _mm256_storeu_ps(lanes + 8, most[1]);
    return !_mm256_movemask_ps(_mm256_cmp_ps(finite, finite, _CMP_UNORD_Q));
}

static size_t above_int8(const float *x, size_t k, float bound, uint32_t *seen) {
    const __m256 least = _mm256_set1_ps(bound);
    size_t count = 0;
    for (size_t i = 0; i < k && count <= FOV_WIDE_SEEN; i += 8) {
        const __m256 v = size8(fov_load8(x + i, k - i));
        unsigned found = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(v, least, _CMP_GE_OQ));
        for (; found; found &= found - 1) seen[count++] = (uint32_t)(i + (size_t)__builtin_ctz(found));
    }
    return count;
}

static void range_int8(const float *x, size_t k, float bound, float *low, float *high) {
    const __m256 limit = _mm256_set1_ps(bound);
    __m256 least = _mm256_setzero_ps(), most = least;
    for (size_t i = 0; i < k; i += 8) {
        const __m256 v = fov_load8(x + i, k - i), v0 = _mm256_and_ps(v, _mm256_cmp_ps(size8(v), limit, _CMP_LT_OQ));
        least = _mm256_min_ps(v0, least);
        most = _mm256_max_ps(v0, most);
    }
    *low = -fov_max8(_mm256_sub_ps(_mm256_setzero_ps(), least));
    *high = fov_max8(most);
}

static void measure_int8(const float *x, size_t k, fov_quant *quant) {
    static const fov_row_scan scan = {lanes_int8, above_int8, range_int8};
    fov_quant_measure(&scan, x, k, quant);
}

/* u = clamp(round(x inverse) + zero, 0, 255). */
static void pack_int8(const float *x, size_t k, const fov_quant *quant, float *words) {
    const __m256 inverse = _mm256_set1_ps(quant->inverse);
    const __m256i zero = _mm256_set1_epi32(quant->zero);
    char *to = (char *)words;
    for (size_t i = 0; i < k; i += 8) {
        const __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(fov_load8(x + i, k - i), inverse)), zero);
        const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        char lanes[16];
        _mm_storeu_si128((__m128i *)(void *)lanes, _mm_packus_epi16(half, half));
        memcpy(to + i, lanes, k - i < 8 ? (k - i + 3) / 4 * 4 : 8);
    }
}

const fov_tiles fov_tiles_bf16_avx2 = {.mr = ROWS, .rows = FOV_GEMM_ROWS, .tile = tile_bf16, .pack = pack_bf16};
const fov_tiles fov_tiles_int8_avx2 = {
    .mr = ROWS, .rows = FOV_GEMM_ROWS, .tile = tile_int8, .measure = measure_int8, .pack = pack_int8};
