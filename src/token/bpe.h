/* bpe.h: byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's over bytes, Radford et al. 2019; RoBERTa uses it).
 *
 * Flow: a stretch of text -> pre-tokens by GPT-2's pattern (bpe_words.c) -> each byte a symbol -> the pair of lowest rank is
 * merged, leftmost first, until none is left (bpe.c). Vocabularies write bytes as printable characters: fov_bpe_letters. */
#ifndef FOV_TOKEN_BPE_H
#define FOV_TOKEN_BPE_H

#include "token/tokenizer.h"

/* A pair of symbols and what it becomes. */
typedef struct fov_bpe_merge {
    int32_t left, right, merged; /* merged -1: a free slot */
    uint32_t rank;
} fov_bpe_merge;

/* Letters of a byte in vocabularies: UTF-8 of U+0021..., the printable ones themselves, the rest from U+0100 on. size: 1 or 2. */
typedef struct fov_bpe_letter {
    uint8_t text[2], size;
} fov_bpe_letter;

typedef struct fov_bpe {
    fov_bpe_merge *slots; /* [mask + 1], open addressing */
    size_t mask;
    fov_bpe_letter letters[256];
    int32_t byte_ids[256]; /* of single bytes; -1: dropped, as Hugging Face does without an unknown token */
    uint8_t *whole;        /* [pieces] the piece's own text becomes this one id: no merging needed */
    int add_prefix_space;  /* a blank before a stretch that does not begin with one */
} fov_bpe;

/* One line of merges.txt or one entry of model.merges: two pieces. */
typedef struct fov_bpe_rule {
    const char *left, *right;
    size_t left_size, right_size;
} fov_bpe_rule;

typedef struct fov_bpe_options {
    int32_t unknown;      /* id of a byte that is no piece; -1: dropped */
    int add_prefix_space; /* see fov_bpe */
    int ignore_merges;    /* every piece is `whole` */
} fov_bpe_options;

/* Make tokenizer->bpe of `rules` in order of rank, once the pieces are set. */
fov_status fov_bpe_build(fov_tokenizer *tokenizer, const fov_bpe_rule *rules, size_t count, const fov_bpe_options *options,
                         const char *where, fov_error *error);
void fov_bpe_free(fov_tokenizer *tokenizer);

/* The tokenizer's segment function. */
void fov_bpe_segment(const fov_tokenizer *tokenizer, fov_segment *segment);

#endif
