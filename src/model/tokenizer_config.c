/* tokenizer_config.c: tokenizer_config.json: casing, the length limit and the special tokens. */
#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "model/config.h"

/* Larger limits are transformers' way of saying none (1e30). */
static const double absurd_length = 0x1p31;

/* A token is a string, or an object with its text in "content". */
static fov_status read_token(const fov_json *json, const char *key, char *token, size_t size) {
    const json_t *value = fov_json_get(json, key);
    if (!json_is_object(value)) return fov_json_text(json, key, token, size);
    const fov_json inner = {value, json->where, json->error};
    return fov_json_text(&inner, "content", token, size);
}

fov_status fov_tokenizer_config_parse(fov_tokenizer_config *config, const char *text, size_t size, const char *where,
                                      fov_error *error) {
    *config = (fov_tokenizer_config){.lower_case = -1, .strip_accents = -1, .chinese_chars = 1};
    json_t *root;
    fov_status status = fov_json_parse(&root, text, size, JSON_OBJECT, JSON_DECODE_INT_AS_REAL, where, error);
    if (status) return status;
    const fov_json json = {root, where, error};
    status = fov_json_bool(&json, "do_lower_case", &config->lower_case);
    if (!status) status = fov_json_bool(&json, "strip_accents", &config->strip_accents);
    if (!status) status = fov_json_bool(&json, "tokenize_chinese_chars", &config->chinese_chars);
    if (!status) status = fov_json_bool(&json, "add_prefix_space", &config->add_prefix_space);
    const json_t *length = fov_json_get(&json, "model_max_length");
    if (!status && !(json_is_number(length) && json_number_value(length) > absurd_length))
        status = fov_json_size(&json, "model_max_length", 1, (size_t)absurd_length, &config->max_length);
    if (!status) status = read_token(&json, "unk_token", config->unk, sizeof config->unk);
    if (!status) status = read_token(&json, "cls_token", config->cls, sizeof config->cls);
    if (!status) status = read_token(&json, "sep_token", config->sep, sizeof config->sep);
    if (!status) status = read_token(&json, "pad_token", config->pad, sizeof config->pad);
    if (!status) status = read_token(&json, "mask_token", config->mask, sizeof config->mask);
    json_decref(root);
    return status;
}

void fov_tokenizer_config_default(fov_tokenizer_config *config) {
    *config = (fov_tokenizer_config){.lower_case = -1,
                                     .strip_accents = -1,
                                     .chinese_chars = 1,
                                     .unk = "[UNK]",
                                     .cls = "[CLS]",
                                     .sep = "[SEP]",
                                     .pad = "[PAD]",
                                     .mask = "[MASK]"};
}
