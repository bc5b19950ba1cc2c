/* tokenizer.h: inside a tokenizer. The vocabulary readers (vocab.c, bpe_vocab.c, json.c) fill it through pieces.c, encode.c uses
 * it.
 *
 * Flow: text -> pieces between added tokens (added.c) -> words (normalize.c) -> ids (wordpiece.c) -> [CLS] ... [SEP] (encode.c).
 * Of byte-level BPE the middle is bpe_words.c and bpe.c.
 * `segment` is the seam for other kinds of model: it turns a stretch of text without added tokens into ids. */
#ifndef FOV_TOKEN_TOKENIZER_H
#define FOV_TOKEN_TOKENIZER_H

#include "token/shortword.h"
#include "token/token.h"
#include "token/trie.h"

/* A token looked for in the raw text, before any normalisation. */
typedef struct fov_added_token {
    const char *text; /* in the tokenizer's pool */
    size_t size;
    int32_t id;
    bool lstrip, rstrip; /* takes white space before it, behind it, along */
} fov_added_token;

/* Scratch of one segment. */
typedef struct fov_segment {
    const uint8_t *text;
    size_t size;
    const fov_allocator *allocator;
    fov_buffer *work, *copy; /* for the method's own use */
    int32_t *ids;            /* room for `size` * ids_per_byte */
    size_t count;            /* ids written: out */
    size_t invalid;          /* invalid sequences: out */
    bool no_memory;          /* out; the other results are void */
} fov_segment;

struct fov_tokenizer {
    const fov_allocator *allocator;
    void (*segment)(const fov_tokenizer *tokenizer, fov_segment *segment);
    char *pool;          /* the pieces' texts, each NUL-terminated */
    const char **pieces; /* [count]; NULL: an id without a piece */
    size_t count;        /* ids */
    fov_special_ids special;
    fov_added_token *added;
    size_t added_count;
    fov_trie added_trie;
    bool added_first[256]; /* an added token begins with this byte */
    bool added_strips;     /* one of them has lstrip or rstrip that matters */
    size_t ids_per_byte;   /* most ids a byte of text may become */
    size_t pair_seps;      /* SEP between the texts of a pair: 1, RoBERTa 2 */
    uint8_t pair_type;     /* type of the second text and its SEP: 1, RoBERTa 0 */
    struct fov_bpe *bpe;   /* NULL: WordPiece */
    int lower_case, strip_accents, chinese_chars;
    uint8_t fold[256];           /* normalize.c's table of ASCII; fov_words_prepare() */
    int32_t punct[128];          /* ids of ASCII punctuation */
    size_t max_chars;            /* a longer word is [UNK] */
    fov_trie first, inside;      /* pieces that begin a word; pieces that continue one, without their prefix */
    fov_short_words short_words; /* those of `first` that are short and plain */
};

/* One piece of a vocabulary on its way into a tokenizer; order decides between equal texts: the last wins. */
typedef struct fov_piece {
    const char *text;
    size_t size;
    int32_t id;
} fov_piece;

/* What every kind of vocabulary begins with: an empty tokenizer with the usual limits. NULL: no memory. */
fov_tokenizer *fov_tokenizer_new(const fov_allocator *allocator);
/* Copy the texts into tokenizer->pool, ->pieces, ->count and build both tries from the first `count` pieces; the `extra` ones
 * behind them have an id and a text but are not looked for inside words. prefix NULL: only the trie `first` is made. */
fov_status fov_tokenizer_set_pieces(fov_tokenizer *tokenizer, const fov_piece *pieces, size_t count, size_t extra,
                                    const char *prefix, const char *where, fov_error *error);
/* added.c: where [from, end) ends without white space; where the text behind white space at `at` goes on. */
size_t fov_added_trim_end(const uint8_t *text, size_t from, size_t end);
size_t fov_added_skip_space(const uint8_t *text, size_t size, size_t at);
enum { FOV_MAX_IDS = 1 << 22 };
/* Id of a piece; -1 when there is none. */
int32_t fov_tokenizer_find(const fov_tokenizer *tokenizer, const char *text, size_t size);
/* The special ids and added tokens, by the options' names or `usual` ones (unk, cls, sep, pad, mask), once the pieces are set; also
 * makes them searchable. */
fov_status fov_tokenizer_set_specials(fov_tokenizer *tokenizer, const fov_tokenizer_options *options, const char *const usual[5],
                                      int unk_optional, const char *where, fov_error *error);
/* Make ->added searchable, once it is complete. */
fov_status fov_added_index(fov_tokenizer *tokenizer, const char *where, fov_error *error);
/* The first added token at or after *at: its size, its id, and where it begins in *at. 0: none, *at = size. */
size_t fov_added_next(const fov_tokenizer *tokenizer, const uint8_t *text, size_t size, size_t *at, int32_t *id);

/* BERT's words through WordPiece. */
void fov_wordpiece_segment(const fov_tokenizer *tokenizer, fov_segment *segment);
void fov_words_prepare(fov_tokenizer *tokenizer); /* once options and pieces are set */
size_t fov_words_bytes(const fov_tokenizer *tokenizer);
/* Ids of one normalised word into ids[size]; returns their count. */
size_t fov_wordpiece_split(const fov_tokenizer *tokenizer, const uint8_t *word, size_t size, int32_t *ids);

#endif
