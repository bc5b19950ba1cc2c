/* vocab.c: a tokenizer from vocab.txt; its special tokens; its end. */
#include <string.h>

#include "core/status.h"
#include "token/bpe.h"
#include "token/tokenizer.h"
#include "token/unicode.h"

enum { MAX_CHARS = 100 }; /* Hugging Face's max_input_chars_per_word */

fov_tokenizer *fov_tokenizer_new(const fov_allocator *allocator) {
    fov_tokenizer *made = fov_alloc_zero(allocator, sizeof *made);
    if (!made) return NULL;
    made->allocator = fov_allocator_or_default(allocator);
    made->segment = fov_wordpiece_segment;
    made->max_chars = MAX_CHARS;
    made->ids_per_byte = 1; /* no character becomes more ids than it has bytes */
    made->pair_seps = made->pair_type = 1;
    made->special = (fov_special_ids){-1, -1, -1, -1, -1};
    return made;
}

/* Unicode's White_Space: what cleaning calls space, and the three controls it removes instead. */
static bool is_space(uint32_t code) {
    return code != FOV_INVALID && ((fov_unicode_of(code) & FOV_CP_SPACE) || code == 0x0B || code == 0x0C || code == 0x85);
}

/* The line's size without white space at its end, as Hugging Face trims it (this also takes a CR). */
static size_t trimmed(const char *line, size_t size) {
    const uint8_t *text = (const uint8_t *)line;
    size_t end = size;
    while (end) {
        size_t start = end - 1;
        while (start && end - start < 3 && (text[start] & 0xC0) == 0x80) start--;
        uint32_t code;
        if (fov_utf8_decode(text + start, end - start, &code) != end - start || !is_space(code)) break;
        end = start;
    }
    return end;
}

static fov_status check_utf8(const char *text, size_t size, const char *where, fov_error *error) {
    for (size_t at = 0; at < size;) {
        uint32_t code;
        size_t taken = fov_utf8_decode((const uint8_t *)text + at, size - at, &code);
        if (code == FOV_INVALID) return fov_fail(error, FOV_ERR_FORMAT, where, "byte %zu is not valid UTF-8" FOV_MEND_FILE, at);
        at += taken;
    }
    return FOV_OK;
}

static fov_status read_lines(fov_tokenizer *tokenizer, const char *text, size_t size, const char *where, fov_error *error) {
    size_t lines = 0, at = 0;
    for (const char *c = text; size && (c = memchr(c, '\n', size - (size_t)(c - text))); c++) lines++;
    if (size && text[size - 1] != '\n') lines++;
    if (!lines) return fov_fail(error, FOV_ERR_FORMAT, where, "the vocabulary is empty" FOV_MEND_FILE);
    if (lines > FOV_MAX_IDS)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "%zu lines, but at most %d are read; is this the right file?", lines,
                        FOV_MAX_IDS);
    fov_piece *pieces = fov_alloc(tokenizer->allocator, fov_mul(lines, sizeof *pieces));
    if (!pieces) return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a vocabulary of %zu pieces" FOV_MEND_MEMORY, lines);
    for (size_t i = 0; i < lines; i++) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - text) : size;
        pieces[i] = (fov_piece){text + at, trimmed(text + at, end - at), (int32_t)i};
        at = end + 1;
    }
    fov_status status = fov_tokenizer_set_pieces(tokenizer, pieces, lines, 0, "##", where, error);
    fov_release(tokenizer->allocator, pieces);
    return status;
}

fov_status fov_tokenizer_set_specials(fov_tokenizer *tokenizer, const fov_tokenizer_options *options, const char *const usual[5],
                                      int unk_optional, const char *where, fov_error *error) {
    const struct {
        const char *name, *usual;
        int32_t *id;
        bool needed;
    } rows[] = {{options->unk, usual[0], &tokenizer->special.unk, !unk_optional},
                {options->cls, usual[1], &tokenizer->special.cls, true},
                {options->sep, usual[2], &tokenizer->special.sep, true},
                {options->pad, usual[3], &tokenizer->special.pad, false},
                {options->mask, usual[4], &tokenizer->special.mask, false}};
    size_t count = sizeof rows / sizeof *rows;
    tokenizer->added = fov_alloc(tokenizer->allocator, count * sizeof *tokenizer->added);
    if (!tokenizer->added) return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for the special tokens" FOV_MEND_MEMORY);
    for (size_t i = 0; i < count; i++) {
        const char *name = rows[i].name ? rows[i].name : rows[i].usual;
        int32_t id = fov_tokenizer_find(tokenizer, name, strlen(name));
        *rows[i].id = id;
        if (id >= 0)
            tokenizer->added[tokenizer->added_count++] =
                (fov_added_token){.text = tokenizer->pieces[id], .size = strlen(name), .id = id};
        else if (rows[i].needed)
            return fov_fail(error, FOV_ERR_MISMATCH, where,
                            "the vocabulary lacks the special token \"%s\"; add it, or name another in tokenizer_config.json",
                            name);
    }
    return fov_added_index(tokenizer, where, error);
}

fov_status fov_tokenizer_from_vocab(const char *text, size_t size, const fov_tokenizer_options *options, const char *where,
                                    const fov_allocator *allocator, fov_tokenizer **tokenizer, fov_error *error) {
    if (!tokenizer || !options || (!text && size))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "a vocabulary argument is NULL; give text, options and place");
    static const char *const usual[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    fov_status status = check_utf8(text, size, where, error);
    if (status) return status;
    fov_tokenizer *made = fov_tokenizer_new(allocator);
    if (!made) return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a tokenizer" FOV_MEND_MEMORY);
    made->lower_case = options->lower_case;
    made->strip_accents = options->strip_accents;
    made->chinese_chars = options->chinese_chars;
    status = read_lines(made, text, size, where, error);
    if (!status) status = fov_tokenizer_set_specials(made, options, usual, 0, where, error);
    if (status) {
        fov_tokenizer_free(made);
        return status;
    }
    fov_words_prepare(made);
    *tokenizer = made;
    return FOV_OK;
}

void fov_tokenizer_free(fov_tokenizer *tokenizer) {
    if (!tokenizer) return;
    const fov_allocator *allocator = tokenizer->allocator;
    fov_bpe_free(tokenizer);
    fov_trie_free(&tokenizer->first, allocator);
    fov_trie_free(&tokenizer->inside, allocator);
    fov_trie_free(&tokenizer->added_trie, allocator);
    fov_short_words_free(&tokenizer->short_words, allocator);
    fov_release(allocator, tokenizer->pool);
    fov_release(allocator, tokenizer->pieces);
    fov_release(allocator, tokenizer->added);
    fov_release(allocator, tokenizer);
}
