/* config_labels.c: the label names of config.json: id2label, or label2id turned round, or "LABEL_i". One block holds the pointers
 * and behind them the text. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "model/config_private.h"

enum { MADE_NAME = 17 }; /* "LABEL_", ten digits, NUL */

/* The block's text, NULL when out of memory. */
static char *make_block(fov_config *config, size_t labels, size_t letters) {
    size_t pointers = fov_mul(labels, sizeof *config->label_names);
    config->label_names = fov_alloc_zero(config->allocator, fov_add(pointers, letters));
    if (!config->label_names) return NULL;
    config->labels = labels;
    return (char *)(config->label_names + labels);
}

static fov_status make_names(fov_config *config, size_t labels, const fov_json *json) {
    char *text = make_block(config, labels, fov_mul(labels, MADE_NAME));
    if (!text) return fov_fail(json->error, FOV_ERR_MEMORY, json->where, "out of memory for %zu labels" FOV_MEND_MEMORY, labels);
    for (size_t i = 0; i < labels; i++, text += MADE_NAME) {
        snprintf(text, MADE_NAME, "LABEL_%u", (unsigned)i);
        config->label_names[i] = text;
    }
    return FOV_OK;
}

/* The id that a canonical decimal key stands for, SIZE_MAX otherwise. */
static size_t key_id(const char *key) {
    size_t id = 0, digits = strspn(key, "0123456789");
    if (!digits || digits > 7 || key[digits] || (*key == '0' && digits > 1)) return SIZE_MAX;
    for (; *key; key++) id = id * 10 + (size_t)(*key - '0');
    return id;
}

static size_t value_id(const json_t *value) {
    double id = json_number_value(value);
    return json_is_number(value) && id >= 0 && id < FOV_MAX_LABELS && id == floor(id) ? (size_t)id : SIZE_MAX;
}

/* `reversed`: the map is label2id. Every id in [0, size) must occur once; with as many entries as ids, no gap is left. */
static fov_status read_map(fov_config *config, const json_t *map, bool reversed, const fov_json *json) {
    const char *what = reversed ? "label2id" : "id2label";
    json_t *object = (json_t *)(uintptr_t)map; /* jansson's iterators take no const */
    size_t labels = json_object_size(map), letters = 0;
    if (!json_is_object(map) || !labels || labels > FOV_MAX_LABELS)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\" must be an object of 1 to %d labels" FOV_MEND_FILE, what,
                        FOV_MAX_LABELS);
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const json_t *value = json_object_iter_value(i);
        if (!reversed && !json_is_string(value))
            return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                            "\"id2label\": the label of \"%.100s\" must be a string" FOV_MEND_FILE, json_object_iter_key(i));
        letters += (reversed ? strlen(json_object_iter_key(i)) : json_string_length(value)) + 1;
    }
    char *text = make_block(config, labels, letters);
    if (!text) return fov_fail(json->error, FOV_ERR_MEMORY, json->where, "out of memory for %zu labels" FOV_MEND_MEMORY, labels);
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i), *name = reversed ? key : json_string_value(json_object_iter_value(i));
        size_t id = reversed ? value_id(json_object_iter_value(i)) : key_id(key), length = strlen(name) + 1;
        if (id >= labels || config->label_names[id])
            return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                            "\"%s\": the ids must be 0 to %zu, each once; see \"%.100s\"" FOV_MEND_FILE, what, labels - 1, key);
        config->label_names[id] = memcpy(text, name, length);
        text += length;
    }
    return FOV_OK;
}

fov_status fov_config_read_labels(fov_config *config, const fov_json *json) {
    const json_t *forward = fov_json_get(json, "id2label"), *backward = fov_json_get(json, "label2id");
    if (forward || backward) return read_map(config, forward ? forward : backward, !forward, json);
    size_t labels = 2; /* as in transformers */
    fov_status status = fov_json_size(json, "num_labels", 1, FOV_MAX_LABELS, &labels);
    return status ? status : make_names(config, labels, json);
}
