/* added.c: added tokens ([MASK], [SEP], ...) are found in the raw text, before normalisation: leftmost, then longest.
 *
 * Their lstrip and rstrip, which take white space along, matter to byte-level BPE alone: other words lose it anyway. */
#include "core/status.h"
#include "token/bpe_words.h"
#include "token/tokenizer.h"
#include "token/unicode.h"

fov_status fov_added_index(fov_tokenizer *tokenizer, const char *where, fov_error *error) {
    size_t count = tokenizer->added_count;
    fov_trie_key *keys = fov_alloc(tokenizer->allocator, fov_mul(count, sizeof *keys));
    if (!keys) return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for %zu added tokens" FOV_MEND_MEMORY, count);
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

size_t fov_added_trim_end(const uint8_t *text, size_t from, size_t end) {
    while (end > from) {
        size_t start = end - 1;
        while (start > from && end - start < 4 && (text[start] & 0xC0) == 0x80) start--;
        uint32_t code;
        if (fov_utf8_decode(text + start, end - start, &code) != end - start || code == FOV_INVALID) break;
        if (fov_bpe_kind(code) != FOV_BPE_SPACE) break;
        end = start;
    }
    return end;
}

size_t fov_added_skip_space(const uint8_t *text, size_t size, size_t at) {
    while (at < size) {
        uint32_t code;
        size_t taken = fov_utf8_decode(text + at, size - at, &code);
        if (code == FOV_INVALID || fov_bpe_kind(code) != FOV_BPE_SPACE) break;
        at += taken;
    }
    return at;
}
