/* finish_avx512.h: the epilogue of the avx512 tiers' tiles. As in tile_avx512.h, `kind` is constant where it is inlined, and
 * vpdpbusd is there only in files compiled for it. */
#ifndef FOV_KERNELS_AVX512_FINISH_H
#define FOV_KERNELS_AVX512_FINISH_H

#include <math.h>

#include "kernels/avx512/tile_avx512.h"

typedef enum fov_finish_kind { FOV_FINISH_F32, FOV_FINISH_BF16, FOV_FINISH_INT8, FOV_FINISH_INT8_VNNI } fov_finish_kind;

static inline __m512 fov_activate16(const fov_finish_kind kind, fov_activation act, __m512 v) {
    if (act == FOV_ACT_GELU) return kind == FOV_FINISH_F32 ? fov_gelu16(v) : fov_gelu16_coarse(v);
    if (act == FOV_ACT_RELU) return _mm512_max_ps(_mm512_setzero_ps(), v); /* keeps a NaN */
    if (act == FOV_ACT_TANH) {
        float lanes[16];
        _mm512_storeu_ps(lanes, v);
        for (size_t l = 0; l < 16; l++) lanes[l] = tanhf(lanes[l]);
        return _mm512_loadu_ps(lanes);
    }
    return v;
}

/* 256 times the sums of a row's high parts times their column of W is added to its 32 columns. Values below 0 stand first: their
 * sum is negated. */
__attribute__((always_inline)) static inline void fov_add_wide(const fov_finish_kind kind, const fov_quant *quant,
                                                               const float *panel, __m512i *q0, __m512i *q1) {
    const fov_wide *o = quant->more, *below = o + quant->below, *end = o + quant->wide;
#if defined(__AVX512VNNI__)
    if (kind == FOV_FINISH_INT8_VNNI) {
        __m512i s0 = _mm512_setzero_si512(), s1 = s0;
        for (; o < below; o++) {
            const __m512i high = _mm512_set1_epi32((int)o->spread);
            s0 = _mm512_dpbusd_epi32(s0, high, _mm512_load_si512((const void *)(panel + o->word)));
            s1 = _mm512_dpbusd_epi32(s1, high, _mm512_load_si512((const void *)(panel + o->word + 16)));
        }
        s0 = _mm512_sub_epi32(_mm512_setzero_si512(), s0);
        s1 = _mm512_sub_epi32(_mm512_setzero_si512(), s1);
        for (; o < end; o++) {
            const __m512i high = _mm512_set1_epi32((int)o->spread);
            s0 = _mm512_dpbusd_epi32(s0, high, _mm512_load_si512((const void *)(panel + o->word)));
            s1 = _mm512_dpbusd_epi32(s1, high, _mm512_load_si512((const void *)(panel + o->word + 16)));
        }
        *q0 = _mm512_add_epi32(*q0, _mm512_slli_epi32(s0, 8));
        *q1 = _mm512_add_epi32(*q1, _mm512_slli_epi32(s1, 8));
        return;
    }
#endif
    (void)kind, (void)below;
    for (; o < end; o++) {
        const __m128i shift = _mm_cvtsi32_si128((int)o->shift);
        const __m512i more = _mm512_set1_epi32(o->more & 0xffff); /* times the lower half of w; the upper is its sign */
        const __m512i w0 = _mm512_sll_epi32(_mm512_load_si512((const void *)(panel + o->word)), shift);
        const __m512i w1 = _mm512_sll_epi32(_mm512_load_si512((const void *)(panel + o->word + 16)), shift);
        *q0 = _mm512_add_epi32(*q0, _mm512_madd_epi16(_mm512_srai_epi32(w0, 24), more));
        *q1 = _mm512_add_epi32(*q1, _mm512_madd_epi16(_mm512_srai_epi32(w1, 24), more));
    }
}

/* Bias, activation and residual of the finished sums of rows [begin, end) of a tile; of int8 s_i scale[j] (sum - z_i w_sum[j])
 * before. */
__attribute__((always_inline)) static inline void fov_finish_rows(const fov_finish_kind kind, const fov_tile *t, size_t begin,
                                                                  size_t end) {
    const bool int8 = kind == FOV_FINISH_INT8 || kind == FOV_FINISH_INT8_VNNI, bf16 = kind == FOV_FINISH_BF16;
    const fov_gemm *g = t->gemm;
    const size_t j = t->panel * FOV_PANEL, columns = g->m - j;
    const __mmask16 low = fov_mask16(columns), high = fov_mask16_from(columns, 16);
    __m512 bias0 = _mm512_setzero_ps(), bias1 = bias0, scale0 = bias0, scale1 = bias0;
    __m512i w_sum0 = _mm512_setzero_si512(), w_sum1 = w_sum0;
    const float *panel = fov_tile_panel(t);
    if (g->bias) {
        bias0 = _mm512_maskz_loadu_ps(low, g->bias + j);
        bias1 = _mm512_maskz_loadu_ps(high, g->bias + j + 16);
    }
    if (int8) {
        scale0 = _mm512_maskz_loadu_ps(low, g->w_scale + j);
        scale1 = _mm512_maskz_loadu_ps(high, g->w_scale + j + 16);
        w_sum0 = _mm512_maskz_loadu_epi32(low, g->w_sum + j);
        w_sum1 = _mm512_maskz_loadu_epi32(high, g->w_sum + j + 16);
    }
    for (size_t i = begin; i < end; i++) {
        const size_t to = g->y_rows ? g->y_rows[t->row + i] : t->row + i;
        const float *sum = t->sum + i * FOV_PANEL;
        __m512 v0 = _mm512_load_ps(sum), v1 = _mm512_load_ps(sum + 16);
        if (int8) {
            const __m512i zero = _mm512_set1_epi32(t->quant[i].zero);
            const __m512 scale = _mm512_set1_ps(t->quant[i].scale);
            __m512i q0 = _mm512_sub_epi32(_mm512_castps_si512(v0), _mm512_mullo_epi32(zero, w_sum0));
            __m512i q1 = _mm512_sub_epi32(_mm512_castps_si512(v1), _mm512_mullo_epi32(zero, w_sum1));
            if (t->quant[i].wide) fov_add_wide(kind, &t->quant[i], panel, &q0, &q1);
            v0 = _mm512_mul_ps(_mm512_cvtepi32_ps(q0), _mm512_mul_ps(scale, scale0));
            v1 = _mm512_mul_ps(_mm512_cvtepi32_ps(q1), _mm512_mul_ps(scale, scale1));
        }
        v0 = fov_activate16(kind, g->act, _mm512_add_ps(v0, bias0));
        v1 = fov_activate16(kind, g->act, _mm512_add_ps(v1, bias1));
        if (g->residual) {
            const float *residual = g->residual + to * g->ldr + j;
            v0 = _mm512_add_ps(v0, _mm512_maskz_loadu_ps(low, residual));
            v1 = _mm512_add_ps(v1, _mm512_maskz_loadu_ps(high, residual + 16));
        }
        if (bf16 && g->y_bf16) {
            uint16_t *y = fov_y_at(g, to, j);
            fov_store16_bf16(y, columns, v0);
            if (high) fov_store16_bf16(y + 16, columns - 16, v1);
            continue;
        }
        float *y = fov_y_at(g, to, j);
        fov_store16(y, columns, v0);
        if (high) fov_store16(y + 16, columns - 16, v1);
    }
}

__attribute__((always_inline)) static inline void fov_finish(const fov_finish_kind kind, const fov_tile *t) {
    fov_finish_rows(kind, t, 0, t->rows);
}

#endif
