/* project.h: the dense value projection of chosen rows, for the exact estimator and for tokens that others compute exactly. */
#ifndef FOV_VALUES_PROJECT_H
#define FOV_VALUES_PROJECT_H

#include "values/values.h"

/* gemm of head `head` for the n rows `rows` (NULL: rows 0..n-1). */
fov_gemm fov_value_gemm(const fov_value_weights *weights, const fov_values *problem, size_t head, const uint32_t *rows, size_t n);

/* Wv[i, c] of a head: input feature i, column c. */
float fov_value_weight(const fov_value_weights *weights, size_t head, size_t i, size_t c);

#endif
