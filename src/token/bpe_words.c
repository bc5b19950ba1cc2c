/* bpe_words.c: GPT-2's pattern by hand, over two-bit classes of code points:
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
#include "token/bpe_words.h"

#include "token/unicode.h"

static unsigned kind_at(const uint8_t *text, size_t size, size_t *taken) {
    uint32_t code = text[0];
    *taken = 1;
    if (code >= 0x80) *taken = fov_utf8_decode(text, size, &code);
    return fov_bpe_kind(code);
}

/* 's 't 'm 'd 're 've 'll behind the apostrophe at text[0]; 0: none. */
static size_t contraction(const uint8_t *text, size_t size) {
    if (size < 2) return 0;
    uint8_t c = text[1];
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    if (size < 3) return 0;
    uint8_t next = text[2];
    return (c == 'r' && next == 'e') || (c == 'v' && next == 'e') || (c == 'l' && next == 'l') ? 3 : 0;
}

/* A run of white space: all of it at the text's end, else without its last character, unless that is the only one. */
static size_t white(const uint8_t *text, size_t size) {
    size_t at = 0, last = 0, taken;
    while (at < size && kind_at(text + at, size - at, &taken) == FOV_BPE_SPACE) {
        last = at;
        at += taken;
    }
    return at == size || !last ? at : last;
}

size_t fov_bpe_next_word(const uint8_t *text, size_t size) {
    size_t at = 0, taken;
    if (text[0] == '\'') {
        size_t short_form = contraction(text, size);
        if (short_form) return short_form;
    }
    if (text[0] == ' ' && size > 1) at = 1;
    unsigned kind = kind_at(text + at, size - at, &taken);
    if (kind == FOV_BPE_SPACE) return white(text, size);
    do at += taken;
    while (at < size && kind_at(text + at, size - at, &taken) == kind);
    return at;
}
