/* tiers.h: the tables of the tiers, for ladder.c alone. */
#ifndef FOV_KERNELS_TIERS_H
#define FOV_KERNELS_TIERS_H

#include "kernels/kernels.h"

extern const fov_kernels fov_tier_ref;
#if defined(__x86_64__)
extern const fov_kernels fov_tier_avx2, fov_tier_avx512, fov_tier_avx512vnni, fov_tier_avx512bf16, fov_tier_amx;
#endif

#endif
