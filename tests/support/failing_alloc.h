/* failing_alloc.h: an allocator for tests: counts its calls, fails at one of them, guards its blocks and knows which are alive.
 *
 *     for (size_t n = 1;; n++) {
 *         failing_alloc memory;
 *         failing_alloc_init(&memory, n);
 *         fov_status status = thing_create(..., &memory.allocator, ...);
 *         if (!status) thing_free(thing);
 *         failing_alloc_check(&memory);               everything was released, nothing was overrun
 *         if (!memory.failed) break;                  fewer than n allocations: all were tried
 *         assert_int_equal(status, FOV_ERR_MEMORY);
 *     }
 */
#ifndef FOV_TESTS_SUPPORT_FAILING_ALLOC_H
#define FOV_TESTS_SUPPORT_FAILING_ALLOC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "foveate/foveate.h"

typedef struct failing_alloc {
    fov_allocator allocator; /* hand this out; the struct must stay where it is */
    size_t fail_at;          /* this call, counted from 1, gets NULL; 0: none */
    atomic_size_t calls, live, live_bytes, peak_bytes, damaged;
    atomic_bool failed;
} failing_alloc;

enum { FAILING_GUARD = 64, FAILING_BYTE = 0xC5 };

/* raw .. [room for this struct, filled with the guard byte] block .. [guard] */
typedef struct failing_block {
    size_t bytes, front;
    uint64_t magic;
} failing_block;

static const uint64_t failing_magic = 0x666f7665616c6c6fu;

static inline void *failing_alloc_take(void *context, size_t bytes, size_t align) {
    failing_alloc *memory = context;
    size_t call = atomic_fetch_add(&memory->calls, 1) + 1;
    if (call == memory->fail_at) {
        memory->failed = true;
        return NULL;
    }
    size_t front = align > FAILING_GUARD ? align : FAILING_GUARD;
    if (bytes > SIZE_MAX - 2 * front - FAILING_GUARD) return NULL;
    size_t total = (front + bytes + FAILING_GUARD + align - 1) / align * align;
    unsigned char *raw = aligned_alloc(align, total);
    if (!raw) return NULL;
    memset(raw, FAILING_BYTE, total); /* also the block: what is read before it is written is garbage */
    const failing_block head = {bytes, front, failing_magic};
    memcpy(raw + front - sizeof head, &head, sizeof head);
    atomic_fetch_add(&memory->live, 1);
    size_t now = atomic_fetch_add(&memory->live_bytes, bytes) + bytes;
    size_t peak = memory->peak_bytes;
    while (now > peak && !atomic_compare_exchange_weak(&memory->peak_bytes, &peak, now)) continue;
    return raw + front;
}

static inline void failing_alloc_drop(void *context, void *block) {
    failing_alloc *memory = context;
    if (!block) return;
    failing_block head;
    memcpy(&head, (unsigned char *)block - sizeof head, sizeof head);
    if (head.magic != failing_magic) { /* overrun in front, or not our block: do not touch it */
        atomic_fetch_add(&memory->damaged, 1);
        return;
    }
    unsigned char *raw = (unsigned char *)block - head.front;
    bool intact = true;
    for (size_t i = 0; i < head.front - sizeof head; i++) intact = intact && raw[i] == FAILING_BYTE;
    for (size_t i = 0; i < FAILING_GUARD; i++) intact = intact && raw[head.front + head.bytes + i] == FAILING_BYTE;
    if (!intact) atomic_fetch_add(&memory->damaged, 1);
    atomic_fetch_sub(&memory->live, 1);
    atomic_fetch_sub(&memory->live_bytes, head.bytes);
    memset(raw, 0xDD, head.front + head.bytes); /* what is read after release is garbage */
    free(raw);
}

static inline void failing_alloc_init(failing_alloc *memory, size_t fail_at) {
    memset(memory, 0, sizeof *memory);
    memory->fail_at = fail_at;
    memory->allocator = (fov_allocator){failing_alloc_take, failing_alloc_drop, memory};
}

/* Nothing is alive and no guard was overwritten. */
static inline void failing_alloc_check(failing_alloc *memory) {
    assert_int_equal(memory->live, 0);
    assert_int_equal(memory->damaged, 0);
}

#endif
