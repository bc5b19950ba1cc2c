/* test_cgroup.c: processor quotas read from trees of files such as the kernel shows. */
#include "support/folder.h"

#include "core/cgroup.h"

enum { FILES = 5 };

/* What /proc/self/cgroup would say, and files below /sys/fs/cgroup. */
typedef struct tree {
    const char *membership;
    struct {
        const char *name, *text;
    } files[FILES];
    unsigned quota;
} tree;

static const tree trees[] = {
    {"0::/\n", {{NULL, NULL}}, 0}, /* nothing is mounted */
    {"0::/\n", {{"cpu.max", "max 100000\n"}}, 0},
    {"0::/\n", {{"cpu.max", "200000 100000\n"}}, 2},                                          /* a container's own root */
    {"0::/\n", {{"cpu.max", "150000 100000\n"}}, 2},                                          /* rounded up */
    {"0::/\n", {{"cpu.max", "1000 100000\n"}}, 1},                                            /* never none */
    {"0::/a/b\n", {{"a/b/cpu.max", "max 100000\n"}, {"a/cpu.max", "300000 100000\n"}}, 3},    /* by an ancestor */
    {"0::/a/b\n", {{"a/b/cpu.max", "200000 50000\n"}, {"a/cpu.max", "3200000 100000\n"}}, 4}, /* by the group itself */
    {"0::/a b/c:d\n", {{"a b/c:d/cpu.max", "500000 100000\n"}}, 5},                           /* blanks and colons in names */
    {"0::/docker/outside\n", {{"cpu.max", "400000 100000\n"}}, 4},                            /* a name of the host */
    {"0::/a\n", {{"other/cpu.max", "100000 100000\n"}}, 0},                                   /* another's */
    {"0::/a\n", {{"a/cpu.max", "9223372036854775807 1\n"}}, 0x7fffffff},                      /* the most */
    {"0::/a\n", {{"a/cpu.max", "some words\n"}, {"cpu.max", ""}}, 0},
    {"0::/a\n", {{"a/cpu.max", "100000 0\n"}}, 0},
    {"2:cpu,cpuacct:/a\n", {{"cpu/a/cpu.cfs_quota_us", "-1\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}}, 0},
    {"7:memory:/m\n2:cpuacct,cpu:/a\n0::/\n", {{"cpu/a/cpu.cfs_quota_us", "250000\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}}, 3},
    {"2:cpu:/a/b\n",
     {{"cpu/a/cpu.cfs_quota_us", "100000\n"}, {"cpu/a/cpu.cfs_period_us", "50000\n"}, {"cpu/a/b/cpu.cfs_quota_us", "-1\n"}},
     2},
    {"3:cpuset:/a\n",
     {{"cpu/a/cpu.cfs_quota_us", "100000\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}},
     0}, /* not this controller */
    {"2:cpu:/docker/outside\n", {{"cpu/cpu.cfs_quota_us", "200000\n"}, {"cpu/cpu.cfs_period_us", "100000\n"}}, 2},
    {"2:cpu:/a\n0::/b\n",
     {{"cpu/a/cpu.cfs_quota_us", "400000\n"}, {"cpu/a/cpu.cfs_period_us", "100000\n"}, {"b/cpu.max", "300000 100000\n"}},
     3}, /* both */
    {"", {{"cpu.max", "100000 100000\n"}}, 1},
    {"no colons\n0:\n:::::\n", {{"cpu.max", "300000 100000\n"}}, 3},
};

static void write_deep(const folder *f, const char *name, const char *text) {
    char part[200];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - name), name);
        mkdir(folder_path(f, part), 0700);
    }
    folder_write_text(f, name, text);
}

static void test_trees(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        folder f;
        char membership[1024];
        folder_make(&f);
        folder_write_text(&f, "membership", trees[i].membership);
        for (size_t k = 0; k < FILES && trees[i].files[k].name; k++) write_deep(&f, trees[i].files[k].name, trees[i].files[k].text);
        snprintf(membership, sizeof membership, "%s", folder_path(&f, "membership"));
        assert_int_equal(fov_cgroup_quota(membership, f.path), trees[i].quota);
        folder_remove(&f);
    }
}

/* Without a list of groups the root counts all the same. */
static void test_no_list(void **state) {
    folder *f = *state;
    folder_write_text(f, "cpu.max", "200000 100000\n");
    assert_int_equal(fov_cgroup_quota("/nowhere/at/all", f->path), 2);
    assert_int_equal(fov_cgroup_quota("/nowhere/at/all", "/nowhere/at/all"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trees), folder_unit_test(test_no_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
