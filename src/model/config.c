/* config.c: config.json of a Hugging Face checkpoint. Numbers and names only: whether the architecture can be run is judged where
 * the model is put together. Labels: config_labels.c; attention: config_attention.c. */
#include "model/config.h"

#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "model/config_private.h"

static const size_t max_value = (size_t)1 << 31;

/* A number under its BERT or its DistilBERT name. */
typedef struct field {
    const char *name, *other; /* other may be NULL */
    size_t low;
    bool required;
    size_t offset;
} field;

static const field fields[] = {
    {"hidden_size", "dim", 1, true, offsetof(fov_config, width)},
    {"num_hidden_layers", "n_layers", 1, true, offsetof(fov_config, layers)},
    {"num_attention_heads", "n_heads", 1, true, offsetof(fov_config, heads)},
    {"intermediate_size", "hidden_dim", 1, true, offsetof(fov_config, ffn_width)},
    {"vocab_size", NULL, 1, true, offsetof(fov_config, vocabulary)},
    {"max_position_embeddings", NULL, 1, true, offsetof(fov_config, positions)},
    {"type_vocab_size", NULL, 0, false, offsetof(fov_config, types)},
    {"pad_token_id", NULL, 0, false, offsetof(fov_config, pad_id)},
};

static fov_status read_field(fov_config *config, const field *f, const fov_json *json) {
    const char *name = f->other && !fov_json_get(json, f->name) ? f->other : f->name;
    size_t *value = (size_t *)(void *)((char *)config + f->offset);
    if (f->required && !fov_json_get(json, name))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\"%s%s%s is missing" FOV_MEND_FILE, f->name,
                        f->other ? " (or \"" : "", f->other ? f->other : "", f->other ? "\")" : "");
    return fov_json_size(json, name, f->low, max_value, value);
}

static fov_status read_architecture(fov_config *config, const fov_json *json) {
    const json_t *list = fov_json_get(json, "architectures");
    if (!list) return FOV_OK;
    const json_t *first = json_array_get(list, 0);
    if (!json_is_array(list) || (first && !json_is_string(first)))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"architectures\" must be an array of strings" FOV_MEND_FILE);
    if (!first) return FOV_OK;
    if (json_string_length(first) >= sizeof config->architecture)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                        "\"architectures\": a name of %zu bytes is too long" FOV_MEND_FILE, json_string_length(first));
    memcpy(config->architecture, json_string_value(first), json_string_length(first) + 1);
    return FOV_OK;
}

static fov_status read_texts(fov_config *config, const fov_json *json) {
    const char *activation = fov_json_get(json, "hidden_act") ? "hidden_act" : "activation";
    strcpy(config->activation, "gelu");
    strcpy(config->position_type, "absolute");
    fov_status status = fov_json_text(json, "model_type", config->model_type, sizeof config->model_type);
    if (!status) status = fov_json_text(json, activation, config->activation, sizeof config->activation);
    if (!status) status = fov_json_text(json, "position_embedding_type", config->position_type, sizeof config->position_type);
    if (!status) status = fov_json_text(json, "problem_type", config->problem_type, sizeof config->problem_type);
    if (!status) status = read_architecture(config, json);
    return status;
}

static fov_status read_numbers(fov_config *config, const fov_json *json) {
    if (!strcmp(config->model_type, "roberta")) config->pad_id = 1; /* where the file leaves it out */
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        fov_status status = read_field(config, &fields[i], json);
        if (status) return status;
    }
    if (config->width % config->heads)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "%zu heads do not divide the width %zu" FOV_MEND_FILE,
                        config->heads, config->width);
    if (config->pad_id >= config->vocabulary)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where,
                        "\"pad_token_id\" %zu is outside the vocabulary of %zu" FOV_MEND_FILE, config->pad_id, config->vocabulary);
    config->norm_eps = 1e-12;
    return fov_json_double(json, "layer_norm_eps", 0, 1, &config->norm_eps);
}

fov_status fov_config_parse(fov_config *config, const char *text, size_t size, const char *where, const fov_allocator *allocator,
                            fov_error *error) {
    *config = (fov_config){.allocator = fov_allocator_or_default(allocator)};
    json_t *root;
    fov_status status = fov_json_parse(&root, text, size, JSON_OBJECT, JSON_DECODE_INT_AS_REAL, where, error);
    if (status) return status;
    const fov_json json = {root, where, error};
    status = read_texts(config, &json);
    if (!status) status = read_numbers(config, &json);
    if (!status) status = fov_config_read_attention(config, &json);
    if (!status) status = fov_config_read_labels(config, &json);
    json_decref(root);
    if (status) fov_config_free(config);
    return status;
}

void fov_config_free(fov_config *config) {
    if (config->label_names) fov_release(config->allocator, (void *)config->label_names);
    config->label_names = NULL;
    config->labels = 0;
}
