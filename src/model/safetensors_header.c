/* safetensors_header.c: one safetensors file: 8 bytes little-endian N, N bytes of JSON, then the tensors' bytes.
 *
 * Everything a later reader relies on is checked here: every tensor lies inside its file, has the bytes its shape asks for, and
 * the tensors tile the data without overlap, hole or rest. Format: https://github.com/huggingface/safetensors#format */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "model/safetensors_private.h"

/* The data part of a file, and what messages call it. */
typedef struct section {
    const unsigned char *block; /* NULL: a file */
    size_t place, size;         /* of the data in the block or file */
    size_t shard;
    const char *file;
    fov_error *error;
} section;

enum { HEAD = 8 }; /* bytes of the header's length */

#define NAME "tensor \"%.120s\": " /* a long name must not push the reason out of the message */
#define MEND "; the file is damaged: save or download it again"

/* A whole number >= 0 that fits size_t; false otherwise. */
static bool whole(const json_t *value, size_t *number) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *number = (size_t)json_integer_value(value);
    return true;
}

static fov_status read_dtype(fov_tensor *tensor, const json_t *entry, const section *part) {
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name) return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"dtype\" must be a string" MEND, tensor->name);
    if (fov_dtype_parse(name, &tensor->dtype)) return FOV_OK;
    return fov_fail(part->error, FOV_ERR_UNSUPPORTED, part->file, NAME "unknown dtype \"%.40s\"; save it as F32, F16 or BF16",
                    tensor->name, name);
}

static fov_status read_shape(fov_tensor *tensor, const json_t *entry, const section *part) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"shape\" must be an array" MEND, tensor->name);
    size_t dims = json_array_size(shape);
    if (dims > FOV_MAX_DIMS)
        return fov_fail(part->error, FOV_ERR_UNSUPPORTED, part->file,
                        NAME "%zu dimensions are more than %d; no weight of a supported model has so many", tensor->name, dims,
                        FOV_MAX_DIMS);
    tensor->dims = (unsigned)dims;
    tensor->count = 1;
    for (size_t i = 0; i < dims; i++) {
        if (!whole(json_array_get(shape, i), &tensor->shape[i]))
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"shape\" must hold whole numbers from 0" MEND,
                            tensor->name);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "the product of its shape overflows" MEND, tensor->name);
    }
    if (__builtin_mul_overflow(tensor->count, fov_dtype_size(tensor->dtype), &tensor->bytes))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "the product of its shape overflows" MEND, tensor->name);
    return FOV_OK;
}

static fov_status read_offsets(fov_tensor *tensor, const json_t *entry, const section *part) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !whole(json_array_get(offsets, 0), &begin) ||
        !whole(json_array_get(offsets, 1), &end))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"data_offsets\" must be two whole numbers from 0" MEND,
                        tensor->name);
    if (begin > end)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "data_offsets begin at %zu, after their end %zu" MEND,
                        tensor->name, begin, end);
    if (end > part->size)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "data_offsets end at %zu, outside the %zu bytes of data" MEND,
                        tensor->name, end, part->size);
    if (end - begin != tensor->bytes)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "%zu bytes of data, but its dtype and shape need %zu" MEND,
                        tensor->name, end - begin, tensor->bytes);
    tensor->place = part->place + begin;
    tensor->shard = part->shard;
    tensor->data = part->block ? part->block + tensor->place : NULL;
    return FOV_OK;
}

static fov_status read_tensor(fov_tensor *tensor, const json_t *entry, const section *part) {
    tensor->file = part->file;
    if (!json_is_object(entry))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "must be an object, it is %s" MEND, tensor->name,
                        fov_json_kind(entry));
    fov_status status = read_dtype(tensor, entry, part);
    if (!status) status = read_shape(tensor, entry, part);
    if (!status) status = read_offsets(tensor, entry, part);
    return status;
}

static fov_status check_metadata(const json_t *metadata, const section *part) {
    if (metadata && !json_is_object(metadata))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "__metadata__ must be an object, it is %s" MEND,
                        fov_json_kind(metadata));
    for (void *i = json_object_iter((json_t *)(uintptr_t)metadata); i; i = json_object_iter_next((json_t *)(uintptr_t)metadata, i))
        if (!json_is_string(json_object_iter_value(i)))
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "__metadata__ \"%.120s\" must be a string" MEND,
                            json_object_iter_key(i));
    return FOV_OK;
}

/* By place in the file; an empty tensor comes before the one that begins where it stands. */
static int by_place(const void *a, const void *b) {
    const fov_tensor *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static fov_status check_tiling(fov_tensor *list, size_t count, const section *part) {
    size_t end = 0;
    qsort(list, count, sizeof *list, by_place);
    for (size_t i = 0; i < count; i++) {
        size_t begin = list[i].place - part->place;
        if (begin < end)
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "its data overlap those of \"%.120s\"" MEND, list[i].name,
                            list[i - 1].name);
        if (begin > end)
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "a hole of %zu bytes before its data" MEND, list[i].name,
                            begin - end);
        end = begin + list[i].bytes;
    }
    if (end != part->size)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "%zu bytes trail after the last tensor" MEND, part->size - end);
    return FOV_OK;
}

/* Append the header's tensors to the list. Names live in one block per file. */
static fov_status read_header(fov_tensors *tensors, fov_shard *shard, json_t *header, const section *part) {
    const fov_allocator *allocator = &tensors->allocator;
    fov_status status = check_metadata(json_object_get(header, "__metadata__"), part);
    if (status) return status;
    json_object_del(header, "__metadata__");

    size_t added = json_object_size(header), letters = 0;
    for (void *i = json_object_iter(header); i; i = json_object_iter_next(header, i))
        letters += strlen(json_object_iter_key(i)) + 1;
    fov_tensor *list = fov_alloc_zero(allocator, fov_mul(fov_add(tensors->count, added), sizeof *list));
    char *names = shard->names = fov_alloc(allocator, letters);
    if (!list || !names) {
        fov_release(allocator, list);
        return fov_fail(part->error, FOV_ERR_MEMORY, part->file, "out of memory for %zu tensors" FOV_MEND_MEMORY, added);
    }
    if (tensors->count) memcpy(list, tensors->list, tensors->count * sizeof *list);
    fov_release(allocator, tensors->list);
    tensors->list = list;

    list += tensors->count;
    for (void *i = json_object_iter(header); i; i = json_object_iter_next(header, i), list++) {
        size_t length = strlen(json_object_iter_key(i)) + 1;
        list->name = memcpy(names, json_object_iter_key(i), length);
        names += length;
        status = read_tensor(list, json_object_iter_value(i), part);
        if (status) return status;
    }
    status = check_tiling(tensors->list + tensors->count, added, part);
    tensors->count += added;
    return status;
}

/* The JSON text of a header and the data part behind it. */
static fov_status parse(fov_tensors *tensors, fov_shard *shard, const char *text, size_t length, const section *part) {
    if (!length || *text != '{')
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "the header does not begin with '{'; is this a safetensors file?");
    json_t *header;
    fov_status status = fov_json_parse(&header, text, length, JSON_OBJECT, 0, part->file, part->error);
    if (status) return status;
    status = read_header(tensors, shard, header, part);
    json_decref(header);
    return status;
}

/* Length of the header, from the first 8 bytes of a file of `size` bytes. */
static fov_status header_length(const unsigned char *bytes, size_t size, const char *path, size_t *length, fov_error *error) {
    uint64_t wide = 0;
    for (unsigned i = 0; i < HEAD; i++) wide |= (uint64_t)bytes[i] << (8 * i);
    if (wide > FOV_MAX_JSON)
        return fov_fail(error, FOV_ERR_FORMAT, path,
                        "a header of %llu bytes is longer than the %d allowed; is this a safetensors file?",
                        (unsigned long long)wide, FOV_MAX_JSON);
    if (wide > size - HEAD)
        return fov_fail(error, FOV_ERR_FORMAT, path, "a header of %llu bytes is longer than the file (%zu); is it complete?",
                        (unsigned long long)wide, size);
    *length = (size_t)wide;
    return FOV_OK;
}

static fov_status add_shard(fov_tensors *tensors, const char *path, fov_shard **shard, fov_error *error) {
    *shard = &tensors->shards[tensors->shard_count++];
    **shard = (fov_shard){.path = fov_copy_text(&tensors->allocator, path, strlen(path))};
    return (*shard)->path ? FOV_OK : fov_fail(error, FOV_ERR_MEMORY, path, "out of memory for a path" FOV_MEND_MEMORY);
}

static fov_status too_short(size_t size, const char *path, fov_error *error) {
    return fov_fail(error, FOV_ERR_FORMAT, path, "%zu bytes are too short for a safetensors file; download it again", size);
}

fov_status fov_tensors_add_memory(fov_tensors *tensors, const void *data, size_t size, const char *path, fov_error *error) {
    const unsigned char *bytes = data;
    fov_shard *shard;
    size_t length = 0;
    fov_status status = add_shard(tensors, path, &shard, error);
    if (status) return status;
    if (size < HEAD) return too_short(size, path, error);
    if ((status = header_length(bytes, size, path, &length, error))) return status;
    const section part = {bytes, HEAD + length, size - HEAD - length, tensors->shard_count - 1, shard->path, error};
    return parse(tensors, shard, (const char *)bytes + HEAD, length, &part);
}

fov_status fov_tensors_add(fov_tensors *tensors, const char *path, fov_error *error) {
    const fov_allocator *allocator = &tensors->allocator;
    unsigned char head[HEAD];
    fov_shard *shard;
    size_t length = 0;
    fov_status status = add_shard(tensors, path, &shard, error);
    if (!status) status = fov_file_open(&shard->file, path, error);
    if (status) return status;
    const size_t size = shard->file.size;
    if (size < HEAD) return too_short(size, path, error);
    if ((status = fov_file_read(&shard->file, 0, HEAD, head, path, error))) return status;
    if ((status = header_length(head, size, path, &length, error))) return status;
    char *text = fov_alloc(allocator, length);
    if (!text) return fov_fail(error, FOV_ERR_MEMORY, path, "out of memory for a header of %zu bytes" FOV_MEND_MEMORY, length);
    status = fov_file_read(&shard->file, HEAD, length, text, path, error);
    const section part = {NULL, HEAD + length, size - HEAD - length, tensors->shard_count - 1, shard->path, error};
    if (!status) status = parse(tensors, shard, text, length, &part);
    fov_release(allocator, text);
    return status;
}
