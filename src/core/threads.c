/* threads.c: how many threads this process may use: affinity and cgroup quotas. */
#define _GNU_SOURCE
#include "core/threads.h"

#include <sched.h>

#include "core/cgroup.h"

unsigned fov_threads_default(void) {
    unsigned threads = 1;
    cpu_set_t set[8]; /* one has room for 1024 processors, and is refused where the machine may have more */
    if (!sched_getaffinity(0, sizeof set, set)) threads = (unsigned)CPU_COUNT_S(sizeof set, set);
    const unsigned quota = fov_cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota && quota < threads) threads = quota;
    if (threads < 1) threads = 1;
    return threads > FOV_MAX_THREADS ? FOV_MAX_THREADS : threads;
}
