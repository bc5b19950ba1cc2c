/* select.h: the k largest of a row of floats, ties to the lower place: in plain C, the keep_largest of kernels.h. */
#ifndef FOV_CORE_SELECT_H
#define FOV_CORE_SELECT_H

#include <stddef.h>
#include <stdint.h>

/* Keep the k largest of value[n] with their index, in the order they stand in, and return how many that are. Of equal values the
 * earlier stay; -0 equals 0; a NaN is larger than every number. spare: 2 n words. When n >= k > 0, *least is the k-th largest. */
size_t fov_keep_largest(float *value, uint32_t *index, size_t n, size_t k, uint32_t *spare, float *least);

#endif
