/* json_bpe.c: the parts of tokenizer.json that are another for byte-level BPE: no normalizer, ByteLevel, BPE; see json.c. */
#include <string.h>

#include "core/status.h"
#include "token/json_reader.h"

/* A key that must be absent, null or `usual`. */
static fov_status only_text(const fov_reader *r, const json_t *model, const char *name, const char *usual) {
    const json_t *value = json_object_get(model, name);
    if (!value || json_is_null(value)) return FOV_OK;
    const char *text = fov_reader_text(value);
    if (!text) return fov_reader_malformed(r, name);
    return strcmp(text, usual) ? fov_reader_unsupported(r, name, text, *usual ? usual : "an empty one") : FOV_OK;
}

/* A boolean that may be absent. */
static fov_status optional_bool(const fov_reader *r, const json_t *object, const char *name, int *out) {
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value) ? fov_reader_bool(r, object, name, out) : FOV_OK;
}

fov_status fov_reader_bpe_settings(fov_reader *r) {
    const json_t *normalizer = json_object_get(r->root, "normalizer"), *pre = json_object_get(r->root, "pre_tokenizer");
    const char *type = fov_reader_text(json_object_get(normalizer, "type"));
    if (normalizer && !json_is_null(normalizer))
        return fov_reader_unsupported(r, "normalizer of a BPE model", type ? type : "?", "null");
    type = fov_reader_text(json_object_get(pre, "type"));
    if (!type || strcmp(type, "ByteLevel"))
        return fov_reader_unsupported(r, "pre_tokenizer of a BPE model", type ? type : "?", "ByteLevel");
    int regex = 1;
    fov_status status = fov_reader_bool(r, pre, "add_prefix_space", &r->options.add_prefix_space);
    if (!status) status = optional_bool(r, pre, "use_regex", &regex);
    if (status) return status;
    return regex ? FOV_OK : fov_reader_unsupported(r, "pre_tokenizer.use_regex", "false", "true");
}

bool fov_bpe_rule_parse(const char *line, size_t size, fov_bpe_rule *rule) {
    const char *blank = memchr(line, ' ', size);
    if (!blank || blank == line || blank + 1 == line + size) return false;
    *rule = (fov_bpe_rule){line, blank + 1, (size_t)(blank - line), size - (size_t)(blank - line) - 1};
    return !memchr(rule->right, ' ', rule->right_size);
}

/* "a b" of old files, ["a", "b"] of new ones. */
static bool read_rule(const json_t *entry, fov_bpe_rule *rule) {
    if (json_is_string(entry)) return fov_bpe_rule_parse(json_string_value(entry), json_string_length(entry), rule);
    const char *left = fov_reader_text(json_array_get(entry, 0)), *right = fov_reader_text(json_array_get(entry, 1));
    if (json_array_size(entry) != 2 || !left || !right || !*left || !*right) return false;
    *rule = (fov_bpe_rule){left, right, strlen(left), strlen(right)};
    return true;
}

fov_status fov_reader_bpe_rules(fov_reader *r) {
    const json_t *model = json_object_get(r->root, "model"), *dropout = json_object_get(model, "dropout");
    int fuse = 0, fallback = 0;
    fov_status status = only_text(r, model, "continuing_subword_prefix", "");
    if (!status) status = only_text(r, model, "end_of_word_suffix", "");
    if (!status) status = optional_bool(r, model, "fuse_unk", &fuse);
    if (!status) status = optional_bool(r, model, "byte_fallback", &fallback);
    if (!status) status = optional_bool(r, model, "ignore_merges", &r->options.ignore_merges);
    if (status) return status;
    if (fuse) return fov_reader_unsupported(r, "model.fuse_unk", "true", "false");
    if (fallback) return fov_reader_unsupported(r, "model.byte_fallback", "true", "false");
    if (json_is_number(dropout) ? json_number_value(dropout) != 0 : dropout && !json_is_null(dropout))
        return fov_reader_unsupported(r, "model.dropout", "set", "null");
    status = fov_reader_vocabulary(r, model);
    if (status) return status;
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_array(merges)) return fov_reader_malformed(r, "model.merges");
    r->rule_count = json_array_size(merges);
    r->rules = fov_alloc(r->tokenizer->allocator, fov_mul(r->rule_count, sizeof *r->rules));
    if (!r->rules) return fov_fail(r->error, FOV_ERR_MEMORY, r->where, "no memory for %zu merges" FOV_MEND_MEMORY, r->rule_count);
    for (size_t i = 0; i < r->rule_count; i++)
        if (!read_rule(json_array_get(merges, i), &r->rules[i]))
            return fov_fail(r->error, FOV_ERR_FORMAT, r->where, "model.merges: entry %zu is not two pieces" FOV_MEND_FILE, i + 1);
    return FOV_OK;
}

void fov_reader_bpe_special(fov_reader *r) {
    const char *unk = fov_reader_text(json_object_get(json_object_get(r->root, "model"), "unk_token"));
    fov_special_ids *special = &r->tokenizer->special;
    r->options.unknown = unk ? fov_tokenizer_find(r->tokenizer, unk, strlen(unk)) : -1;
    special->unk = fov_reader_find(r->tokenizer, unk ? unk : "<unk>");
    special->pad = fov_reader_find(r->tokenizer, "<pad>");
    special->mask = fov_reader_find(r->tokenizer, "<mask>");
}
