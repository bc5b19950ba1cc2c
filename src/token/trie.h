/* trie.h: longest-prefix search in a set of byte strings, one walk per search.
 *
 * A double-array trie (Aoe, "An efficient digital search algorithm by using a double-array structure", 1989): the child of node n
 * by byte b is cell base[n] + b when that cell's parent is n. One load per byte, no pointer. */
#ifndef FOV_TOKEN_TRIE_H
#define FOV_TOKEN_TRIE_H

#include "core/memory.h"

typedef struct fov_trie_cell {
    uint32_t base, parent; /* parent UINT32_MAX: free */
    int32_t id;            /* -1: no string ends here */
} fov_trie_cell;

typedef struct fov_trie {
    fov_trie_cell *cells; /* [count + 256]; the root is cell 0 */
    size_t count;
} fov_trie;

typedef struct fov_trie_key {
    const uint8_t *text;
    size_t size;
    int32_t id;
} fov_trie_key;

/* Of equal keys the last in the array wins; empty keys are ignored. Sorts `keys`. */
fov_status fov_trie_build(fov_trie *trie, fov_trie_key *keys, size_t count, const char *where, const fov_allocator *allocator,
                          fov_error *error);
void fov_trie_free(fov_trie *trie, const fov_allocator *allocator);

/* The longest key that `text` begins with: its size (0: none) and id. */
static inline size_t fov_trie_longest(const fov_trie *trie, const uint8_t *text, size_t size, int32_t *id) {
    const fov_trie_cell *cells = trie->cells;
    uint32_t node = 0;
    size_t found = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t next = cells[node].base + text[i];
        if (cells[next].parent != node) break;
        node = next;
        if (cells[node].id >= 0) {
            *id = cells[node].id;
            found = i + 1;
        }
    }
    return found;
}

#endif
