/* safetensors_private.h: what safetensors.c (the set), safetensors_header.c (one file) and shards.c (a folder) share. */
#ifndef FOV_MODEL_SAFETENSORS_PRIVATE_H
#define FOV_MODEL_SAFETENSORS_PRIVATE_H

#include "core/mapfile.h"
#include "model/safetensors.h"

/* One file, or the memory block. */
typedef struct fov_shard {
    fov_mapfile map; /* data is NULL for a memory block */
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
/* Read and check the header of a file in memory; its tensors are appended to the list. map: zeros when nothing is to be unmapped;
 * it belongs to `tensors` from here on, also on failure. */
fov_status fov_tensors_add(fov_tensors *tensors, fov_mapfile map, const void *data, size_t size, const char *path,
                           fov_error *error);
/* Sort by name; refuse names that occur twice. */
fov_status fov_tensors_finish(fov_tensors *tensors, fov_error *error);

#endif
