/* threads.c: how many threads this process may use: affinity and cgroup quotas. */
#define _GNU_SOURCE
#include "core/threads.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

/* Quota in CPUs, rounded up, or 0 when unlimited or unknown. */
static unsigned quota_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = (quota + period - 1) / period;
    return cpus > FOV_MAX_THREADS ? FOV_MAX_THREADS : (unsigned)cpus;
}

static unsigned quota_v2(const char *folder) {
    char path[600], text[64];
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    long long quota = 0, period = 0;
    unsigned cpus = 0;
    if (fgets(text, sizeof text, file) && sscanf(text, "%lld %lld", &quota, &period) == 2) cpus = quota_of(quota, period);
    fclose(file);
    return cpus;
}

static long long read_number(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    long long value = 0;
    if (fscanf(file, "%lld", &value) != 1) value = 0;
    fclose(file);
    return value;
}

/* The smallest quota on the way from this process's cgroup to the root: every ancestor limits its children. */
static unsigned cgroup_quota(void) {
    unsigned least = 0;
    char group[512] = "", line[560];
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (file) {
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "0::%511s", group) == 1) break;
        fclose(file);
    }
    for (;;) {
        char folder[560];
        snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", group);
        unsigned cpus = quota_v2(folder);
        if (cpus && (!least || cpus < least)) least = cpus;
        char *slash = strrchr(group, '/');
        if (!slash) break;
        *slash = '\0';
    }
    if (!least)
        least = quota_of(read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
    return least;
}

unsigned fov_threads_default(void) {
    unsigned threads = 1;
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) threads = (unsigned)CPU_COUNT(&set);
    unsigned quota = cgroup_quota();
    if (quota && quota < threads) threads = quota;
    if (threads < 1) threads = 1;
    return threads > FOV_MAX_THREADS ? FOV_MAX_THREADS : threads;
}
