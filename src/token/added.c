/* added.c: added tokens ([MASK], [SEP], ...) are found in the raw text, before normalisation: leftmost, then longest.
 *
 * Their lstrip and rstrip, which take white space along, need no code: the words beside them lose it anyway. */
#include "core/status.h"
#include "token/tokenizer.h"

fov_status fov_added_index(fov_tokenizer *tokenizer, const char *where, fov_error *error) {
    size_t count = tokenizer->added_count;
    fov_trie_key *keys = fov_alloc(tokenizer->allocator, fov_mul(count, sizeof *keys));
    if (!keys) return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for %zu added tokens", count);
    for (size_t i = 0; i < count; i++) {
        const fov_added_token *token = &tokenizer->added[i];
        keys[i] = (fov_trie_key){(const uint8_t *)token->text, token->size, token->id};
        tokenizer->added_first[keys[i].text[0]] = true;
    }
    fov_status status = fov_trie_build(&tokenizer->added_trie, keys, count, where, tokenizer->allocator, error);
    fov_release(tokenizer->allocator, keys);
    return status;
}

size_t fov_added_next(const fov_tokenizer *tokenizer, const uint8_t *text, size_t size, size_t *at, int32_t *id) {
    for (size_t i = *at; i < size; i++) {
        if (!tokenizer->added_first[text[i]]) continue;
        size_t taken = fov_trie_longest(&tokenizer->added_trie, text + i, size - i, id);
        *at = i;
        if (taken) return taken;
    }
    *at = size;
    return 0;
}
