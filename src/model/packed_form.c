/* packed_form.c: what the writer of a packed model and its readers agree on; see packed_form.h. */
#include "model/packed_form.h"

#include <string.h>

#include "core/hash.h"
#include "core/memory.h"

void fov_packed_form(fov_load_kind kind, fov_type type, size_t heads, size_t m, size_t k, fov_dtype stored, fov_tensor *form) {
    static const fov_dtype words[FOV_TYPES] = {FOV_F32, FOV_BF16, FOV_I8};
    *form = (fov_tensor){.dtype = kind == FOV_LOAD_TABLE ? stored : FOV_F32, .dims = k ? 2 : 1, .shape = {m, k}};
    if (kind != FOV_LOAD_MATRIX && kind != FOV_LOAD_HEADS) return;
    const size_t groups = kind == FOV_LOAD_HEADS ? heads : 1;
    *form = (fov_tensor){.dtype = words[type],
                         .dims = type == FOV_TYPE_F32 ? 3 : 4,
                         .shape = {fov_mul(groups, fov_panels(m / groups)), fov_words(type, k), FOV_PANEL, (size_t)1 << type}};
}

uint64_t fov_packed_checksum(const char *name, const void *data, size_t bytes) {
    return fov_hash_bytes(fov_hash_bytes(0, name, strlen(name)), data, bytes);
}
