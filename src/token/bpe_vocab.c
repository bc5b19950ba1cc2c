/* bpe_vocab.c: byte-level BPE from vocab.json (piece to id) and merges.txt (a pair a line, best first), as GPT-2 and RoBERTa ship.
 */
#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "token/json_reader.h"

typedef struct merge_list {
    fov_bpe_rule *rules;
    size_t count;
} merge_list;

/* Lines that begin with #version are skipped, as Hugging Face does. */
static fov_status read_merges(merge_list *list, const char *text, size_t size, const char *where, const fov_allocator *allocator,
                              fov_error *error) {
    size_t lines = 1;
    for (size_t at = 0; at < size; at++) lines += text[at] == '\n';
    list->rules = fov_alloc(allocator, fov_mul(lines, sizeof *list->rules));
    if (!list->rules) return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for %zu merges" FOV_MEND_MEMORY, lines);
    size_t number = 0;
    for (size_t at = 0; at < size;) {
        const char *line = text + at, *newline = memchr(line, '\n', size - at);
        size_t length = newline ? (size_t)(newline - line) : size - at;
        at += length + 1;
        number++;
        if (length && line[length - 1] == '\r') length--;
        if (length >= 8 && !memcmp(line, "#version", 8)) continue;
        if (!fov_bpe_rule_parse(line, length, &list->rules[list->count++]))
            return fov_fail(error, FOV_ERR_FORMAT, where, "line %zu is not two pieces with one blank between them" FOV_MEND_FILE,
                            number);
    }
    return FOV_OK;
}

static fov_status read_pieces(fov_tokenizer *tokenizer, json_t *root, const char *where, fov_error *error) {
    size_t count = 0;
    const char *piece;
    json_t *value;
    fov_piece *pieces = fov_alloc(tokenizer->allocator, fov_mul(json_object_size(root), sizeof *pieces));
    if (!pieces)
        return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a vocabulary of %zu pieces" FOV_MEND_MEMORY,
                        json_object_size(root));
    fov_status status = FOV_OK;
    json_object_foreach(root, piece, value) {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= FOV_MAX_IDS) {
            status = fov_fail(error, FOV_ERR_FORMAT, where,
                              "the id of the piece \"%.60s\" is not a number from 0 to %d" FOV_MEND_FILE, piece, FOV_MAX_IDS - 1);
            goto end;
        }
        pieces[count++] = (fov_piece){piece, strlen(piece), (int32_t)id};
    }
    status = count ? fov_tokenizer_set_pieces(tokenizer, pieces, count, 0, NULL, where, error)
                   : fov_fail(error, FOV_ERR_FORMAT, where, "the vocabulary is empty" FOV_MEND_FILE);
end:
    fov_release(tokenizer->allocator, pieces);
    return status;
}

static fov_status build(fov_tokenizer *t, const char *vocab, size_t vocab_size, const char *vocab_where, const char *merges,
                        size_t merges_size, const char *merges_where, const fov_tokenizer_options *options, fov_error *error) {
    static const char *const usual[] = {"<unk>", "<s>", "</s>", "<pad>", "<mask>"};
    merge_list list = {0};
    json_t *root;
    fov_status status = fov_json_parse(&root, vocab, vocab_size, JSON_OBJECT, 0, vocab_where, error);
    if (status) return status;
    status = read_pieces(t, root, vocab_where, error);
    json_decref(root);
    if (!status) status = fov_tokenizer_set_specials(t, options, usual, 1, vocab_where, error);
    if (status) return status;
    for (size_t i = 0; i < t->added_count; i++) t->added[i].lstrip = t->added[i].id == t->special.mask;
    t->added_strips = true;
    t->pair_seps = 2;
    t->pair_type = 0;
    const fov_bpe_options bpe = {.unknown = -1, .add_prefix_space = options->add_prefix_space};
    status = read_merges(&list, merges, merges_size, merges_where, t->allocator, error);
    if (!status) status = fov_bpe_build(t, list.rules, list.count, &bpe, merges_where, error);
    fov_release(t->allocator, list.rules);
    return status;
}

fov_status fov_tokenizer_from_merges(const char *vocab, size_t vocab_size, const char *vocab_where, const char *merges,
                                     size_t merges_size, const char *merges_where, const fov_tokenizer_options *options,
                                     const fov_allocator *allocator, fov_tokenizer **tokenizer, fov_error *error) {
    if (!tokenizer || !options || (!vocab && vocab_size) || (!merges && merges_size))
        return fov_fail(error, FOV_ERR_ARGUMENT, vocab_where, "a vocabulary argument is NULL; give both texts and a place");
    fov_tokenizer *made = fov_tokenizer_new(allocator);
    if (!made) return fov_fail(error, FOV_ERR_MEMORY, vocab_where, "no memory for a tokenizer" FOV_MEND_MEMORY);
    fov_status status = build(made, vocab, vocab_size, vocab_where, merges, merges_size, merges_where, options, error);
    if (status)
        fov_tokenizer_free(made);
    else
        *tokenizer = made;
    return status;
}
