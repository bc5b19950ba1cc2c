/* safetensors_private.h: what safetensors.c (the set), safetensors_header.c (one file), dtype.c and shards.c (a folder) share. */
#ifndef FOV_MODEL_SAFETENSORS_PRIVATE_H
#define FOV_MODEL_SAFETENSORS_PRIVATE_H

#include "core/file.h"
#include "model/safetensors.h"

/* One file, or the memory block. */
typedef struct fov_shard {
    fov_file file; /* closed for a memory block */
    char *path;
    char *names; /* of its tensors, each NUL-terminated */
} fov_shard;

struct fov_tensors {
    fov_allocator allocator;
    fov_tensor *list;
    size_t count;
    fov_shard *shards;
    size_t shard_count; /* of those filled */
};

/* The dtype a header's word means; false when unknown. */
bool fov_dtype_parse(const char *name, fov_dtype *dtype);
/* An empty set with room for `shards` shards. */
fov_status fov_tensors_create(fov_tensors **tensors, size_t shards, const fov_allocator *allocator, fov_error *error);
/* Open a file, read and check its header; its tensors are appended to the list. */
fov_status fov_tensors_add(fov_tensors *tensors, const char *path, fov_error *error);
/* The same with a borrowed block; `path` stands for it in messages. */
fov_status fov_tensors_add_memory(fov_tensors *tensors, const void *data, size_t size, const char *path, fov_error *error);
/* Sort by name; refuse names that occur twice. */
fov_status fov_tensors_finish(fov_tensors *tensors, fov_error *error);

#endif
