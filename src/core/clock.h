/* clock.h: seconds of a clock that never goes back, for durations. */
#ifndef FOV_CORE_CLOCK_H
#define FOV_CORE_CLOCK_H

#include <time.h>

static inline double fov_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
