/* memory.c: see memory.h. */
#define _DEFAULT_SOURCE /* madvise */
#include "core/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From 32 MiB on malloc maps each block by itself, so that the advice goes with it. Smaller ones, of which short texts touch
 * little, would cost a huge page for each part. */
enum { HUGE_PAGE = 2 << 20, HUGE_LEAST = 32 << 20 };

static void *libc_alloc(void *context, size_t bytes, size_t align) {
    (void)context;
    if (bytes >= HUGE_LEAST) align = HUGE_PAGE;
    if (bytes > SIZE_MAX - align) return NULL;
    bytes = (bytes + align - 1) / align * align;
    void *block = aligned_alloc(align, bytes);
    if (block && align == HUGE_PAGE) (void)madvise(block, bytes, MADV_HUGEPAGE); /* a wish: small pages do too */
    return block;
}

static void libc_release(void *context, void *block) {
    (void)context;
    free(block);
}

const fov_allocator *fov_allocator_or_default(const fov_allocator *allocator) {
    static const fov_allocator libc = {libc_alloc, libc_release, NULL};
    return allocator ? allocator : &libc;
}

void *fov_alloc(const fov_allocator *allocator, size_t bytes) {
    allocator = fov_allocator_or_default(allocator);
    if (bytes == SIZE_MAX) return NULL;
    return allocator->alloc(allocator->context, bytes ? bytes : 1, FOV_ALIGN);
}

void *fov_alloc_zero(const fov_allocator *allocator, size_t bytes) {
    void *block = fov_alloc(allocator, bytes);
    if (block) memset(block, 0, bytes);
    return block;
}

void fov_release(const fov_allocator *allocator, void *block) {
    allocator = fov_allocator_or_default(allocator);
    if (block) allocator->release(allocator->context, block);
}

fov_status fov_alloc_both(const fov_allocator *allocator, size_t bytes, size_t scratch_bytes, void **kept, void **scratch) {
    *scratch = fov_alloc(allocator, scratch_bytes);
    *kept = fov_alloc(allocator, bytes);
    if (*kept && *scratch) return FOV_OK;
    fov_release(allocator, *scratch);
    fov_release(allocator, *kept);
    *kept = *scratch = NULL;
    return FOV_ERR_MEMORY;
}

char *fov_copy_text(const fov_allocator *allocator, const char *text, size_t size) {
    char *copy = fov_alloc(allocator, fov_add(size, 1));
    if (!copy) return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

void *fov_arena_take(fov_arena *arena, size_t count, size_t size) {
    size_t bytes = fov_mul(count, size);
    size_t padded = bytes > SIZE_MAX - FOV_ALIGN ? SIZE_MAX : (bytes + FOV_ALIGN - 1) / FOV_ALIGN * FOV_ALIGN;
    size_t start = arena->used;
    arena->used = fov_add(arena->used, padded);
    if (!arena->block) return NULL;
    if (arena->used > arena->size) {
        arena->overflow = true;
        return NULL;
    }
    return arena->block + start;
}

void *fov_buffer_reserve(fov_buffer *buffer, const fov_allocator *allocator, size_t bytes) {
    if (buffer->block && bytes <= buffer->size) return buffer->block;
    void *block = fov_alloc(allocator, bytes);
    if (!block) return NULL;
    fov_release(allocator, buffer->block);
    *buffer = (fov_buffer){block, bytes};
    return block;
}

void fov_buffer_free(fov_buffer *buffer, const fov_allocator *allocator) {
    fov_release(allocator, buffer->block);
    *buffer = (fov_buffer){0};
}
