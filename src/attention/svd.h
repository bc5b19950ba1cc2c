/* svd.h: singular values and vectors of a small matrix, for the fits of calibration. */
#ifndef FOV_ATTENTION_SVD_H
#define FOV_ATTENTION_SVD_H

#include <stddef.h>

/* a = sum_i value[i] left[i] right[i]^T for a [n][n], values descending, left and right rows of unit length; right[i] is 0 where
 * value[i] is. a is overwritten with `right`. Of a symmetric matrix without negative eigenvalues left[i] are the eigenvectors. */
void fov_svd(size_t n, double *a, double *left, double *value);

#endif
