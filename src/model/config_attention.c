/* config_attention.c: the attention a checkpoint was trained with, as a method string.
 *
 *     {"method": "fastmax", "p": 2, "normalize": "standardize"}               fastmax:p=2,normalize=standardize
 *     {"method": "yoso", "hash_code_len": 8, "use_expectation": true}         yoso:tau=8
 *     {"method": "yoso", "hash_code_len": 8, "use_expectation": false, "num_hash": 32}    yoso:tau=8,m=32
 *     "model_type": "yoso", "hash_code_len": 9, ...                             yoso:tau=9
 *     "attention_window": [256, 256, ...]                                     window:w=256
 *
 * Names and parameters are not judged: the session, which knows the methods, rejects what it does not know by name. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "model/config_private.h"

/* A growing method string. */
typedef struct method {
    char *text;
    size_t size, used;
    unsigned params;
} method;

static bool append(method *m, const char *text) {
    size_t length = strlen(text);
    if (length >= m->size - m->used) return false;
    memcpy(m->text + m->used, text, length + 1);
    m->used += length;
    return true;
}

static bool append_param(method *m, const char *key, const char *value) {
    return append(m, m->params++ ? "," : ":") && append(m, key) && append(m, "=") && append(m, value);
}

/* Words that keep a method string readable by its parser. */
static bool plain(const char *text) {
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return length && !text[length];
}

static bool print_value(const json_t *value, char *text, size_t size) {
    if (json_is_number(value)) return snprintf(text, size, "%.10g", json_number_value(value)) > 0;
    if (json_is_boolean(value)) return snprintf(text, size, "%s", json_is_true(value) ? "true" : "false") > 0;
    if (!json_is_string(value) || json_string_length(value) >= size) return false;
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return plain(text);
}

/* YOSO has two forms and the file's keys are Hugging Face's: see the table above. */
static const char *yoso_key(const char *key, bool expectation) {
    if (!strcmp(key, "hash_code_len")) return "tau";
    if (!strcmp(key, "num_hash")) return expectation ? NULL : "m";
    return strcmp(key, "use_expectation") ? key : NULL;
}

static fov_status read_object(method *m, const json_t *object, const fov_json *json) {
    json_t *entries = (json_t *)(uintptr_t)object; /* jansson's iterators take no const */
    const fov_json inner = {object, json->where, json->error};
    char name[64] = "", value[64];
    fov_status status = fov_json_text(&inner, "method", name, sizeof name);
    if (status) return status;
    if (!plain(name))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                        "\"attention\" needs a \"method\": a word, such as \"yoso\"" FOV_MEND_FILE);

    const bool yoso = !strcmp(name, "yoso");
    int expectation = 1;
    if (yoso) status = fov_json_bool(&inner, "use_expectation", &expectation);
    if (status) return status;
    if (yoso && !expectation && !fov_json_get(&inner, "num_hash"))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                        "\"attention\": yoso without use_expectation needs \"num_hash\"" FOV_MEND_FILE);

    bool fits = append(m, name);
    for (void *i = json_object_iter(entries); i; i = json_object_iter_next(entries, i)) {
        const char *key = json_object_iter_key(i);
        if (!strcmp(key, "method") || json_is_null(json_object_iter_value(i))) continue;
        const char *param = yoso ? yoso_key(key, expectation) : key;
        if (!param) continue;
        if (!plain(param) || !print_value(json_object_iter_value(i), value, sizeof value))
            return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                            "\"attention\": \"%.60s\" must be a number, a boolean or a word" FOV_MEND_FILE, key);
        fits = fits && append_param(m, param, value);
    }
    return fits ? FOV_OK
                : fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"attention\" has too many parameters" FOV_MEND_FILE);
}

/* attention_window: one number, or one per layer, all the same. */
static fov_status read_window(fov_config *config, const json_t *window, const fov_json *json) {
    const size_t entries = json_is_array(window) ? json_array_size(window) : 1;
    if (json_is_array(window) && entries != config->layers)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                        "\"attention_window\" has %zu entries for %zu layers" FOV_MEND_FILE, entries, config->layers);
    double first = 0;
    for (size_t i = 0; i < entries; i++) {
        const json_t *entry = json_is_array(window) ? json_array_get(window, i) : window;
        double w = json_is_number(entry) ? json_number_value(entry) : 0;
        if (!(w >= 1 && w <= 0x1p31) || w != floor(w))
            return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                            "\"attention_window\" must hold whole numbers from 1 to 2^31" FOV_MEND_FILE);
        if (!i) first = w;
        if (w < first || w > first)
            return fov_fail(json->error, FOV_ERR_UNSUPPORTED, json->where,
                            "\"attention_window\" differs between layers (%.0f and %.0f), only one for all is supported; give "
                            "another checkpoint",
                            first, w);
    }
    snprintf(config->attention, sizeof config->attention, "window:w=%.0f", first);
    return FOV_OK;
}

/* YosoModel's own keys, with Hugging Face's defaults. Its position table has two rows more than max_position_embeddings. */
static fov_status read_yoso_model(fov_config *config, const fov_json *json) {
    size_t tau = 9, hashes = 64;
    int expectation = 1, fast = 1;
    fov_status status = fov_json_size(json, "hash_code_len", 1, 24, &tau);
    if (!status) status = fov_json_size(json, "num_hash", 1, 65536, &hashes);
    if (!status) status = fov_json_bool(json, "use_expectation", &expectation);
    if (!status) status = fov_json_bool(json, "use_fast_hash", &fast);
    if (expectation)
        snprintf(config->attention, sizeof config->attention, "yoso:tau=%zu", tau);
    else
        snprintf(config->attention, sizeof config->attention, "yoso:tau=%zu,m=%zu,hash=%s", tau, hashes,
                 fast ? "hadamard" : "gaussian");
    config->positions += 2;
    return status;
}

fov_status fov_config_read_attention(fov_config *config, const fov_json *json) {
    if (!strcmp(config->model_type, "yoso")) return read_yoso_model(config, json);
    const json_t *object = fov_json_get(json, "attention"), *window = fov_json_get(json, "attention_window");
    if (object && window)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                        "\"attention\" and \"attention_window\" exclude each other" FOV_MEND_FILE);
    if (window) return read_window(config, window, json);
    if (!object) return FOV_OK;
    if (!json_is_object(object))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"attention\" is %s; it must be an object",
                        fov_json_kind(object));
    method m = {.text = config->attention, .size = sizeof config->attention};
    return read_object(&m, object, json);
}
