/* added.c: added tokens ([MASK], [SEP], ...) are found in the raw text, before normalisation. */
#include <string.h>

#include "token/tokenizer.h"
#include "token/unicode.h"

void fov_added_index(fov_tokenizer *tokenizer) {
    memset(tokenizer->added_first, 0, sizeof tokenizer->added_first);
    for (size_t i = 0; i < tokenizer->added_count; i++) tokenizer->added_first[(uint8_t)tokenizer->added[i].text[0]] = true;
}

const fov_added_token *fov_added_next(const fov_tokenizer *tokenizer, const uint8_t *text, size_t size, size_t from, size_t *at) {
    for (size_t i = from; i < size; i++) {
        if (!tokenizer->added_first[text[i]]) continue;
        const fov_added_token *best = NULL;
        for (size_t k = 0; k < tokenizer->added_count; k++) {
            const fov_added_token *token = &tokenizer->added[k];
            if (token->size > size - i || memcmp(token->text, text + i, token->size)) continue;
            if (!best || token->size > best->size) best = token;
        }
        if (best) {
            *at = i;
            return best;
        }
    }
    return NULL;
}

/* Unicode's White_Space: what cleaning calls space, and the four controls it removes instead. */
static bool is_space(uint32_t code) {
    return code != FOV_INVALID && ((fov_unicode_of(code) & FOV_CP_SPACE) || code == 0x0B || code == 0x0C || code == 0x85);
}

size_t fov_space_after(const uint8_t *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint32_t code;
        size_t taken = fov_utf8_decode(text + at, size - at, &code);
        if (!is_space(code)) break;
        at += taken;
    }
    return at;
}

size_t fov_space_before(const uint8_t *text, size_t size) {
    size_t end = size;
    while (end) {
        size_t start = end - 1;
        while (start && end - start < 3 && (text[start] & 0xC0) == 0x80) start--;
        uint32_t code;
        if (fov_utf8_decode(text + start, end - start, &code) != end - start || !is_space(code)) break;
        end = start;
    }
    return size - end;
}
