/* loader.h: what weights.c (the walk over the names), loader.c (one tensor) and weights_pack.c (its values) share. */
#ifndef FOV_MODEL_LOADER_H
#define FOV_MODEL_LOADER_H

#include <stdio.h>

#include "core/memory.h"
#include "model/model.h"

#define FOV_MEND_CHECKPOINT "give config.json and weights of one checkpoint"

/* A walk. After a failure, told by status, what it takes is NULL. */
typedef struct fov_loader {
    struct fov_model *model;
    fov_arena *arena;
    fov_load_item *items; /* NULL in the first pass */
    size_t count;
    size_t mapped; /* bytes that are used where they are */
    fov_type type; /* of the matrices that come now */
    fov_status status;
    fov_error *error;
} fov_loader;

/* `name` with the architecture's prefix, or without; NULL when absent both ways. */
const fov_tensor *fov_loader_find(const fov_loader *loader, const char *name);
/* base + ".weight" or ".bias"; layer norms of old checkpoints say gamma and beta. */
const fov_tensor *fov_loader_find_part(const fov_loader *loader, const char *base, const char *part);
/* The place of a tensor that was looked for as `name`, of shape [m, k], k 0: [m]. */
float *fov_loader_take(fov_loader *loader, const fov_tensor *tensor, const char *name, fov_load_kind kind, size_t m, size_t k);
/* The same of a tensor whose shape the caller has judged. */
float *fov_loader_take_any_shape(fov_loader *loader, const fov_tensor *tensor);
/* [m] of `dtype`, 4 bytes each, beside the matrix `tensor` of int8. */
void *fov_loader_take_beside(fov_loader *loader, const fov_tensor *tensor, const char *part, fov_dtype dtype, size_t m);
/* A table read row by row at run time: copied from its file as it is; left where it is in a memory block. */
fov_tensor fov_loader_table(fov_loader *loader, const char *base, size_t rows, size_t columns);

/* "file: name" for messages. */
static inline const char *fov_tensor_where(const fov_tensor *t, char *text, size_t size) {
    snprintf(text, size, "%s: %s", t->file, t->name);
    return text;
}

#endif
