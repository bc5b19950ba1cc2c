/* json.c: a tokenizer from Hugging Face's tokenizer.json.
 *
 * Read: added_tokens, normalizer, pre_tokenizer, model, post_processor. Left alone: decoder, padding and truncation's length and
 * strategy, which the caller gives with every call. While parsing, jansson takes memory from the C library. */
#include <jansson.h>
#include <string.h>

#include "core/status.h"
#include "token/json_reader.h"

enum { MOST_CHARS = 10000 }; /* bound of max_input_chars_per_word: splitting one word is quadratic in it at worst */

/* root[name] as an object whose "type" is `type` (or `other`, when not NULL). */
static fov_status section(const fov_reader *r, const char *name, const char *type, const char *other, const json_t **out) {
    const json_t *object = json_object_get(r->root, name);
    if (!object || json_is_null(object)) return fov_reader_unsupported(r, name, "null", type);
    const char *found = fov_reader_text(json_object_get(object, "type"));
    if (!found) return fov_fail(r->error, FOV_ERR_FORMAT, r->where, "%s has no type" FOV_MEND_FILE, name);
    if (strcmp(found, type) && (!other || strcmp(found, other))) return fov_reader_unsupported(r, name, found, type);
    *out = object;
    return FOV_OK;
}

static fov_status read_normalizer(const fov_reader *r) {
    const json_t *normalizer;
    int clean = 0;
    fov_tokenizer *t = r->tokenizer;
    fov_status status = section(r, "normalizer", "BertNormalizer", NULL, &normalizer);
    if (!status) status = fov_reader_bool(r, normalizer, "clean_text", &clean);
    if (!status) status = fov_reader_bool(r, normalizer, "handle_chinese_chars", &t->chinese_chars);
    if (!status) status = fov_reader_bool(r, normalizer, "lowercase", &t->lower_case);
    if (status) return status;
    if (!clean) return fov_reader_unsupported(r, "normalizer.clean_text", "false", "true");
    const json_t *strip = json_object_get(normalizer, "strip_accents");
    t->strip_accents = t->lower_case; /* null: as lowercase */
    return strip && !json_is_null(strip) ? fov_reader_bool(r, normalizer, "strip_accents", &t->strip_accents) : FOV_OK;
}

/* [text, id]: BertProcessing's way to name a token. */
static bool named_id(const json_t *pair, json_int_t *id) {
    *id = json_integer_value(json_array_get(pair, 1));
    return json_is_string(json_array_get(pair, 0)) && json_is_integer(json_array_get(pair, 1));
}

/* A template against `wanted`: s for CLS, which is first, or SEP; type ids are 0, and `type_b` from B on. Fills the ids of CLS
 * and SEP at the first visit. */
static bool template_fits(const json_t *steps, const json_t *special, const char *wanted, int type_b, json_int_t ids[2]) {
    if (json_array_size(steps) != strlen(wanted)) return false;
    int type_wanted = 0;
    for (size_t i = 0; wanted[i]; i++) {
        const json_t *step = json_array_get(steps, i);
        bool sequence = wanted[i] != 's';
        const json_t *inner = json_object_get(step, sequence ? "Sequence" : "SpecialToken");
        const char *name = fov_reader_text(json_object_get(inner, "id"));
        const json_t *type = json_object_get(inner, "type_id");
        if (wanted[i] == 'B') type_wanted = type_b;
        if (!name || !json_is_integer(type) || json_integer_value(type) != type_wanted) return false;
        if (sequence) {
            if (name[0] != wanted[i] || name[1]) return false;
            continue;
        }
        const json_t *list = json_object_get(json_object_get(special, name), "ids"), *value = json_array_get(list, 0);
        if (json_array_size(list) != 1 || !json_is_integer(value)) return false;
        json_int_t *id = &ids[i ? 1 : 0];
        if (*id < 0) *id = json_integer_value(value);
        if (*id != json_integer_value(value)) return false;
    }
    return true;
}

static fov_status read_processor(const fov_reader *r) {
    const json_t *processor;
    fov_status status =
        section(r, "post_processor", "TemplateProcessing", r->bpe ? "RobertaProcessing" : "BertProcessing", &processor);
    if (status) return status;
    json_int_t ids[2] = {-1, -1};
    fov_tokenizer *t = r->tokenizer;
    if (strcmp(fov_reader_text(json_object_get(processor, "type")), "TemplateProcessing")) {
        if (!named_id(json_object_get(processor, "cls"), &ids[0])) return fov_reader_malformed(r, "post_processor.cls");
        if (!named_id(json_object_get(processor, "sep"), &ids[1])) return fov_reader_malformed(r, "post_processor.sep");
    } else {
        const json_t *special = json_object_get(processor, "special_tokens");
        if (!template_fits(json_object_get(processor, "single"), special, "sAs", 0, ids) ||
            !template_fits(json_object_get(processor, "pair"), special, r->bpe ? "sAssBs" : "sAsBs", !r->bpe, ids))
            return fov_reader_unsupported(r, "post_processor", "another template",
                                          r->bpe ? "<s> A </s></s> B </s>, all types 0" : "[CLS] A [SEP] with B:1 [SEP]:1");
    }
    t->pair_seps = r->bpe ? 2 : 1;
    t->pair_type = !r->bpe;
    const char *const names[] = {"CLS", "SEP"};
    for (int i = 0; i < 2; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= r->tokenizer->count || !r->tokenizer->pieces[ids[i]])
            return fov_fail(r->error, FOV_ERR_MISMATCH, r->where,
                            "post_processor's %s id %lld is not in the vocabulary; download the file again", names[i],
                            (long long)ids[i]);
    r->tokenizer->special.cls = (int32_t)ids[0];
    r->tokenizer->special.sep = (int32_t)ids[1];
    return FOV_OK;
}

static fov_status read_model(fov_reader *r) {
    const json_t *model;
    fov_status status = section(r, "model", "WordPiece", NULL, &model);
    if (status) return status;
    r->prefix = fov_reader_text(json_object_get(model, "continuing_subword_prefix"));
    if (!r->prefix) return fov_reader_malformed(r, "model.continuing_subword_prefix");
    const json_t *chars = json_object_get(model, "max_input_chars_per_word");
    json_int_t most = json_integer_value(chars);
    if (!json_is_integer(chars) || most < 0) return fov_reader_malformed(r, "model.max_input_chars_per_word");
    if (most > MOST_CHARS)
        return fov_fail(r->error, FOV_ERR_UNSUPPORTED, r->where, "model.max_input_chars_per_word is above %d; make it less",
                        MOST_CHARS);
    r->tokenizer->max_chars = (size_t)most;
    return fov_reader_vocabulary(r, model);
}

static fov_status read_unknown(const fov_reader *r) {
    const char *unk = fov_reader_text(json_object_get(json_object_get(r->root, "model"), "unk_token"));
    if (!unk) return fov_reader_malformed(r, "model.unk_token");
    r->tokenizer->special.unk = fov_tokenizer_find(r->tokenizer, unk, strlen(unk));
    r->tokenizer->special.pad = fov_reader_find(r->tokenizer, "[PAD]");
    r->tokenizer->special.mask = fov_reader_find(r->tokenizer, "[MASK]");
    if (r->tokenizer->special.unk >= 0) return FOV_OK;
    return fov_fail(r->error, FOV_ERR_MISMATCH, r->where,
                    "the vocabulary lacks the special token \"%.60s\"; download the file again", unk);
}

static fov_status check_truncation(const fov_reader *r) {
    const char *side = fov_reader_text(json_object_get(json_object_get(r->root, "truncation"), "direction"));
    return side && strcmp(side, "Right") ? fov_reader_unsupported(r, "truncation.direction", side, "\"Right\"") : FOV_OK;
}

static fov_status read_root(fov_reader *r) {
    const fov_allocator *allocator = r->tokenizer->allocator;
    const json_t *vocabulary = json_object_get(json_object_get(r->root, "model"), "vocab"), *pre;
    size_t most = fov_add(json_object_size(vocabulary), json_array_size(r->added));
    r->pieces = fov_alloc(allocator, fov_mul(most, sizeof *r->pieces));
    r->tokenizer->added = fov_alloc(allocator, fov_mul(json_array_size(r->added), sizeof *r->tokenizer->added));
    if (!r->pieces || !r->tokenizer->added)
        return fov_fail(r->error, FOV_ERR_MEMORY, r->where, "no memory for a vocabulary of %zu pieces" FOV_MEND_MEMORY, most);
    const char *model = fov_reader_text(json_object_get(json_object_get(r->root, "model"), "type"));
    r->bpe = model && !strcmp(model, "BPE");
    fov_status status = r->bpe ? fov_reader_bpe_settings(r) : read_normalizer(r);
    if (!status && !r->bpe) status = section(r, "pre_tokenizer", "BertPreTokenizer", NULL, &pre);
    if (!status) status = check_truncation(r);
    if (!status) status = r->bpe ? fov_reader_bpe_rules(r) : read_model(r);
    if (!status) status = fov_reader_added(r);
    if (!status) status = fov_tokenizer_set_pieces(r->tokenizer, r->pieces, r->count, r->extra, r->prefix, r->where, r->error);
    if (!status) status = fov_reader_check_added(r);
    if (!status) status = fov_reader_check_overlap(r);
    if (!status && r->bpe) fov_reader_bpe_special(r);
    if (!status && !r->bpe) status = read_unknown(r);
    if (!status) status = read_processor(r);
    if (!status) status = fov_added_index(r->tokenizer, r->where, r->error);
    if (!status && r->bpe) return fov_bpe_build(r->tokenizer, r->rules, r->rule_count, &r->options, r->where, r->error);
    if (!status) fov_words_prepare(r->tokenizer);
    return status;
}

fov_status fov_tokenizer_from_json(const char *text, size_t size, const char *where, const fov_allocator *allocator,
                                   fov_tokenizer **tokenizer, fov_error *error) {
    if (!tokenizer || (!text && size))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "a tokenizer argument is NULL; give text and place");
    json_error_t failure;
    json_t *root = json_loadb(text ? text : "", size, JSON_ALLOW_NUL, &failure);
    if (!root) return fov_fail(error, FOV_ERR_FORMAT, where, "line %d: %s" FOV_MEND_FILE, failure.line, failure.text);
    fov_reader r = {.tokenizer = fov_tokenizer_new(allocator), .root = root, .where = where, .error = error};
    fov_status status;
    r.added = json_object_get(root, "added_tokens");
    if (!r.tokenizer)
        status = fov_fail(error, FOV_ERR_MEMORY, where, "no memory for a tokenizer" FOV_MEND_MEMORY);
    else
        status = r.added && !json_is_array(r.added) ? fov_reader_malformed(&r, "added_tokens") : read_root(&r);
    json_decref(root);
    fov_release(allocator, r.pieces);
    fov_release(allocator, r.rules);
    if (status)
        fov_tokenizer_free(r.tokenizer);
    else
        *tokenizer = r.tokenizer;
    return status;
}
