/* kernels.h: the contract between the engine and its instruction tiers.
 *
 * A tier is a table of function pointers. `ref` fills every slot in plain C that may not be NULL; `avx2` and `avx512` start from
 * the tier below and override what they do better. Slots are single-threaded, allocate nothing and touch no global state; threading
 * is above, in gemm.h. Pointers need no alignment unless said. Sizes of 0 are allowed and do nothing.
 *
 * Determinism: within one tier, every output element is one chain of operations whose order depends on K alone, never on the
 * number of rows or columns or on the position in a tile. So a row of a batch equals the single run, bit for bit.
 * NaN in gives NaN out. */
#ifndef FOV_KERNELS_H
#define FOV_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "foveate/foveate.h"

enum {
    FOV_PANEL = 32,     /* columns of a packed panel, in every tier */
    FOV_GEMM_KC = 384,  /* K is cut in blocks of this size, in every tier: partial sums are added in ascending K */
    FOV_GEMM_ROWS = 168 /* rows a gemm task packs at a time (a multiple of 6, 8, 12 and 14) */
};

/* What the operands of a gemm are multiplied in. A word is 4 bytes of K: 1 float, 2 bf16 or 4 int8, so that panels and packed rows
 * have one geometry; K is padded with zeros to whole words. Sums are f32, of int8 int32.
 *
 * bf16: X and W are rounded to nearest, ties to even.
 *
 * int8: W[j, k] = scale[j] q, q in [-127, 127]; X[i, k] = s_i (u - z_i), u in [0, 255], s_i and z_i from the row's range (with 0 in
 * it): y = s_i scale[j] (sum u q - z_i sum q). The range leaves out a few values of largest magnitude, whose u has 16 bits
 * (quantize.c). A row with a value that is not finite gives NaN. */
typedef enum fov_type { FOV_TYPE_F32, FOV_TYPE_BF16, FOV_TYPE_INT8 } fov_type;
enum { FOV_TYPES = 3 };

/* gelu = x / 2 (1 + erf(x / sqrt 2)); of gemms in bf16 and int8, whose results the next product rounds, within 8e-6 from avx512 up.
 */
typedef enum fov_activation { FOV_ACT_NONE, FOV_ACT_GELU, FOV_ACT_RELU, FOV_ACT_TANH } fov_activation;

/* Y[y_row(i), j] = act( sum_k X[x_row(i), x_column(k)] W[j, k] + bias[j] ) + residual[y_row(i), j], i < n, j < m.
 * W is packed: panel p holds columns 32 p .. 32 p + 31 as [words of k][32], short panels padded with zeros. */
typedef struct fov_gemm {
    size_t n, m, k;
    fov_type type; /* of w; X is converted as it is packed, unless x_bf16 */
    const float *x;
    size_t ldx;
    const uint32_t *x_rows;    /* [n] or NULL: row i */
    const uint32_t *x_columns; /* [k] or NULL: column k; packing X gathers them. Not with int8 */
    const float *w;            /* packed words, 64-byte aligned */
    const float *w_scale;      /* [m] of int8 */
    const int32_t *w_sum;      /* [m] of int8: sum of q */
    const float *bias;         /* [m] or NULL */
    fov_activation act;
    const float *residual; /* [.., m] or NULL; may be y itself */
    size_t ldr;
    float *y; /* must not overlap x */
    size_t ldy;
    const uint32_t *y_rows; /* [n] or NULL: row i */
    /* Of gemms in bf16: X holds uint16_t, ldx of them a row, already rounded, and no x_columns; Y is rounded to bf16 and holds
     * uint16_t, where the tier's tiles say stores_bf16, without residual. The product of such a Y has the bits of one of f32. */
    bool x_bf16, y_bf16;
} fov_gemm;

/* The sampled value projection of one text and head (MCA eq. 5, shared draws), e = head size:
 * y[rows[i], c] = bias[c] + scale[i] * sum_{k < count[i]} x[rows[i], index[k]] * w[index[k], c],   i < n, c < e.
 * count is non-increasing in i: rows are sorted so that neighbours share their prefix. scale[i] = 1 / count[i]; w already holds
 * W[s] / p(s). */
typedef struct fov_sampled {
    size_t n, e;
    const float *x;
    size_t ldx;
    const uint32_t *rows;  /* [n] */
    const uint32_t *count; /* [n] */
    const uint32_t *index; /* [count[0]] feature numbers */
    const float *w;        /* [d][e], row-major */
    const float *bias;     /* [e] or NULL */
    const float *scale;    /* [n] */
    float *y;
    size_t ldy;
} fov_sampled;

/* Scores of rows and keys in 8 bits: y[i, j] = scale[j] * sum_c x[i, c] (w[j, c] - 128) + shift[j],   i < n, j < m. The sum is
 * exact, so all tiers give the same bits. */
typedef struct fov_score_i8 {
    size_t n, m, k;             /* k a multiple of 4 (fill x with 0), at most FOV_I8_MOST */
    const int8_t *x;            /* [n, k], -127 .. 127 */
    const uint8_t *w;           /* 64-byte aligned, packed: panel p holds keys 32 p .. 32 p + 31 as [k / 4][32][4] */
    const float *scale, *shift; /* [32 ceil(m / 32)] */
    float *y;
    size_t ldy;
} fov_score_i8;

enum { FOV_I8_MOST = 512 };

/* Exact attention of a head over few keys, Y = softmax(scale Q K^T) V in f32, nothing packed but Q: the bits that the gemms and
 * softmax below give, importance too. */
typedef struct fov_short_head {
    size_t queries, keys;        /* keys <= FOV_SHORT_KEYS */
    size_t key_size, value_size; /* key_size <= FOV_GEMM_KC */
    const float *q, *k, *v;
    size_t ldq, ldk, ldv;
    float *y; /* [queries, value_size]; may be q */
    size_t ldy;
    float scale;
    float *col_max, *col_energy; /* [keys] or NULL, as of softmax */
    float *scratch;              /* (key_size + keys) * FOV_PANEL floats, 64-byte aligned */
} fov_short_head;

enum { FOV_SHORT_KEYS = 128 };

enum { FOV_GRAM_ROWS = 8, FOV_GRAM_PANEL = 16 };

typedef struct fov_kernels {
    const char *name;
    const struct fov_tiles *tiles[FOV_TYPES]; /* of the gemms, tile.h */

    /* Pack rows of w [m, k] (leading dimension ldw) into panels [ceil(m / 32)][k][32]: packed(j, k) = w[j, k]. */
    void (*pack_t)(const float *w, size_t ldw, size_t m, size_t k, float *packed);
    /* Pack w [k, m] into panels [ceil(m / 32)][k][32]: packed(j, k) = w[k, j]. */
    void (*pack_n)(const float *w, size_t ldw, size_t k, size_t m, float *packed);
    /* The same in bf16, panels [ceil(m / 32)][ceil(k / 2)][32]: the lower half of word (i, j) is w[2 i, j], the upper w[2 i + 1, j]
     * or 0 where there is no such row; rounded as to_bf16 does. */
    void (*pack_n_bf16)(const float *w, size_t ldw, size_t k, size_t m, float *packed);

    void (*sampled)(const fov_sampled *s);

    /* y[c] = sum_{i < n} a[i] * v[index[i] * ldv + c], c < cols: the sparse product of the top-k methods. */
    void (*gather)(const float *a, const uint32_t *index, size_t n, const float *v, size_t ldv, size_t cols, float *y);
    /* y[i] = sum_{c < cols} x[c] * w[index[i] * ldw + c], i < n: scores of chosen keys. */
    void (*dots)(const float *x, const uint32_t *index, size_t n, const float *w, size_t ldw, size_t cols, float *y);
    void (*score_i8)(const fov_score_i8 *s);
    /* Append to value and index every s[j] and first + j, j < n ascending, that is not <= bound (so a NaN is appended). Returns how
     * many; value and index have room for n + 16 and hold anything behind the last. */
    size_t (*above)(const float *s, size_t n, float bound, uint32_t first, float *value, uint32_t *index);

    /* sum[i][j] = sum_{t < n} a[16 t + i] b[16 t + j], i < FOV_GRAM_ROWS, j < 16 = FOV_GRAM_PANEL; sum is [8][16]. In no particular
     * order: for integers whose partial sums stay within 2^53, so that every order gives the same bits. */
    void (*gram)(const double *a, const double *b, size_t n, double *sum);

    /* Keep the k largest of value[n] with their index, in the order they stand in, and return how many that are. Of equal values
     * the earlier stay; -0 equals 0; a NaN is larger than every number. spare: 2 n words. When n >= k > 0, *least is the k-th
     * largest. */
    size_t (*keep_largest)(float *value, uint32_t *index, size_t n, size_t k, uint32_t *spare, float *least);

    /* In place, row i < n of s [n, cols] (leading dimension ld): s = softmax(scale * s). Columns of -INFINITY get exactly 0; a
     * row of nothing but -INFINITY gives zeros. Then, for each not NULL: col_max[j] = max(col_max[j], s[i, j]);
     * col_energy[j] += s[i, j]^2, in ascending i. */
    void (*softmax)(float *s, size_t ld, size_t n, size_t cols, float scale, float *col_max, float *col_energy);

    /* One tile of columns of a softmax over rows too long to hold (Milakov and Gimelshein, "Online normalizer calculation for
     * softmax", 2018). In place, row i < n: t = max(top[i], max_j scale s[i, j]); s[i, j] = exp(scale s[i, j] - t);
     * factor[i] = exp(top[i] - t); sum[i] = sum[i] factor[i] + sum_j s[i, j]; top[i] = t. Before the first tile top = -FLT_MAX,
     * sum = 0. -INFINITY counts as above. */
    void (*softmax_tile)(float *s, size_t ld, size_t n, size_t cols, float scale, float *top, float *sum, float *factor);

    /* NULL where a tier has none: then the gemms and softmax do it. */
    void (*short_head)(const fov_short_head *h);

    /* y[i] = (x[i] - mean) / sqrt(var + eps) * gamma + beta, biased variance, two passes; y may be x. */
    void (*layernorm)(const float *x, size_t ldx, size_t n, size_t c, const float *gamma, const float *beta, float eps, float *y,
                      size_t ldy);

    /* In place: the activations on their own; gelu = x / 2 (1 + erf(x / sqrt 2)), exact form. */
    void (*gelu)(float *x, size_t count);
    void (*exp)(float *x, size_t count);

    void (*from_f16)(const uint16_t *x, float *y, size_t count);
    void (*from_bf16)(const uint16_t *x, float *y, size_t count);
    void (*to_bf16)(const float *x, uint16_t *y, size_t count); /* to nearest, ties to even; NaN stays NaN */

    /* Register-only loop of the type's multiply-add: `iterations` rounds of `*flops_per_iteration` operations (mul and add count
     * 2). Returns a value that depends on all of them. */
    float (*fma_loop[FOV_TYPES])(uint64_t iterations, uint64_t *flops_per_iteration);
} fov_kernels;

/* Rows [row_begin, row_end) and panels [panel_begin, panel_end) of a gemm, on this thread. scratch: fov_gemm_scratch() floats,
 * 64-byte aligned. block.c */
void fov_gemm_block(const fov_kernels *kernels, const fov_gemm *g, size_t row_begin, size_t row_end, size_t panel_begin,
                    size_t panel_end, float *scratch);
/* Floats of scratch a gemm needs, for any gemm and tier. */
size_t fov_gemm_scratch(void);

static inline size_t fov_panels(size_t m) {
    return (m + FOV_PANEL - 1) / FOV_PANEL;
}
/* Words of k values of a type. */
static inline size_t fov_words(fov_type type, size_t k) {
    return (k + ((size_t)1 << type) - 1) >> type;
}
/* Floats of a packed [m, k] matrix. */
static inline size_t fov_packed_size(size_t m, size_t k) {
    return fov_panels(m) * FOV_PANEL * k;
}

/* Whether a tier has instructions for bf16: else its gemms in bf16 are no faster than in f32. */
static inline bool fov_bf16_pays(const fov_kernels *kernels) {
    return kernels->fma_loop[FOV_TYPE_BF16] != kernels->fma_loop[FOV_TYPE_F32];
}

/* Pack rows of w [m, k] (leading dimension ldw) as panels of a type; scale and sum [m] are written for int8. words: scratch of
 * FOV_PANEL * fov_words(type, k) floats. gemm_pack.c */
void fov_pack_type(const fov_kernels *kernels, fov_type type, const float *w, size_t ldw, size_t m, size_t k, float *packed,
                   float *scale, int32_t *sum, float *words);
/* W[j, i] of a packed [m, k] matrix, as f32. */
float fov_packed_at(fov_type type, const float *packed, const float *scale, size_t k, size_t j, size_t i);

/* ladder.c: tiers, best first known to this build and processor. */
/* The tier in use: the best this processor has, lowered by FOV_CPU. NULL and an error when FOV_CPU names an unknown or absent
 * tier. Read once; thread-safe. */
const fov_kernels *fov_kernels_get(fov_error *error);
/* A tier by name, or NULL when unknown or absent here (tests run them all). */
const fov_kernels *fov_kernels_named(const char *name);
/* Names of all tiers of this build, lowest first, NULL-terminated. */
const char *const *fov_kernels_names(void);

#endif
