/* test_threads.c: every task runs exactly once, whatever the number of threads; the default count respects the affinity mask. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/threads.h"

enum { MOST = 1000 };

typedef struct job {
    unsigned threads;
    atomic_uint runs[MOST];
    atomic_bool bad_thread;
} job;

static void count_run(void *context, size_t index, unsigned thread) {
    job *j = context;
    atomic_fetch_add(&j->runs[index], 1);
    if (thread >= j->threads) atomic_store(&j->bad_thread, true);
}

static void test_once(void **state) {
    (void)state;
    static job j;
    static const size_t counts[] = {0, 1, 2, 7, MOST};
    for (unsigned threads = 1; threads <= 9; threads++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            j.threads = threads;
            for (size_t i = 0; i < MOST; i++) atomic_store(&j.runs[i], 0);
            fov_parallel(threads, counts[c], count_run, &j);
            for (size_t i = 0; i < MOST; i++) assert_int_equal(atomic_load(&j.runs[i]), i < counts[c]);
            assert_false(atomic_load(&j.bad_thread));
        }
}

static void test_default(void **state) {
    (void)state;
    const unsigned threads = fov_threads_default();
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(threads >= 1 && threads <= FOV_MAX_THREADS && threads <= (unsigned)CPU_COUNT(&before));
    size_t first = 0;
    while (!CPU_ISSET(first, &before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    if (sched_setaffinity(0, sizeof one, &one)) skip();
    assert_int_equal(fov_threads_default(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(fov_threads_default(), threads);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_once), cmocka_unit_test(test_default)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
