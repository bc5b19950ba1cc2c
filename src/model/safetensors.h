/* safetensors.h: named tensors of a checkpoint: one file, a sharded index, or a memory block. */
#ifndef FOV_MODEL_SAFETENSORS_H
#define FOV_MODEL_SAFETENSORS_H

#include "core/memory.h"

typedef enum fov_dtype {
    FOV_F32,
    FOV_F16,
    FOV_BF16,
    FOV_F64,
    FOV_I64,
    FOV_I32,
    FOV_I16,
    FOV_I8,
    FOV_U8,
    FOV_BOOL,
    FOV_F8, /* either 8-bit float */
    FOV_U16,
    FOV_U32,
    FOV_U64
} fov_dtype;

enum { FOV_MAX_DIMS = 8 };

typedef struct fov_tensor {
    const char *name;
    fov_dtype dtype;
    unsigned dims;
    size_t shape[FOV_MAX_DIMS];
    size_t count;     /* elements */
    const void *data; /* of a memory block; any alignment; NULL: in a file */
    size_t bytes;
    size_t place;     /* of the first byte in its file or block */
    size_t shard;     /* which file */
    const char *file; /* its name, for messages */
} fov_tensor;

typedef struct fov_tensors fov_tensors;

const char *fov_dtype_name(fov_dtype dtype); /* "F32", ... */
size_t fov_dtype_size(fov_dtype dtype);

/* Open FOLDER/model.safetensors, or else all shards of FOLDER/model.safetensors.index.json. Every header is checked: length, JSON,
 * known dtype, shape product, offsets inside, not overlapping, without holes; no duplicate names. One clear error otherwise. A
 * folder with only pytorch_model.bin says how to convert it. */
fov_status fov_tensors_open(const char *folder, const fov_allocator *allocator, fov_tensors **tensors, fov_error *error);
/* The same on a borrowed memory block. `label` stands for the file in messages. */
fov_status fov_tensors_open_memory(const void *data, size_t size, const char *label, const fov_allocator *allocator,
                                   fov_tensors **tensors, fov_error *error);
void fov_tensors_close(fov_tensors *tensors);

size_t fov_tensors_count(const fov_tensors *tensors);
const fov_tensor *fov_tensors_at(const fov_tensors *tensors, size_t index);       /* sorted by name */
const fov_tensor *fov_tensors_find(const fov_tensors *tensors, const char *name); /* NULL when absent */
/* `size` bytes of a tensor from its byte `first` on into out. Threads may share the set. FOV_ERR_IO when its file cannot be read or
 * has become shorter. */
fov_status fov_tensors_read(const fov_tensors *tensors, const fov_tensor *tensor, size_t first, size_t size, void *out,
                            fov_error *error);
/* All is read: close the files. FOV_ERR_IO when one of them was written to since it was opened. */
fov_status fov_tensors_settle(fov_tensors *tensors, fov_error *error);

#endif
