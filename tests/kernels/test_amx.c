/* test_amx.c: the tests of test_gemm_types.c on the tier amx with tiles in plain C (soft_tiles.h), for processors that have all of
 * the tier but tiles. */
#include "soft_tiles.h"

#define fov_tier_amx soft_amx
#include "kernels/amx/amx.c"
#undef fov_tier_amx
#define FOV_TEST_TIER (fov_kernels_named("avx512bf16") ? &soft_amx : NULL)
#include "test_gemm_types.c"
