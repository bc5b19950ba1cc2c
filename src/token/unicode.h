/* unicode.h: what BERT's text cleaning asks of a code point, and UTF-8 decoding.
 *
 * The tables are asked of Hugging Face's library code point by code point (gen/unicode_tables.py), not of one Unicode database:
 * that library mixes three Unicode versions, and ids must equal its own whatever utf8proc a machine has. */
#ifndef FOV_TOKEN_UNICODE_H
#define FOV_TOKEN_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    FOV_CP_DROP = 1,        /* NUL, U+FFFD, control, format, private use: removed */
    FOV_CP_SPACE = 2,       /* white space */
    FOV_CP_CJK = 4,         /* ideograph: a word of its own */
    FOV_CP_PUNCT = 8,       /* a word of its own */
    FOV_CP_MARK = 16,       /* non-spacing mark: dropped after decomposition */
    FOV_CP_NONSTARTER = 32, /* canonical combining class is not 0 */
    FOV_CP_DECOMPOSES = 64, /* has a canonical decomposition (Hangul syllables excepted) */
    FOV_CP_LOWERS = 128     /* has another lower case */
};

typedef struct fov_unicode_decomposition {
    uint32_t code;
    uint16_t start, count; /* in the pool */
} fov_unicode_decomposition;
typedef struct fov_unicode_lower {
    uint32_t code, first, second; /* second: 0 when there is none */
} fov_unicode_lower;
typedef struct fov_unicode_class {
    uint32_t code, ccc;
} fov_unicode_class;

extern const uint8_t fov_unicode_index[8704];
extern const uint8_t fov_unicode_flags[][128];
extern const size_t fov_unicode_decomposition_count, fov_unicode_lower_count, fov_unicode_class_count;
extern const fov_unicode_decomposition fov_unicode_decompositions[];
extern const uint32_t fov_unicode_pool[];
extern const fov_unicode_lower fov_unicode_lowers[];
extern const fov_unicode_class fov_unicode_classes[];

/* FOV_CP_* of a code point < 0x110000. */
static inline unsigned fov_unicode_of(uint32_t code) {
    return fov_unicode_flags[fov_unicode_index[code >> 7]][code & 127];
}

/* Full canonical decomposition into out[4], unordered runs of marks left as they are; returns the count. */
size_t fov_unicode_decompose(uint32_t code, uint32_t out[4]);
/* Lower case into out[2]; returns the count. */
size_t fov_unicode_lowercase(uint32_t code, uint32_t out[2]);
/* Combining class of a nonstarter that is not a mark. */
uint32_t fov_unicode_ccc(uint32_t code);

/* Decode one code point at text[0], size >= 1; returns the bytes taken. An invalid sequence gives FOV_INVALID and takes its maximal
 * subpart (Unicode 3.9, table 3-8; Python's errors='replace'). */
#define FOV_INVALID UINT32_MAX
size_t fov_utf8_decode(const uint8_t *text, size_t size, uint32_t *code);
/* Encode; returns the bytes written, at most 4. */
size_t fov_utf8_encode(uint32_t code, uint8_t *out);

#endif
