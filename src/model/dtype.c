/* dtype.c: the types of numbers that a safetensors header names. */
#include <string.h>

#include "model/safetensors_private.h"

static const struct {
    const char *name;
    fov_dtype dtype;
    size_t size;
} dtypes[] = {
    {"F32", FOV_F32, 4}, {"F16", FOV_F16, 2},   {"BF16", FOV_BF16, 2},  {"F64", FOV_F64, 8},
    {"I64", FOV_I64, 8}, {"I32", FOV_I32, 4},   {"I16", FOV_I16, 2},    {"I8", FOV_I8, 1},
    {"U8", FOV_U8, 1},   {"BOOL", FOV_BOOL, 1}, {"F8", FOV_F8, 1},      {"U16", FOV_U16, 2},
    {"U32", FOV_U32, 4}, {"U64", FOV_U64, 8},   {"F8_E4M3", FOV_F8, 1}, {"F8_E5M2", FOV_F8, 1},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

const char *fov_dtype_name(fov_dtype dtype) {
    for (size_t i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    return "unknown";
}

size_t fov_dtype_size(fov_dtype dtype) {
    for (size_t i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].size;
    return 0;
}

bool fov_dtype_parse(const char *name, fov_dtype *dtype) {
    for (size_t i = 0; i < DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) || !strcmp(name, "F8")) continue; /* "F8" is this library's word, not the format's */
        *dtype = dtypes[i].dtype;
        return true;
    }
    return false;
}
