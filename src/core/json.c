/* json.c: see json.h. */
#include "core/json.h"

#include <math.h>
#include <string.h>

#include "core/mapfile.h"
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

fov_status fov_json_parse(json_t **root, const char *text, size_t size, json_type type, size_t flags, const char *where,
                          fov_error *error) {
    *root = NULL;
    if (size > FOV_MAX_JSON)
        return fov_fail(error, FOV_ERR_FORMAT, where, "%zu bytes of JSON are more than %d", size, FOV_MAX_JSON);
    json_error_t reason;
    json_t *tree = json_loadb(size ? text : "", size, JSON_REJECT_DUPLICATES | flags, &reason);
    if (!tree && json_error_code(&reason) == json_error_out_of_memory)
        return fov_fail(error, FOV_ERR_MEMORY, where, "out of memory while parsing JSON");
    if (!tree)
        return fov_fail(error, FOV_ERR_FORMAT, where, "bad JSON at line %d, column %d: %s", reason.line, reason.column,
                        reason.text);
    if (json_typeof(tree) != type) {
        fov_status status = fov_fail(error, FOV_ERR_FORMAT, where, "the JSON document is %s; %s is needed", fov_json_kind(tree),
                                     type == JSON_ARRAY ? "an array" : "an object");
        json_decref(tree);
        return status;
    }
    *root = tree;
    return FOV_OK;
}

fov_status fov_json_read(json_t **root, const char *path, json_type type, size_t flags, fov_error *error) {
    *root = NULL;
    fov_mapfile file;
    fov_status status = fov_mapfile_open(&file, path, error);
    if (!status) status = fov_json_parse(root, file.data, file.size, type, flags, path, error);
    fov_mapfile_close(&file);
    return status;
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
        return fov_fail(json->error, FOV_ERR_FORMAT, json->where, "\"%s\" has %zu bytes, more than %zu", key, length, size - 1);
    memcpy(value, json_string_value(found), length + 1);
    return FOV_OK;
}
