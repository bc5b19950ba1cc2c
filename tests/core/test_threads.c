/* test_threads.c: every task runs exactly once, whatever the number of threads; the default count respects the affinity mask. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

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
    static const unsigned numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, FOV_MAX_THREADS, 2, FOV_MAX_THREADS + 1};
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            const unsigned threads = numbers[n];
            j.threads = threads < FOV_MAX_THREADS ? threads : FOV_MAX_THREADS;
            for (size_t i = 0; i < MOST; i++) atomic_store(&j.runs[i], 0);
            fov_parallel(threads, counts[c], count_run, &j);
            for (size_t i = 0; i < MOST; i++) assert_int_equal(atomic_load(&j.runs[i]), i < counts[c]);
            assert_false(atomic_load(&j.bad_thread));
        }
}

/* Many callers share the pool, from threads of their own and from inside tasks: every task of each still runs once, and a thread
 * number is used by one task at a time. */
typedef struct crowd {
    atomic_uint runs[64], inside[8];
    atomic_bool shared_number;
    bool nested;
} crowd;

static void crowd_task(void *context, size_t index, unsigned thread) {
    crowd *c = context;
    if (atomic_fetch_add(&c->inside[thread], 1)) atomic_store(&c->shared_number, true);
    atomic_fetch_add(&c->runs[index], 1);
    if (c->nested) {
        static crowd inner[64];
        crowd *in = &inner[index];
        for (size_t i = 0; i < 8; i++) atomic_store(&in->runs[i], 0);
        fov_parallel(3, 8, crowd_task, in);
        for (size_t i = 0; i < 8; i++)
            if (atomic_load(&in->runs[i]) != 1) atomic_store(&c->shared_number, true);
    }
    atomic_fetch_sub(&c->inside[thread], 1);
}

static void *caller(void *context) {
    crowd *c = context;
    for (int round = 1; round <= 200; round++) {
        fov_parallel(4, 64, crowd_task, c);
        for (size_t i = 0; i < 64; i++)
            if (atomic_load(&c->runs[i]) != (unsigned)round) atomic_store(&c->shared_number, true);
    }
    return NULL;
}

static void test_callers(void **state) {
    (void)state;
    enum { CALLERS = 5 };
    static crowd crowds[CALLERS];
    pthread_t threads[CALLERS];
    for (size_t i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, caller, &crowds[i]), 0);
    for (size_t i = 0; i < CALLERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < CALLERS; i++) assert_false(atomic_load(&crowds[i].shared_number));
}

static void test_nested(void **state) {
    (void)state;
    static crowd c = {.nested = true};
    fov_parallel(4, 64, crowd_task, &c);
    for (size_t i = 0; i < 64; i++) assert_int_equal(atomic_load(&c.runs[i]), 1);
    assert_false(atomic_load(&c.shared_number));
}

/* A forked child has none of its parent's workers, and must not wait for them: neither at once nor after its own have slept. */
static void test_fork(void **state) {
    (void)state;
    enum { ROUNDS = 50, NAP_US = 1000, LIMIT_S = 60 };
    static crowd c;
    fov_parallel(4, 64, crowd_task, &c);
    usleep(NAP_US); /* the workers fall asleep */
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        alarm(LIMIT_S);
        for (int round = 0; round < ROUNDS; round++) {
            fov_parallel(4, 64, crowd_task, &c);
            usleep(NAP_US);
        }
        _exit(atomic_load(&c.runs[63]) == 1 + ROUNDS ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_once), cmocka_unit_test(test_callers), cmocka_unit_test(test_nested),
                                       cmocka_unit_test(test_fork), cmocka_unit_test(test_default)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
