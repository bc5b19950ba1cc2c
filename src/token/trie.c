/* trie.c: building the double array, breadth first over the sorted keys; see trie.h. */
#include "token/trie.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"

static const uint32_t NONE = UINT32_MAX;

static int compare(const void *a, const void *b) {
    const fov_trie_key *x = a, *y = b;
    size_t least = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->text, y->text, least);
    if (order) return order;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

typedef struct range {
    size_t low, high, depth; /* keys[low, high) share `depth` bytes */
    uint32_t node;
} range;

typedef struct builder {
    fov_trie *trie;
    size_t capacity, search; /* cells allocated; no base is tried below `search` */
    const fov_allocator *allocator;
} builder;

/* At least `count` cells, and 256 free ones behind so that no walk leaves the array. */
static bool grow(builder *b, size_t count) {
    if (count > b->trie->count) b->trie->count = count;
    if (count + 256 <= b->capacity) return true;
    size_t capacity = fov_add(fov_mul(count, 2), 512);
    if (capacity > UINT32_MAX / 2) return false;
    fov_trie_cell *cells = fov_alloc(b->allocator, fov_mul(capacity, sizeof *cells));
    if (!cells) return false;
    if (b->capacity) memcpy(cells, b->trie->cells, b->capacity * sizeof *cells);
    for (size_t i = b->capacity; i < capacity; i++) cells[i] = (fov_trie_cell){0, NONE, -1};
    fov_release(b->allocator, b->trie->cells);
    b->trie->cells = cells;
    b->capacity = capacity;
    return true;
}

/* A base where all labels' cells are free. The start moves on when a stretch is nearly full, which keeps building linear. */
static bool place(builder *b, const uint8_t *labels, size_t count, uint32_t *base) {
    size_t tries = 0, start = b->search;
    for (size_t at = start;; at++) {
        if (!grow(b, at + 256)) return false;
        const fov_trie_cell *cells = b->trie->cells;
        bool fits = true;
        for (size_t i = 0; fits && i < count; i++) fits = cells[at + labels[i]].parent == NONE;
        if (fits) {
            *base = (uint32_t)at;
            if (tries > 64) b->search = at > start + 256 ? at - 128 : start + 8;
            return true;
        }
        tries++;
    }
}

static bool expand(builder *b, const fov_trie_key *keys, range *queue, size_t *tail, range r) {
    uint8_t labels[256];
    size_t starts[257], count = 0, i = r.low;
    while (i < r.high && keys[i].size == r.depth) b->trie->cells[r.node].id = keys[i++].id;
    for (; i < r.high; i++) {
        uint8_t label = keys[i].text[r.depth];
        if (count && labels[count - 1] == label) continue;
        labels[count] = label;
        starts[count++] = i;
    }
    if (!count) return true;
    starts[count] = r.high;
    uint32_t base;
    if (!place(b, labels, count, &base)) return false;
    b->trie->cells[r.node].base = base;
    for (i = 0; i < count; i++) {
        uint32_t child = base + labels[i];
        b->trie->cells[child].parent = r.node;
        queue[(*tail)++] = (range){starts[i], starts[i + 1], r.depth + 1, child};
    }
    return true;
}

fov_status fov_trie_build(fov_trie *trie, fov_trie_key *keys, size_t count, const char *where, const fov_allocator *allocator,
                          fov_error *error) {
    size_t nodes = 1, tail = 1, first = 0;
    for (size_t i = 0; i < count; i++) nodes = fov_add(nodes, keys[i].size);
    *trie = (fov_trie){0};
    builder b = {trie, 0, 1, allocator};
    range *queue = fov_alloc(allocator, fov_mul(nodes, sizeof *queue));
    bool done = queue && grow(&b, 1);
    if (done) {
        if (count) qsort(keys, count, sizeof *keys, compare);
        while (first < count && keys[first].size == 0) first++;
        trie->cells[0].parent = 0; /* taken; no base is 0, so no walk comes back here */
        queue[0] = (range){first, count, 0, 0};
        for (size_t head = 0; done && head < tail; head++) done = expand(&b, keys, queue, &tail, queue[head]);
    }
    fov_release(allocator, queue);
    if (done) return FOV_OK;
    fov_trie_free(trie, allocator);
    return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a vocabulary of %zu pieces" FOV_MEND_MEMORY, count);
}

void fov_trie_free(fov_trie *trie, const fov_allocator *allocator) {
    fov_release(allocator, trie->cells);
    *trie = (fov_trie){0};
}
