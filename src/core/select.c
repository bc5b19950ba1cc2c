/* select.c: quickselect on integer images of floats. Partitions and the final pass have no branch that depends on the data. */
#include "core/select.h"

#include <string.h>

/* Unsigned image with the order of the floats. */
static uint32_t image_of(float x) {
    uint32_t bits;
    x += 0.0f; /* -0 to 0 */
    memcpy(&bits, &x, sizeof bits);
    const uint32_t image = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return x != x ? UINT32_MAX : image;
}

/* 1 <= k <= n. Both arrays are used up. */
static uint32_t kth_largest(uint32_t *a, uint32_t *spare, size_t n, size_t k) {
    for (size_t round = 0;; round++) {
        const uint32_t pivot = fov_select_pivot(a, n, round);
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
