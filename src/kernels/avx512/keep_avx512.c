/* keep_avx512.c: the k largest of a row: quickselect on integer images of the floats (core/select.c), 16 at a time. */
#include "core/select.h"
#include "kernels/avx512/avx512.h"

/* Unsigned images with the order of the floats; NaN above all. */
static inline __m512i images(__m512 x) {
    const __m512i bits = _mm512_castps_si512(_mm512_add_ps(x, _mm512_setzero_ps())); /* -0 to 0 */
    const __m512i flip = _mm512_or_si512(_mm512_srai_epi32(bits, 31), _mm512_set1_epi32(INT32_MIN));
    return _mm512_mask_set1_epi32(_mm512_xor_si512(bits, flip), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), -1);
}

static float value_of(uint32_t image) {
    const uint32_t bits = image & 0x80000000u ? image ^ 0x80000000u : ~image;
    float value;
    _mm_store_ss(&value, _mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
    return value;
}

/* The lanes of `mask`, side by side at `to`; returns how many. put: 16 words are written; put_last: no more than there are. */
static inline size_t put(uint32_t *to, __mmask16 mask, __m512i x) {
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask, x));
    return (size_t)__builtin_popcount(mask);
}

static inline size_t put_last(uint32_t *to, __mmask16 mask, __m512i x) {
    const size_t n = (size_t)__builtin_popcount(mask);
    _mm512_mask_storeu_epi32(to, fov_mask16(n), _mm512_maskz_compress_epi32(mask, x));
    return n;
}

/* The k-th largest of n <= 16: the least with fewer than k larger ones. *ties: how many of its equals are among the k. */
static uint32_t kth_of_16(const uint32_t *a, size_t n, size_t k, size_t *ties) {
    const __mmask16 mask = fov_mask16(n);
    const __m512i x = _mm512_maskz_loadu_epi32(mask, a), one = _mm512_set1_epi32(1);
    __m512i larger = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i++)
        larger = _mm512_mask_add_epi32(larger, _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32((int)a[i])), larger, one);
    const __mmask16 first = _mm512_mask_cmplt_epu32_mask(mask, larger, _mm512_set1_epi32((int)k));
    const uint32_t kth = _mm512_mask_reduce_min_epu32(first, x);
    *ties = k - (size_t)__builtin_popcount(_mm512_mask_cmpgt_epu32_mask(mask, x, _mm512_set1_epi32((int)kth)));
    return kth;
}

/* 1 <= k <= n. Both arrays [n] are used up. */
static uint32_t kth_largest(uint32_t *a, uint32_t *spare, size_t n, size_t k, size_t *ties) {
    for (size_t round = 0; n > 16; round++) {
        const uint32_t pivot = fov_select_pivot(a, n, round);
        const __m512i at = _mm512_set1_epi32((int)pivot);
        size_t more = 0, less = 0;
        for (size_t i = 0; i + 16 <= n; i += 16) { /* more <= i: nothing unread is overwritten */
            const __m512i x = _mm512_loadu_si512(a + i);
            more += put(a + more, _mm512_cmpgt_epu32_mask(x, at), x);
            less += put(spare + less, _mm512_cmplt_epu32_mask(x, at), x);
        }
        const __mmask16 rest = fov_mask16(n % 16);
        const __m512i x = _mm512_maskz_loadu_epi32(rest, a + n / 16 * 16);
        more += put_last(a + more, _mm512_mask_cmpgt_epu32_mask(rest, x, at), x);
        less += put_last(spare + less, _mm512_mask_cmplt_epu32_mask(rest, x, at), x);
        if (k <= more) {
            n = more;
        } else if (k <= n - less) {
            *ties = k - more;
            return pivot;
        } else {
            k -= n - less;
            n = less;
            uint32_t *other = a;
            a = spare;
            spare = other;
        }
    }
    return kth_of_16(a, n, k, ties);
}

static inline __mmask16 lowest(__mmask16 mask, size_t n) {
    unsigned bits = mask, kept = 0;
    for (; n && bits; n--, bits &= bits - 1) kept |= bits & -bits;
    return (__mmask16)kept;
}

/* The lanes above the k-th, and of its equals the first as long as *ties lasts. */
static inline __mmask16 keep_of(__m512i image, __m512i kth, __mmask16 mask, size_t *ties) {
    const __mmask16 more = _mm512_mask_cmpgt_epu32_mask(mask, image, kth);
    __mmask16 equal = _mm512_mask_cmpeq_epu32_mask(mask, image, kth);
    if (!equal) return more;
    if ((size_t)__builtin_popcount(equal) > *ties) equal = lowest(equal, *ties);
    *ties -= (size_t)__builtin_popcount(equal);
    return more | equal;
}

size_t fov_keep_largest_avx512(float *value, uint32_t *index, size_t n, size_t k, uint32_t *spare, float *least) {
    if (n < k || !k) return n < k ? n : 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_si512(spare + i, images(_mm512_loadu_ps(value + i)));
    const __mmask16 rest = fov_mask16(n - i);
    _mm512_mask_storeu_epi32(spare + i, rest, images(_mm512_maskz_loadu_ps(rest, value + i)));
    size_t ties, kept = 0;
    const uint32_t kth = kth_largest(spare, spare + n, n, k, &ties);
    const __m512i at = _mm512_set1_epi32((int)kth);
    uint32_t *words = (uint32_t *)(void *)value;
    for (i = 0; i + 16 <= n; i += 16) {
        const __m512 x = _mm512_loadu_ps(value + i);
        const __m512i number = _mm512_loadu_si512(index + i);
        const __mmask16 keep = keep_of(images(x), at, 0xffff, &ties);
        put(words + kept, keep, _mm512_castps_si512(x));
        kept += put(index + kept, keep, number);
    }
    const __m512 x = _mm512_maskz_loadu_ps(rest, value + i);
    const __m512i number = _mm512_maskz_loadu_epi32(rest, index + i);
    const __mmask16 keep = keep_of(images(x), at, rest, &ties);
    put_last(words + kept, keep, _mm512_castps_si512(x));
    kept += put_last(index + kept, keep, number);
    *least = value_of(kth);
    return kept;
}
