/* select.h: the k largest of a row of floats, ties to the lower place: in plain C, the keep_largest of kernels.h. */
#ifndef FOV_CORE_SELECT_H
#define FOV_CORE_SELECT_H

#include <stddef.h>
#include <stdint.h>

/* Keep the k largest of value[n] with their index, in the order they stand in, and return how many that are. Of equal values the
 * earlier stay; -0 equals 0; a NaN is larger than every number. spare: 2 n words. When n >= k > 0, *least is the k-th largest. */
size_t fov_keep_largest(float *value, uint32_t *index, size_t n, size_t k, uint32_t *spare, float *least);

/* What quickselect parts a[n], n > 0, by: the median of three for some rounds, then the middle of the range, which ends after 32
 * rounds on any data. */
static inline uint32_t fov_select_pivot(const uint32_t *a, size_t n, size_t round) {
    enum { GUESSES = 24 };
    uint32_t low = a[0], high = a[n - 1];
    if (round < GUESSES) {
        const uint32_t center = a[n / 2], least = low < high ? low : high, most = low < high ? high : low;
        return center < least ? least : center > most ? most : center;
    }
    for (size_t i = 0; i < n; i++) {
        low = a[i] < low ? a[i] : low;
        high = a[i] > high ? a[i] : high;
    }
    return low + (high - low) / 2;
}

#endif
