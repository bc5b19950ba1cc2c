/* test_ladder.c: the choice of a tier. It is made once per process, so every case runs in a child. */
#define _GNU_SOURCE
#include "kernels_test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/tile.h"

#include "core/cpu.h"

typedef int child(void);

static int run_child(const char *value, child *body) {
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (value)
            setenv("FOV_CPU", value, 1);
        else
            unsetenv("FOV_CPU");
        _exit(body());
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Number of the chosen tier in fov_kernels_names(), or 100 for the documented error, 101 for anything else. */
static int chosen(void) {
    fov_error error = {0};
    const fov_kernels *k = fov_kernels_get(&error);
    if (!k) {
        const bool said = error.status == FOV_ERR_UNSUPPORTED && strstr(error.message, "ref") && !strcmp(error.where, "FOV_CPU");
        return said && !fov_kernels_get(NULL) ? 100 : 101;
    }
    for (int i = 0; fov_kernels_names()[i]; i++)
        if (!strcmp(fov_kernels_names()[i], k->name)) return fov_kernels_get(&error) == k ? i : 101;
    return 101;
}

static void *from_thread(void *result) {
    *(const fov_kernels **)result = fov_kernels_get(NULL);
    return NULL;
}

static int raced(void) {
    enum { COUNT = 8 };
    pthread_t threads[COUNT];
    const fov_kernels *results[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        if (pthread_create(&threads[i], NULL, from_thread, &results[i])) return 1;
    for (size_t i = 0; i < COUNT; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < COUNT; i++)
        if (!results[i] || results[i] != results[0]) return 1;
    return 0;
}

static void test_choice(void **state) {
    (void)state;
    int best = -1;
    for (int i = 0; fov_kernels_names()[i]; i++) {
        const char *name = fov_kernels_names()[i];
        const bool here = fov_kernels_named(name) != NULL;
        if (here) best = i;
        assert_int_equal(run_child(name, chosen), here ? i : 100);
    }
    assert_int_equal(run_child(NULL, chosen), best);
    assert_int_equal(run_child("", chosen), best);
    assert_int_equal(run_child("sse9", chosen), 100);
    assert_int_equal(run_child("AVX2", chosen), 100);
    assert_int_equal(run_child("avx512 ", chosen), 100);
    assert_int_equal(run_child(NULL, raced), 0);
    assert_null(fov_kernels_named("sse9"));
}

static void test_tables(void **state) { /* no slot is empty, and scratch serves any tier */
    (void)state;
    assert_non_null(fov_kernels_named("ref"));
    const fov_kernels *k;
    FOR_TIERS(k) {
        assert_true(k->pack_t && k->pack_n && k->tiles[0] && k->sampled && k->softmax && k->layernorm && k->gelu && k->exp &&
                    k->from_f16 && k->from_bf16 && k->to_bf16 && k->fma_loop[0]);
        assert_int_equal(FOV_GEMM_ROWS % k->tiles[FOV_TYPE_F32]->mr, 0);
        uint64_t flops = 0;
        assert_true(isfinite(k->fma_loop[FOV_TYPE_F32](10, &flops)));
        assert_true(flops > 0);
    }
    assert_int_equal(fov_gemm_scratch() % 16, 0); /* so that every thread's share is aligned */
}

/* The kernel's own list is the independent word: it shows only what the OS has enabled. */
static void test_features(void **state) {
    (void)state;
    FILE *file = fopen("/proc/cpuinfo", "r");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (file && !found && getline(&line, &size, file) > 0) found = !strncmp(line, "flags", 5);
    if (file) fclose(file);
    if (!found) {
        free(line);
        skip();
    }
    const fov_cpu *cpu = fov_cpu_get();
    line[strcspn(line, "\n")] = ' ';
    assert_int_equal(cpu->avx2, strstr(line, " avx2 ") != NULL);
    assert_int_equal(cpu->fma, strstr(line, " fma ") != NULL);
    assert_int_equal(cpu->f16c, strstr(line, " f16c ") != NULL);
    assert_int_equal(cpu->avx512, strstr(line, " avx512f ") && strstr(line, " avx512bw ") && strstr(line, " avx512dq ") &&
                                      strstr(line, " avx512vl "));
    assert_int_equal(cpu->avx512_bf16, strstr(line, " avx512_bf16 ") != NULL);
    assert_int_equal(cpu->avx512_vnni, strstr(line, " avx512_vnni ") != NULL);
    if (cpu->amx_bf16) assert_non_null(strstr(line, " amx_bf16 "));
    free(line);
    char text[128], small[8];
    fov_cpu_features(cpu, text, sizeof text);
    assert_int_equal(strstr(text, "avx2") != NULL, cpu->avx2);
    memset(small, 'x', sizeof small);
    fov_cpu_features(cpu, small, 6); /* whole names only */
    assert_true(strlen(small) < 6 && small[6] == 'x' && (!cpu->avx2 || !strcmp(small, "avx2")));
    fov_cpu_features(cpu, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice), cmocka_unit_test(test_tables),
                                       cmocka_unit_test(test_features)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
