/* half.h: f32 to f16, for profiles that are to be small. The way back is kernels->from_f16. */
#ifndef FOV_MODEL_HALF_H
#define FOV_MODEL_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* To nearest, ties to even. false: a value is beyond 65504, or not finite. */
bool fov_half_from(const float *x, uint16_t *y, size_t count);
/* x to the nearest f16 values, in place; what is beyond them becomes infinite. */
void fov_half_round(const fov_kernels *kernels, float *x, size_t count);

#endif
