/* tiers.h: the instruction tiers that a test goes through: all of this build that run here, or the one that FOV_CPU names; or
 * FOV_TEST_TIER alone, where a test brings its own (NULL: it cannot run here). Under the thread sanitizer the one in use: what
 * threads share, and when, does not depend on the tier. */
#ifndef FOV_TESTS_SUPPORT_TIERS_H
#define FOV_TESTS_SUPPORT_TIERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/kernels.h"

enum { MOST_TIERS = 8 };

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ONE_TIER 1
#endif
#endif
#ifndef ONE_TIER
#define ONE_TIER 0
#endif

/* The i-th of them, or NULL past the last. */
static inline const fov_kernels *tier_number(size_t i) {
#ifdef FOV_TEST_TIER
    return i ? NULL : FOV_TEST_TIER;
#else
    const char *only = getenv("FOV_CPU");
    if (ONE_TIER || (only && *only)) {
        const fov_kernels *kernels = fov_kernels_get(NULL);
        assert_non_null(kernels);
        return i ? NULL : kernels;
    }
    for (const char *const *name = fov_kernels_names(); *name; name++) {
        const fov_kernels *kernels = fov_kernels_named(*name);
        if (kernels && i-- == 0) return kernels;
    }
    return NULL;
#endif
}

#define FOR_EACH_TIER(kernels)                                                                                                     \
    for (size_t tier_ = 0; tier_number(tier_); tier_++)                                                                            \
        for (const fov_kernels *kernels = tier_number(tier_); kernels; kernels = NULL)

#endif
