/* token.h: text to ids. */
#ifndef FOV_TOKEN_H
#define FOV_TOKEN_H

#include "core/memory.h"

typedef struct fov_tokenizer fov_tokenizer; /* immutable, shared by threads */

/* How a vocabulary file is to be read; from tokenizer_config.json. */
typedef struct fov_tokenizer_options {
    int lower_case;                           /* 1 or 0 */
    int strip_accents;                        /* 1 or 0 */
    int chinese_chars;                        /* 1: blanks around each CJK ideograph */
    int add_prefix_space;                     /* byte-level BPE alone: a blank before each text */
    const char *unk, *cls, *sep, *pad, *mask; /* NULL: "[UNK]", ...; of byte-level BPE "<unk>", "<s>", "</s>", "<pad>", "<mask>" */
} fov_tokenizer_options;

/* WordPiece from vocab.txt (one piece per line; line number = id). Special tokens must be there (pad and mask may be missing: -1).
 * Read as Hugging Face reads it: white space at a line's end is dropped, of equal lines the last has the id. `text` is copied. */
fov_status fov_tokenizer_from_vocab(const char *text, size_t size, const fov_tokenizer_options *options, const char *where,
                                    const fov_allocator *allocator, fov_tokenizer **tokenizer, fov_error *error);
/* Byte-level BPE from vocab.json and merges.txt, as RoBERTa has them: <s> a </s></s> b </s>, all types 0. Special tokens as above,
 * unk may be missing too; the mask takes white space before it along. While it parses, jansson takes memory from the C library. */
fov_status fov_tokenizer_from_merges(const char *vocab, size_t vocab_size, const char *vocab_where, const char *merges,
                                     size_t merges_size, const char *merges_where, const fov_tokenizer_options *options,
                                     const fov_allocator *allocator, fov_tokenizer **tokenizer, fov_error *error);
/* From Hugging Face's tokenizer.json: BertNormalizer, BertPreTokenizer, WordPiece, TemplateProcessing of [CLS] A [SEP] B [SEP],
 * added tokens that are not normalised; or no normalizer, ByteLevel, BPE without dropout, RobertaProcessing or TemplateProcessing
 * of <s> A </s></s> B </s>. Anything else: FOV_ERR_UNSUPPORTED, named. Padding and the length and strategy of truncation are the
 * caller's and are not read. While it parses, jansson takes memory from the C library. */
fov_status fov_tokenizer_from_json(const char *text, size_t size, const char *where, const fov_allocator *allocator,
                                   fov_tokenizer **tokenizer, fov_error *error);
void fov_tokenizer_free(fov_tokenizer *tokenizer);

size_t fov_tokenizer_size(const fov_tokenizer *tokenizer);                   /* ids: largest + 1 */
const char *fov_tokenizer_piece(const fov_tokenizer *tokenizer, int32_t id); /* NULL when out of range */
typedef struct fov_special_ids {
    int32_t unk, cls, sep, pad, mask; /* -1 when absent */
} fov_special_ids;
fov_special_ids fov_tokenizer_special(const fov_tokenizer *tokenizer);

/* Scratch of one caller; grows to the longest text. Zero-initialise. */
typedef struct fov_token_scratch {
    fov_buffer ids, types, work, copy;
} fov_token_scratch;
void fov_token_scratch_free(fov_token_scratch *scratch, const fov_allocator *allocator);

/* Special ids around one text, or around and between the texts of a pair. */
size_t fov_tokenizer_around(const fov_tokenizer *tokenizer, bool pair);

typedef struct fov_encoding {
    const int32_t *ids;   /* [count], owned by the scratch, valid until its next use */
    const uint8_t *types; /* [count] 0 or 1; of RoBERTa 0 */
    size_t count;
    size_t truncated; /* ids dropped */
    size_t invalid;   /* invalid UTF-8 sequences replaced by U+FFFD (maximal subparts, as Python's errors='replace') */
} fov_encoding;

/* [CLS] a [SEP] or, when b is not NULL, [CLS] a [SEP] b [SEP], at most max_length ids (>= 3, pairs >= 4; RoBERTa's 5): longest
 * first, ids dropped from the end, as Hugging Face's truncation='longest_first'. Ids equal Hugging Face `tokenizers`. */
fov_status fov_tokenizer_encode(const fov_tokenizer *tokenizer, fov_token_scratch *scratch, const fov_allocator *allocator,
                                const char *a, size_t a_size, const char *b, size_t b_size, size_t max_length,
                                fov_encoding *encoding, fov_error *error);

#endif
