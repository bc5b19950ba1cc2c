/* pieces.c: a vocabulary in memory: ids to pieces, and pieces to ids. */
#include <string.h>

#include "core/status.h"
#include "token/tokenizer.h"

static fov_status measure(const fov_piece *pieces, size_t count, size_t *bytes, size_t *ids, const char *where, fov_error *error) {
    *bytes = *ids = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].id < 0 || pieces[i].id >= FOV_MAX_IDS)
            return fov_fail(error, FOV_ERR_FORMAT, where, "the piece \"%.*s\" has an id outside 0 to %d" FOV_MEND_FILE,
                            (int)(pieces[i].size < 99 ? pieces[i].size : 99), pieces[i].text, FOV_MAX_IDS - 1);
        *bytes = fov_add(*bytes, fov_add(pieces[i].size, 1));
        if ((size_t)pieces[i].id >= *ids) *ids = (size_t)pieces[i].id + 1;
    }
    return FOV_OK;
}

fov_status fov_tokenizer_set_pieces(fov_tokenizer *tokenizer, const fov_piece *pieces, size_t count, size_t extra,
                                    const char *prefix, const char *where, fov_error *error) {
    const fov_allocator *allocator = tokenizer->allocator;
    size_t bytes, ids, prefix_size = prefix ? strlen(prefix) : 0, inside = 0;
    fov_status status = measure(pieces, count + extra, &bytes, &ids, where, error);
    if (status) return status;
    tokenizer->pool = fov_alloc(allocator, bytes);
    tokenizer->pieces = fov_alloc_zero(allocator, fov_mul(ids, sizeof *tokenizer->pieces));
    tokenizer->count = ids;
    fov_trie_key *keys = fov_alloc(allocator, fov_mul(count, sizeof *keys));
    if (!tokenizer->pool || !tokenizer->pieces || !keys) {
        status = fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a vocabulary of %zu pieces" FOV_MEND_MEMORY, count);
        goto end;
    }
    char *at = tokenizer->pool;
    for (size_t i = 0; i < count + extra; i++) {
        memcpy(at, pieces[i].text, pieces[i].size);
        at[pieces[i].size] = '\0';
        if (i < count || !tokenizer->pieces[pieces[i].id]) tokenizer->pieces[pieces[i].id] = at;
        if (i < count) keys[i] = (fov_trie_key){(const uint8_t *)at, pieces[i].size, pieces[i].id};
        at += pieces[i].size + 1;
    }
    status = fov_trie_build(&tokenizer->first, keys, count, where, allocator, error);
    if (!status && prefix) status = fov_short_words_build(&tokenizer->short_words, keys, count, where, allocator, error);
    if (status || !prefix) goto end;
    for (size_t i = 0; i < count; i++) {
        if (keys[i].size < prefix_size || memcmp(keys[i].text, prefix, prefix_size)) continue;
        keys[inside++] = (fov_trie_key){keys[i].text + prefix_size, keys[i].size - prefix_size, keys[i].id};
    }
    status = fov_trie_build(&tokenizer->inside, keys, inside, where, allocator, error);
end:
    fov_release(allocator, keys);
    return status;
}

int32_t fov_tokenizer_find(const fov_tokenizer *tokenizer, const char *text, size_t size) {
    int32_t id = -1;
    return size && fov_trie_longest(&tokenizer->first, (const uint8_t *)text, size, &id) == size ? id : -1;
}

size_t fov_tokenizer_size(const fov_tokenizer *tokenizer) {
    return tokenizer->count;
}

const char *fov_tokenizer_piece(const fov_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (size_t)id < tokenizer->count ? tokenizer->pieces[id] : NULL;
}

fov_special_ids fov_tokenizer_special(const fov_tokenizer *tokenizer) {
    return tokenizer->special;
}
