/* bpe_words.h: the pre-tokens of byte-level BPE, and the classes of code points that they are made of. */
#ifndef FOV_TOKEN_BPE_WORDS_H
#define FOV_TOKEN_BPE_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Size of the pre-token at text[0], size >= 1. The text is valid UTF-8. */
size_t fov_bpe_next_word(const uint8_t *text, size_t size);

/* Letter, number, white space or none: two bits per code point, as the pattern's engine sees them. */
enum { FOV_BPE_OTHER, FOV_BPE_LETTER, FOV_BPE_NUMBER, FOV_BPE_SPACE };
extern const uint8_t fov_bpe_index[8704];
extern const uint8_t fov_bpe_kinds[][32];
static inline unsigned fov_bpe_kind(uint32_t code) {
    return (unsigned)fov_bpe_kinds[fov_bpe_index[code >> 7]][(code & 127) >> 2] >> 2 * (code & 3) & 3U;
}

#endif
