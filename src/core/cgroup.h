/* cgroup.h: the processor quota of this process's control groups. */
#ifndef FOV_CORE_CGROUP_H
#define FOV_CORE_CGROUP_H

/* The least quota on the way from this process's groups to the root, for every ancestor limits its children: of cgroup v2 (cpu.max)
 * and of v1's controller "cpu" (cpu.cfs_quota_us), in processors, rounded up; 0: unlimited or unknown. `membership` is
 * /proc/self/cgroup and `root` /sys/fs/cgroup. */
unsigned fov_cgroup_quota(const char *membership, const char *root);

#endif
