/* safetensors.c: the set of named tensors that the headers (safetensors_header.c) of one or more files (shards.c) gave. */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "model/safetensors_private.h"

static int by_name(const void *a, const void *b) {
    return strcmp(((const fov_tensor *)a)->name, ((const fov_tensor *)b)->name);
}

fov_status fov_tensors_create(fov_tensors **tensors, size_t shards, const fov_allocator *allocator, fov_error *error) {
    allocator = fov_allocator_or_default(allocator);
    fov_tensors *made = fov_alloc_zero(allocator, sizeof *made);
    fov_shard *room = fov_alloc_zero(allocator, fov_mul(shards, sizeof *room));
    if (!made || !room) {
        fov_release(allocator, made);
        fov_release(allocator, room);
        return fov_fail(error, FOV_ERR_MEMORY, NULL, "out of memory for %zu weight files" FOV_MEND_MEMORY, shards);
    }
    *made = (fov_tensors){.allocator = *allocator, .shards = room};
    *tensors = made;
    return FOV_OK;
}

fov_status fov_tensors_finish(fov_tensors *tensors, fov_error *error) {
    if (tensors->count) qsort(tensors->list, tensors->count, sizeof *tensors->list, by_name);
    for (size_t i = 1; i < tensors->count; i++) {
        const fov_tensor *a = &tensors->list[i - 1], *b = &tensors->list[i];
        if (!strcmp(a->name, b->name))
            return fov_fail(error, FOV_ERR_FORMAT, b->file, "tensor \"%.120s\": also found in another file, %.120s" FOV_MEND_FILE,
                            b->name, a->file);
    }
    return FOV_OK;
}

fov_status fov_tensors_open_memory(const void *data, size_t size, const char *label, const fov_allocator *allocator,
                                   fov_tensors **tensors, fov_error *error) {
    *tensors = NULL;
    fov_tensors *made = NULL;
    fov_status status = fov_tensors_create(&made, 1, allocator, error);
    if (status) return status;
    status = fov_tensors_add_memory(made, data, size, label ? label : "memory", error);
    if (!status) status = fov_tensors_finish(made, error);
    if (status)
        fov_tensors_close(made);
    else
        *tensors = made;
    return status;
}

void fov_tensors_close(fov_tensors *tensors) {
    if (!tensors) return;
    fov_allocator allocator = tensors->allocator;
    for (size_t i = 0; i < tensors->shard_count; i++) {
        fov_file_close(&tensors->shards[i].file);
        fov_release(&allocator, tensors->shards[i].path);
        fov_release(&allocator, tensors->shards[i].names);
    }
    fov_release(&allocator, tensors->shards);
    fov_release(&allocator, tensors->list);
    fov_release(&allocator, tensors);
}

size_t fov_tensors_count(const fov_tensors *tensors) {
    return tensors->count;
}

const fov_tensor *fov_tensors_at(const fov_tensors *tensors, size_t index) {
    return index < tensors->count ? &tensors->list[index] : NULL;
}

const fov_tensor *fov_tensors_find(const fov_tensors *tensors, const char *name) {
    if (!tensors->count) return NULL;
    const fov_tensor key = {.name = name};
    return bsearch(&key, tensors->list, tensors->count, sizeof key, by_name);
}

fov_status fov_tensors_read(const fov_tensors *tensors, const fov_tensor *tensor, size_t first, size_t size, void *out,
                            fov_error *error) {
    if (!tensor->data)
        return fov_file_read(&tensors->shards[tensor->shard].file, tensor->place + first, size, out, tensor->file, error);
    memcpy(out, (const unsigned char *)tensor->data + first, size);
    return FOV_OK;
}

fov_status fov_tensors_settle(fov_tensors *tensors, fov_error *error) {
    fov_status status = FOV_OK;
    for (size_t i = 0; i < tensors->shard_count; i++) {
        fov_shard *shard = &tensors->shards[i];
        if (!status && shard->file.open) status = fov_file_unchanged(&shard->file, shard->path, error);
        fov_file_close(&shard->file);
    }
    return status;
}
