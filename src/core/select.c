/* select.c: quickselect on integer images of floats. Partitions and the final pass have no branch that depends on the data. */
#include "core/select.h"

#include <string.h>

enum { GUESSES = 24 }; /* pivots by median of three before halving the range, which ends after 32 rounds on any data */

/* Unsigned image with the order of the floats. */
static uint32_t image_of(float x) {
    uint32_t bits;
    x += 0.0f; /* -0 to 0 */
    memcpy(&bits, &x, sizeof bits);
    const uint32_t image = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return x != x ? UINT32_MAX : image;
}

static uint32_t median(uint32_t a, uint32_t b, uint32_t c) {
    const uint32_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

static uint32_t middle(const uint32_t *a, size_t n) {
    uint32_t low = a[0], high = a[0];
    for (size_t i = 1; i < n; i++) {
        low = a[i] < low ? a[i] : low;
        high = a[i] > high ? a[i] : high;
    }
    return low + (high - low) / 2;
}

/* 1 <= k <= n. Both arrays are used up. */
static uint32_t kth_largest(uint32_t *a, uint32_t *spare, size_t n, size_t k) {
    for (size_t round = 0;; round++) {
        const uint32_t pivot = round < GUESSES ? median(a[0], a[n / 2], a[n - 1]) : middle(a, n);
        size_t more = 0, less = 0;
        for (size_t i = 0; i < n; i++) {
            const uint32_t x = a[i];
            a[more] = x;
            spare[less] = x;
            more += x > pivot;
            less += x < pivot;
        }
        if (k <= more) {
            n = more;
        } else if (k <= n - less) {
            return pivot;
        } else {
            k -= n - less;
            n = less;
            uint32_t *other = a;
            a = spare;
            spare = other;
        }
    }
}

size_t fov_keep_largest(float *value, uint32_t *index, size_t n, size_t k, uint32_t *spare, float *least) {
    if (n < k || !k) return n < k ? n : 0;
    for (size_t i = 0; i < n; i++) spare[i] = image_of(value[i]);
    const uint32_t kth = kth_largest(spare, spare + n, n, k);
    size_t above = 0;
    for (size_t i = 0; i < n; i++) above += image_of(value[i]) > kth;
    size_t kept = 0, ties = k - above;
    for (size_t i = 0; i < n; i++) {
        const float x = value[i];
        const uint32_t image = image_of(x);
        const size_t tie = image == kth && ties > 0;
        value[kept] = x;
        index[kept] = index[i];
        if (image == kth) *least = x;
        kept += (image > kth) | tie;
        ties -= tie;
    }
    return kept;
}
