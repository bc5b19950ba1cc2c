/* memory.h: the allocator, checked sizes, and the arena that carves one block into arrays.
 *
 * The two-phase rule: one carve function per component runs over an arena. With a NULL block it only measures; with a block of
 * that size it hands out the arrays. So the size and the layout can never disagree. */
#ifndef FOV_CORE_MEMORY_H
#define FOV_CORE_MEMORY_H

#include <stdbool.h>

#include "foveate/foveate.h"

enum { FOV_ALIGN = 64 }; /* of every array: one cache line, one zmm register */

/* `allocator`, or the C library's when NULL. */
const fov_allocator *fov_allocator_or_default(const fov_allocator *allocator);

/* bytes aligned to FOV_ALIGN; 0 bytes give a valid block. NULL when out of memory. */
void *fov_alloc(const fov_allocator *allocator, size_t bytes);
/* The same, zeroed. */
void *fov_alloc_zero(const fov_allocator *allocator, size_t bytes);
/* Two blocks or, with FOV_ERR_MEMORY, neither (both NULL): what is kept, and the scratch that makes it. */
fov_status fov_alloc_both(const fov_allocator *allocator, size_t bytes, size_t scratch_bytes, void **kept, void **scratch);
void fov_release(const fov_allocator *allocator, void *block);
/* A NUL-terminated copy of `size` bytes. */
char *fov_copy_text(const fov_allocator *allocator, const char *text, size_t size);

/* a * b and a + b; SIZE_MAX when they overflow (an allocation of SIZE_MAX bytes always fails). */
static inline size_t fov_mul(size_t a, size_t b) {
    size_t r;
    return __builtin_mul_overflow(a, b, &r) ? SIZE_MAX : r;
}
static inline size_t fov_add(size_t a, size_t b) {
    size_t r;
    return __builtin_add_overflow(a, b, &r) ? SIZE_MAX : r;
}

static inline size_t fov_least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Rows of the longest of `count` ranges [offsets[i], offsets[i + 1]). */
static inline size_t fov_longest(const size_t *offsets, size_t count) {
    size_t longest = 0;
    for (size_t i = 0; i < count; i++)
        if (offsets[i + 1] - offsets[i] > longest) longest = offsets[i + 1] - offsets[i];
    return longest;
}

typedef struct fov_arena {
    unsigned char *block; /* NULL: measuring */
    size_t used, size;    /* bytes; used saturates at SIZE_MAX */
    bool overflow;        /* an array did not fit */
} fov_arena;

/* Next array of count * size bytes, aligned to FOV_ALIGN; NULL while measuring or when the block is too small. */
void *fov_arena_take(fov_arena *arena, size_t count, size_t size);

/* A block that grows to the largest size asked for and is then reused: contents are lost on growth. */
typedef struct fov_buffer {
    void *block;
    size_t size;
} fov_buffer;
/* NULL when out of memory (the old block is kept). */
void *fov_buffer_reserve(fov_buffer *buffer, const fov_allocator *allocator, size_t bytes);
void fov_buffer_free(fov_buffer *buffer, const fov_allocator *allocator);

#endif
