/* shortword.c: building the table of short words; see shortword.h. */
#include "token/shortword.h"

#include "core/status.h"

static bool short_key(const fov_trie_key *piece, uint64_t *key) {
    uint8_t text[9] = {0};
    if (piece->size == 0 || piece->size > 8) return false;
    memcpy(text, piece->text, piece->size);
    return fov_short_key(text, 0, key) == piece->size;
}

fov_status fov_short_words_build(fov_short_words *table, const fov_trie_key *keys, size_t count, const char *where,
                                 const fov_allocator *allocator, fov_error *error) {
    uint64_t key;
    size_t words = 0;
    for (size_t i = 0; i < count; i++) words += short_key(&keys[i], &key);
    unsigned bits = 4;
    while ((size_t)1 << bits < 2 * words) bits++;
    table->shift = 64 - bits;
    table->slots = fov_alloc_zero(allocator, fov_mul(((size_t)1 << bits) + FOV_SHORT_PROBES, sizeof *table->slots));
    if (!table->slots)
        return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a vocabulary of %zu pieces" FOV_MEND_MEMORY, count);
    for (size_t i = 0; i < count; i++) {
        if (!short_key(&keys[i], &key)) continue;
        fov_short_slot *slot = table->slots + fov_short_hash(table, key);
        int probe = 0;
        while (probe < FOV_SHORT_PROBES && slot[probe].key && slot[probe].key != key) probe++;
        if (probe < FOV_SHORT_PROBES) slot[probe] = (fov_short_slot){key, keys[i].id};
    }
    return FOV_OK;
}

void fov_short_words_free(fov_short_words *table, const fov_allocator *allocator) {
    fov_release(allocator, table->slots);
    *table = (fov_short_words){0};
}
