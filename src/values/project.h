/* project.h: what estimators share: the dense projection of chosen rows, single weights, and the importance of a token. */
#ifndef FOV_VALUES_PROJECT_H
#define FOV_VALUES_PROJECT_H

#include "values/values.h"

/* gemm of head `head` for the n rows `rows` (NULL: rows 0..n-1). */
fov_gemm fov_value_gemm(const fov_value_weights *weights, const fov_values *problem, size_t head, const uint32_t *rows, size_t n);

/* The same of all heads, in as few gemms as can be: [heads] at most. Returns their number. */
size_t fov_value_gemms(const fov_value_weights *weights, const fov_values *problem, const uint32_t *rows, size_t n,
                       fov_gemm *gemms);

/* Wv[i, c] of a head: input feature i, column c. */
float fov_value_weight(const fov_value_weights *weights, size_t head, size_t i, size_t c);

/* FOV_ERR_UNSUPPORTED for a method that needs a profile where there is none. */
fov_status fov_value_need_profile(const fov_value_weights *weights, const fov_setting *setting, fov_error *error);

/* The size of a call, of tokens from the first text's first one on. */
fov_values_size fov_value_size(const fov_values_run *run, const fov_values *problem);

/* Energy of a level over that of level 0, summed over heads [heads][levels]; NaN where errors is NULL. */
double fov_value_error_share(const float *errors, size_t heads, size_t levels, size_t level);

/* bias[c] = b[c] + mu W^t[., c] of a head, in double: what the centred estimators start from. */
void fov_value_mean(const fov_value_weights *weights, size_t head, double *bias);

/* distance[i] = ||x_i - mu||^2 / tr C of every row of the problem, i from 0; summed in a fixed order. */
typedef struct fov_value_center {
    const float *mean; /* [d] */
    float inverse;     /* 1 / tr C; 0 where C = 0 */
} fov_value_center;
fov_value_center fov_value_center_of(const fov_value_profile *profile, size_t width, float *mean);
void fov_value_distances(const fov_value_center *center, const fov_values *problem, size_t width, unsigned threads,
                         float *distance);

/* choice[i] = the level l that minimises s[i] slope[l] + price[l], the higher of equals; `levels`, the dense one (slope 0, price
 * price[levels]), where none is below it and where s[i] is NaN. */
void fov_value_choose(const float *slope, const float *price, size_t levels, const float *s, size_t n, uint32_t *choice);

/* What brings the column energies of a text to as many query rows as it has tokens: n / rows counted. */
float fov_value_rows_scale(const fov_values *problem, size_t text);

#endif
