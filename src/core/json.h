/* json.h: jansson with this library's errors: parsing of bounded text and typed getters. Used while loading only. */
#ifndef FOV_CORE_JSON_H
#define FOV_CORE_JSON_H

#include <jansson.h>

#include "foveate/foveate.h"

enum { FOV_MAX_JSON = 100000000 }; /* bytes of one document */

/* Parse `size` bytes. `type` is the JSON_OBJECT or JSON_ARRAY the document must be. FOV_ERR_FORMAT gives line and column, refuses
 * duplicate keys, bytes that are not UTF-8, "\u0000", and more than FOV_MAX_JSON bytes. flags: 0, or JSON_DECODE_INT_AS_REAL where
 * integers beyond 64 bits may occur. The caller releases *root with json_decref. */
fov_status fov_json_parse(json_t **root, const char *text, size_t size, json_type type, size_t flags, const char *where,
                          fov_error *error);
/* The same from a file. */
fov_status fov_json_read(json_t **root, const char *path, json_type type, size_t flags, fov_error *error);

/* An object and the place its errors name. */
typedef struct fov_json {
    const json_t *object;
    const char *where;
    fov_error *error;
} fov_json;

/* Each getter leaves *value alone when the key is absent or null, and fails with FOV_ERR_FORMAT, naming the key, when the value has
 * another type or is out of bounds (inclusive; size: a whole number, high <= 2^53). text: at most size - 1 bytes. */
fov_status fov_json_size(const fov_json *json, const char *key, size_t low, size_t high, size_t *value);
fov_status fov_json_double(const fov_json *json, const char *key, double low, double high, double *value);
fov_status fov_json_bool(const fov_json *json, const char *key, int *value);
fov_status fov_json_text(const fov_json *json, const char *key, char *value, size_t size);
/* The value of a key, NULL when absent or null. */
const json_t *fov_json_get(const fov_json *json, const char *key);
/* "a string", "an object", ... */
const char *fov_json_kind(const json_t *value);

#endif
