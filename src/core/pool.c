/* pool.c: one pool of workers per process behind fov_parallel.
 *
 * A call posts its job, works on it itself and waits for the workers that joined. Workers are made as they are first asked for and
 * stay asleep while idle: sessions in many threads share them, so a process has at most (callers + largest `threads` - 1) threads
 * at work. Why not OpenMP: its idle threads spin for milliseconds after every region, which on a machine with other work cost five
 * times the start-up time (.25 s against .05 s for a first label with one busy neighbour), each calling thread gets a team of its
 * own, and thread sanitizers cannot see through it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/threads.h"

/* How long a thread looks before it sleeps: longer than most waits within a layer, since to be woken takes some 10 us, and too
 * short to be a load. A text of 23 tokens 1.03 times as fast as with 7 us (BERT-base, bf16). */
static const double SPIN_SECONDS = 40e-6;
enum { LOOKS = 32 /* between two readings of the clock */, TRIES = 600 };

/* Tasks that a thread has first claim to, in a cache line of its own. */
typedef struct share {
    _Alignas(64) atomic_size_t next; /* first that nobody took */
    size_t end;
} share;

typedef struct job {
    void (*task)(void *context, size_t index, unsigned thread);
    void *context;
    unsigned threads;
    unsigned joined;             /* threads that are in; under the lock */
    bool taken[FOV_MAX_THREADS]; /* thread numbers given out; under the lock */
    atomic_uint working;         /* workers inside */
    atomic_uint open;            /* shares of which something is left */
    struct job *after;           /* in the list; under the lock */
    share shares[FOV_MAX_THREADS];
} job;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t posted, done;
    job *jobs;              /* open for joining, newest first */
    unsigned workers, idle; /* there are; asleep */
    atomic_uint posts;      /* changes with every post: what a spinning worker watches */
    atomic_uint waiting;    /* callers asleep until their workers are done */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .posted = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Whether *value is other than `seen` before SPIN_SECONDS are over. */
static bool changes(atomic_uint *value, unsigned seen) {
    const double end = fov_seconds() + SPIN_SECONDS;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load(value) != seen) return true;
            relax();
        }
    } while (fov_seconds() < end);
    return false;
}

/* The lock is held for tens of nanoseconds; sleeping on it would cost microseconds, just when all threads end together. */
static void take(void) {
    for (int i = 0; i < TRIES; i++) {
        if (!pthread_mutex_trylock(&pool.lock)) return;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
}

static bool has_work(share *s) {
    return atomic_load_explicit(&s->next, memory_order_relaxed) < s->end;
}

/* A thread's own tasks, which from call to call are on the same rows, then what is left of the others'. */
static void work(job *j, unsigned thread) {
    for (unsigned i = 0; i < j->threads; i++) {
        share *s = &j->shares[(thread + i) % j->threads];
        while (has_work(s)) {
            const size_t index = atomic_fetch_add(&s->next, 1);
            if (index + 1 == s->end) atomic_fetch_sub(&j->open, 1);
            if (index < s->end) j->task(j->context, index, thread);
        }
    }
}

/* A job with room and work left, joined, if it may be as the thread that this worker was before; under the lock. */
static job *join(unsigned number, unsigned *thread) {
    for (job *j = pool.jobs; j; j = j->after) {
        if (j->joined >= j->threads || !atomic_load(&j->open)) continue;
        unsigned as = number < j->threads && !j->taken[number] ? number : 1;
        while (j->taken[as]) as++;
        j->taken[as] = true;
        j->joined++;
        atomic_fetch_add(&j->working, 1);
        *thread = as;
        return j;
    }
    return NULL;
}

static void leave(job *j) {
    if (atomic_fetch_sub(&j->working, 1) != 1) return; /* from here on the job may be gone */
    if (!atomic_load(&pool.waiting)) return;
    take();
    pthread_cond_broadcast(&pool.done);
    pthread_mutex_unlock(&pool.lock);
}

/* number: from 1 on; 0 is the caller. */
static void *worker(void *number) {
    for (;;) {
        unsigned thread = 0;
        take();
        unsigned seen = atomic_load(&pool.posts);
        job *j = join((unsigned)(uintptr_t)number, &thread);
        pthread_mutex_unlock(&pool.lock);
        if (j) {
            work(j, thread);
            leave(j);
            continue;
        }
        if (changes(&pool.posts, seen)) continue;
        take();
        pool.idle++;
        while (atomic_load(&pool.posts) == seen) pthread_cond_wait(&pool.posted, &pool.lock);
        pool.idle--;
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

/* ---- fork: the child has none of its parent's workers. Their sleep is still noted in the condition variables, whose next signals
 * would go to them and whose glibc form in time waits for them for ever: the child starts with new ones. ---- */

static void before_fork(void) {
    take();
}
static void in_parent(void) {
    pthread_mutex_unlock(&pool.lock);
}
static void in_child(void) {
    pool.posted = pool.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.jobs = NULL;
    pool.workers = pool.idle = 0;
    atomic_store(&pool.waiting, 0);
    pthread_mutex_unlock(&pool.lock);
}
static void prepare(void) {
    pthread_atfork(before_fork, in_parent, in_child);
}

/* Up to `wanted` workers; fewer when the system gives no more threads. Under the lock. */
static void hire(unsigned wanted) {
    if (pool.workers >= wanted) return;
    sigset_t all, before; /* signals belong to the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; pool.workers < wanted; pool.workers++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(uintptr_t)(pool.workers + 1))) break;
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void post(job *j) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
    take();
    hire(j->threads - 1);
    j->after = pool.jobs;
    pool.jobs = j;
    atomic_fetch_add(&pool.posts, 1);
    unsigned wake = pool.idle < j->threads - 1 ? pool.idle : j->threads - 1;
    for (unsigned i = 0; i < wake; i++) pthread_cond_signal(&pool.posted);
    pthread_mutex_unlock(&pool.lock);
}

/* Nobody joins any more; wait for those who did. */
static void finish(job *j) {
    take();
    job **link = &pool.jobs;
    while (*link != j) link = &(*link)->after;
    *link = j->after;
    pthread_mutex_unlock(&pool.lock);
    unsigned working;
    while ((working = atomic_load(&j->working)) && changes(&j->working, working)) continue;
    if (!working) return;
    take();
    atomic_fetch_add(&pool.waiting, 1);
    while (atomic_load(&j->working)) pthread_cond_wait(&pool.done, &pool.lock);
    atomic_fetch_sub(&pool.waiting, 1);
    pthread_mutex_unlock(&pool.lock);
}

void fov_parallel(unsigned threads, size_t count, void (*task)(void *context, size_t index, unsigned thread), void *context) {
    if (threads > FOV_MAX_THREADS) threads = FOV_MAX_THREADS;
    if (threads > count) threads = (unsigned)count;
    if (threads <= 1) {
        for (size_t i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    job j;
    j.task = task;
    j.context = context;
    j.threads = threads;
    j.joined = 1;
    for (unsigned i = 0; i < threads; i++) {
        j.taken[i] = i == 0;
        atomic_init(&j.shares[i].next, i * count / threads);
        j.shares[i].end = (i + 1) * count / threads;
    }
    atomic_init(&j.working, 0);
    atomic_init(&j.open, threads);
    post(&j);
    work(&j, 0);
    finish(&j);
}
