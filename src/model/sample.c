/* sample.c: see sample.h. The kept keys stand in a heap whose top is the next to go. */
#include "model/sample.h"

#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

enum { HELD = 8 }; /* one text of so many is held out */
static const uint32_t NONE = UINT32_MAX;

bool fov_sample_held(uint64_t hash) {
    return fov_mix64(hash) % HELD == 0;
}

fov_status fov_sample_create(size_t layers, size_t width, size_t room, const fov_allocator *allocator, fov_sample **sample) {
    fov_sample *s = fov_alloc_zero(allocator, sizeof *s);
    if (!s) return FOV_ERR_MEMORY;
    *s = (fov_sample){.allocator = *allocator, .layers = layers, .width = width, .room = room};
    s->heap = fov_alloc(allocator, fov_mul(room, sizeof *s->heap));
    s->row = fov_alloc(allocator, fov_mul(room, sizeof *s->row));
    s->slots = fov_alloc(allocator, fov_mul(room, sizeof *s->slots));
    s->x = fov_alloc(allocator, fov_mul(fov_mul(layers, fov_mul(room, width)), sizeof *s->x));
    if (s->heap && s->row && s->slots && s->x) {
        *sample = s;
        return FOV_OK;
    }
    fov_sample_free(s);
    return FOV_ERR_MEMORY;
}

void fov_sample_free(fov_sample *s) {
    if (!s) return;
    const fov_allocator allocator = s->allocator;
    fov_release(&allocator, s->heap);
    fov_release(&allocator, s->row);
    fov_release(&allocator, s->slots);
    fov_release(&allocator, s->x);
    fov_release(&allocator, s);
}

static void rise(fov_sample_entry *heap, size_t i) {
    const fov_sample_entry entry = heap[i];
    for (; i && heap[(i - 1) / 2].key < entry.key; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = entry;
}

static void sink(fov_sample_entry *heap, size_t count) {
    const fov_sample_entry entry = heap[0];
    size_t i = 0;
    for (size_t child = 1; child < count; child = 2 * i + 1) {
        if (child + 1 < count && heap[child + 1].key > heap[child].key) child++;
        if (heap[child].key <= entry.key) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = entry;
}

static void offer(fov_sample *s, uint64_t key, uint32_t row) {
    if (s->count < s->room) {
        const uint32_t slot = (uint32_t)s->count;
        s->heap[s->count] = (fov_sample_entry){key, slot};
        s->row[slot] = row;
        rise(s->heap, s->count++);
    } else if (key < s->heap[0].key) {
        s->heap[0].key = key;
        s->row[s->heap[0].slot] = row;
        sink(s->heap, s->count);
    }
}

void fov_sample_choose(fov_sample *s, size_t texts, const size_t *offsets, const uint64_t *hashes) {
    for (size_t i = 0; i < s->count; i++) s->row[i] = NONE;
    for (size_t b = 0; b < texts; b++) {
        const uint64_t held = fov_sample_held(hashes[b]);
        for (size_t i = offsets[b]; i < offsets[b + 1]; i++)
            offer(s, (fov_mix64(hashes[b] ^ fov_mix64(i - offsets[b] + 1)) & ~(uint64_t)1) | held, (uint32_t)i);
    }
}

void fov_sample_add(fov_sample *s, size_t layer, const float *x) {
    for (size_t i = 0; i < s->count; i++)
        if (s->row[i] != NONE) memcpy(s->x + (layer * s->room + i) * s->width, x + s->row[i] * s->width, s->width * sizeof *x);
}

/* The largest first, which is a heap still. Equal keys are the same token of equal texts. */
static int by_key(const void *a, const void *b) {
    const uint64_t left = ((const fov_sample_entry *)a)->key, right = ((const fov_sample_entry *)b)->key;
    return left > right ? -1 : left < right;
}

size_t fov_sample_sort(fov_sample *s) {
    size_t fitted = 0, at = 0;
    if (s->count) qsort(s->heap, s->count, sizeof *s->heap, by_key);
    for (uint64_t held = 0; held < 2; held++) {
        for (size_t i = s->count; i-- > 0;)
            if ((s->heap[i].key & 1) == held) s->slots[at++] = s->heap[i].slot;
        if (!held) fitted = at;
    }
    return fitted;
}
