/* json.c: see json.h. */
#include "core/json.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/status.h"

const char *fov_json_kind(const json_t *value) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

static fov_status too_long(size_t size, const char *where, fov_error *error) {
    return fov_fail(error, FOV_ERR_FORMAT, where, "%zu bytes of JSON are more than %d; is this the right file?", size,
                    FOV_MAX_JSON);
}

/* What the parser made, or why not. Takes over `tree`. */
static fov_status accept(json_t **root, json_t *tree, const json_error_t *reason, json_type type, const char *where,
                         fov_error *error) {
    if (!tree && json_error_code(reason) == json_error_out_of_memory)
        return fov_fail(error, FOV_ERR_MEMORY, where, "out of memory while parsing JSON; free some");
    if (!tree)
        return fov_fail(error, FOV_ERR_FORMAT, where, "bad JSON at line %d, column %d: %s; mend it, or download the file again",
                        reason->line, reason->column, reason->text);
    if (json_typeof(tree) == type) {
        *root = tree;
        return FOV_OK;
    }
    fov_status status = fov_fail(error, FOV_ERR_FORMAT, where, "the JSON document is %s; %s is needed", fov_json_kind(tree),
                                 type == JSON_ARRAY ? "an array" : "an object");
    json_decref(tree);
    return status;
}

fov_status fov_json_parse(json_t **root, const char *text, size_t size, json_type type, size_t flags, const char *where,
                          fov_error *error) {
    *root = NULL;
    if (size > FOV_MAX_JSON) return too_long(size, where, error);
    json_error_t reason;
    json_t *tree = json_loadb(size ? text : "", size, JSON_REJECT_DUPLICATES | flags, &reason);
    return accept(root, tree, &reason, type, where, error);
}

/* A file being read by the parser. */
typedef struct source {
    fov_file file;
    size_t at;
    const char *path;
    fov_status status;
    fov_error *error;
} source;

static size_t pull(void *buffer, size_t size, void *context) {
    source *s = context;
    if (size > s->file.size - s->at) size = s->file.size - s->at;
    s->status = fov_file_read(&s->file, s->at, size, buffer, s->path, s->error);
    s->at += size;
    return s->status ? SIZE_MAX : size;
}

fov_status fov_json_read(json_t **root, const char *path, json_type type, size_t flags, fov_error *error) {
    *root = NULL;
    source s = {.path = path, .error = error};
    s.status = fov_file_open(&s.file, path, error);
    if (s.status) return s.status;
    json_error_t reason;
    json_t *tree = NULL;
    if (s.file.size > FOV_MAX_JSON)
        s.status = too_long(s.file.size, path, error);
    else
        tree = json_load_callback(pull, &s, JSON_REJECT_DUPLICATES | flags, &reason);
    if (!s.status) s.status = fov_file_unchanged(&s.file, path, error);
    fov_file_close(&s.file);
    if (!s.status) return accept(root, tree, &reason, type, path, error);
    json_decref(tree);
    return s.status;
}

const json_t *fov_json_get(const fov_json *json, const char *key) {
    const json_t *value = json_object_get(json->object, key);
    return json_is_null(value) ? NULL : value;
}

static fov_status wrong_type(const fov_json *json, const char *key, const json_t *value, const char *needed) {
    return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\" is %s; it must be %s", key, fov_json_kind(value), needed);
}

fov_status fov_json_size(const fov_json *json, const char *key, size_t low, size_t high, size_t *value) {
    const json_t *found = fov_json_get(json, key);
    if (!found) return FOV_OK;
    if (!json_is_number(found)) return wrong_type(json, key, found, "a whole number");
    double number = json_number_value(found);
    if (!(number >= (double)low && number <= (double)high) || number != floor(number))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\" is %.17g; it must be a whole number from %zu to %zu", key,
                        number, low, high);
    *value = (size_t)number;
    return FOV_OK;
}

fov_status fov_json_double(const fov_json *json, const char *key, double low, double high, double *value) {
    const json_t *found = fov_json_get(json, key);
    if (!found) return FOV_OK;
    if (!json_is_number(found)) return wrong_type(json, key, found, "a number");
    double number = json_number_value(found);
    if (!(number >= low && number <= high))
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\" is %.17g; it must be from %g to %g", key, number, low,
                        high);
    *value = number;
    return FOV_OK;
}

fov_status fov_json_bool(const fov_json *json, const char *key, int *value) {
    const json_t *found = fov_json_get(json, key);
    if (!found) return FOV_OK;
    if (!json_is_boolean(found)) return wrong_type(json, key, found, "true or false");
    *value = json_is_true(found);
    return FOV_OK;
}

fov_status fov_json_text(const fov_json *json, const char *key, char *value, size_t size) {
    const json_t *found = fov_json_get(json, key);
    if (!found) return FOV_OK;
    if (!json_is_string(found)) return wrong_type(json, key, found, "a string");
    size_t length = json_string_length(found);
    if (length >= size)
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\" has %zu bytes, more than %zu" FOV_MEND_FILE, key, length,
                        size - 1);
    memcpy(value, json_string_value(found), length + 1);
    return FOV_OK;
}
