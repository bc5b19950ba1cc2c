/* cgroup.c: see cgroup.h and the kernel's admin-guide/cgroup-v2, cgroup-v1. In a container the groups' names may be those outside,
 * of which only the root is mounted: a folder that is not there limits nothing. */
#include "core/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"

static unsigned quota_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0; /* "max", and -1 of v1 */
    const long long processors = quota / period + (quota % period > 0);
    return processors > INT_MAX ? INT_MAX : (unsigned)processors;
}

/* The numbers that a file begins with: how many were read. */
static int read_numbers(const char *folder, const char *name, long long *first, long long *second) {
    char path[FOV_MAX_PATH];
    if (fov_path_join(path, folder, name, NULL)) return 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    const int count = fscanf(file, "%lld %lld", first, second);
    fclose(file);
    return count;
}

static unsigned quota_v2(const char *folder) {
    long long quota, period;
    return read_numbers(folder, "cpu.max", &quota, &period) == 2 ? quota_of(quota, period) : 0;
}

static unsigned quota_v1(const char *folder) {
    long long quota, period, none;
    if (read_numbers(folder, "cpu.cfs_quota_us", &quota, &none) < 1) return 0;
    return read_numbers(folder, "cpu.cfs_period_us", &period, &none) < 1 ? 0 : quota_of(quota, period);
}

static unsigned lesser(unsigned a, unsigned b) {
    return !a || (b && b < a) ? b : a;
}

/* Of `group` ("/a/b") below `top`, and of all above it. Cuts `group`. */
static unsigned walk(const char *top, char *group, unsigned (*quota)(const char *folder)) {
    unsigned least = 0;
    for (;;) {
        char folder[FOV_MAX_PATH];
        const int length = snprintf(folder, sizeof folder, "%s%s", top, group);
        if (length > 0 && (size_t)length < sizeof folder) least = lesser(least, quota(folder));
        char *slash = strrchr(group, '/');
        if (!slash) return least;
        *slash = '\0';
    }
}

static int lists(const char *controllers, const char *wanted) {
    const size_t size = strlen(wanted);
    for (const char *at = controllers;; at++) {
        if (!strncmp(at, wanted, size) && (at[size] == ',' || !at[size])) return 1;
        at = strchr(at, ',');
        if (!at) return 0;
    }
}

unsigned fov_cgroup_quota(const char *membership, const char *root) {
    char v1[FOV_MAX_PATH], line[FOV_MAX_PATH], none[1] = "";
    if (fov_path_join(v1, root, "cpu", NULL)) return 0;
    unsigned least = lesser(walk(root, none, quota_v2), walk(v1, none, quota_v1));
    FILE *file = fopen(membership, "r");
    if (!file) return least;
    while (fgets(line, sizeof line, file)) { /* "4:cpu,cpuacct:/a/b" of v1, "0::/a/b" of v2 */
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (!controllers[1]) least = lesser(least, walk(root, group, quota_v2));
        if (lists(controllers + 1, "cpu")) least = lesser(least, walk(v1, group, quota_v1));
    }
    fclose(file);
    return least;
}
