/* threads.h: how many threads to use, and running independent tasks on them. */
#ifndef FOV_CORE_THREADS_H
#define FOV_CORE_THREADS_H

#include <stddef.h>

enum { FOV_MAX_THREADS = 256 };

/* The least of the affinity mask, the cgroup CPU quota (v2 and v1, rounded up) and FOV_MAX_THREADS; at least 1. */
unsigned fov_threads_default(void);

/* Call task(context, index, thread) once for every index in [0, count), thread in [0, threads). Each thread begins with its own run
 * of indices, in order, so that what it wrote in one call it finds in its cache in the next, and then takes what others have left:
 * a task must not depend on which thread runs it or on another task. At most FOV_MAX_THREADS work. Returns when all are done. */
void fov_parallel(unsigned threads, size_t count, void (*task)(void *context, size_t index, unsigned thread), void *context);

#endif
