/* safetensors.c: the header of one safetensors file: 8 bytes little-endian N, N bytes of JSON, then the tensors' bytes.
 *
 * Everything a later reader relies on is checked here: every tensor lies inside its file, has the bytes its shape asks for, and
 * the tensors tile the data without overlap, hole or rest. Format: https://github.com/huggingface/safetensors#format */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/status.h"
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

/* The data part of a file, and what messages call it. */
typedef struct section {
    const unsigned char *data;
    size_t size;
    const char *file;
    fov_error *error;
} section;

#define NAME "tensor \"%.120s\": " /* a long name must not push the reason out of the message */

/* A whole number >= 0 that fits size_t; false otherwise. */
static bool whole(const json_t *value, size_t *number) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *number = (size_t)json_integer_value(value);
    return true;
}

static fov_status read_dtype(fov_tensor *tensor, const json_t *entry, const section *part) {
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name) return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"dtype\" must be a string", tensor->name);
    for (size_t i = 0; i < DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) || !strcmp(name, "F8")) continue; /* "F8" is our word for both kinds */
        tensor->dtype = dtypes[i].dtype;
        return FOV_OK;
    }
    return fov_fail(part->error, FOV_ERR_UNSUPPORTED, part->file, NAME "unknown dtype \"%.40s\"; save it as F32, F16 or BF16",
                    tensor->name, name);
}

static fov_status read_shape(fov_tensor *tensor, const json_t *entry, const section *part) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"shape\" must be an array", tensor->name);
    size_t dims = json_array_size(shape);
    if (dims > FOV_MAX_DIMS)
        return fov_fail(part->error, FOV_ERR_UNSUPPORTED, part->file, NAME "%zu dimensions are more than %d", tensor->name, dims,
                        FOV_MAX_DIMS);
    tensor->dims = (unsigned)dims;
    tensor->count = 1;
    for (size_t i = 0; i < dims; i++) {
        if (!whole(json_array_get(shape, i), &tensor->shape[i]))
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"shape\" must hold whole numbers from 0", tensor->name);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "the product of its shape overflows", tensor->name);
    }
    if (__builtin_mul_overflow(tensor->count, fov_dtype_size(tensor->dtype), &tensor->bytes))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "the product of its shape overflows", tensor->name);
    return FOV_OK;
}

static fov_status read_offsets(fov_tensor *tensor, const json_t *entry, const section *part) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !whole(json_array_get(offsets, 0), &begin) ||
        !whole(json_array_get(offsets, 1), &end))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "\"data_offsets\" must be two whole numbers from 0",
                        tensor->name);
    if (begin > end)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "data_offsets begin at %zu, after their end %zu",
                        tensor->name, begin, end);
    if (end > part->size)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "data_offsets end at %zu, outside the %zu bytes of data",
                        tensor->name, end, part->size);
    if (end - begin != tensor->bytes)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "%zu bytes of data, but its dtype and shape need %zu",
                        tensor->name, end - begin, tensor->bytes);
    tensor->data = part->data + begin;
    return FOV_OK;
}

static fov_status read_tensor(fov_tensor *tensor, const json_t *entry, const section *part) {
    tensor->file = part->file;
    if (!json_is_object(entry))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "must be an object, it is %s", tensor->name,
                        fov_json_kind(entry));
    fov_status status = read_dtype(tensor, entry, part);
    if (!status) status = read_shape(tensor, entry, part);
    if (!status) status = read_offsets(tensor, entry, part);
    return status;
}

static fov_status check_metadata(const json_t *metadata, const section *part) {
    if (metadata && !json_is_object(metadata))
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "__metadata__ must be an object, it is %s",
                        fov_json_kind(metadata));
    for (void *i = json_object_iter((json_t *)(uintptr_t)metadata); i; i = json_object_iter_next((json_t *)(uintptr_t)metadata, i))
        if (!json_is_string(json_object_iter_value(i)))
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "__metadata__ \"%.120s\" must be a string",
                            json_object_iter_key(i));
    return FOV_OK;
}

/* By place in the file; an empty tensor comes before the one that begins where it stands. */
static int by_place(const void *a, const void *b) {
    const fov_tensor *x = a, *y = b;
    if (x->data != y->data) return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const fov_tensor *)a)->name, ((const fov_tensor *)b)->name);
}

static fov_status check_tiling(fov_tensor *list, size_t count, const section *part) {
    size_t end = 0;
    qsort(list, count, sizeof *list, by_place);
    for (size_t i = 0; i < count; i++) {
        size_t begin = (size_t)((const unsigned char *)list[i].data - part->data);
        if (begin < end)
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "its data overlap those of \"%.120s\"", list[i].name,
                            list[i - 1].name);
        if (begin > end)
            return fov_fail(part->error, FOV_ERR_FORMAT, part->file, NAME "a hole of %zu bytes before its data", list[i].name,
                            begin - end);
        end = begin + list[i].bytes;
    }
    if (end != part->size)
        return fov_fail(part->error, FOV_ERR_FORMAT, part->file, "%zu bytes trail after the last tensor", part->size - end);
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
        return fov_fail(part->error, FOV_ERR_MEMORY, part->file, "out of memory for %zu tensors", added);
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

fov_status fov_tensors_add(fov_tensors *tensors, fov_mapfile map, const void *data, size_t size, const char *path,
                           fov_error *error) {
    fov_shard *shard = &tensors->shards[tensors->shard_count++];
    *shard = (fov_shard){map, fov_copy_text(&tensors->allocator, path, strlen(path)), NULL};
    if (!shard->path) return fov_fail(error, FOV_ERR_MEMORY, path, "out of memory for a path");

    const unsigned char *bytes = data;
    if (size < 8) return fov_fail(error, FOV_ERR_FORMAT, path, "%zu bytes are too short for a safetensors file", size);
    uint64_t length = 0;
    for (unsigned i = 0; i < 8; i++) length |= (uint64_t)bytes[i] << (8 * i);
    if (length > FOV_MAX_JSON)
        return fov_fail(error, FOV_ERR_FORMAT, path,
                        "a header of %llu bytes is longer than the %d allowed; is this a safetensors file?",
                        (unsigned long long)length, FOV_MAX_JSON);
    if (length > size - 8)
        return fov_fail(error, FOV_ERR_FORMAT, path, "a header of %llu bytes is longer than the file (%zu); is it complete?",
                        (unsigned long long)length, size);
    if (!length || bytes[8] != '{') return fov_fail(error, FOV_ERR_FORMAT, path, "the header does not begin with '{'");

    json_t *header;
    fov_status status = fov_json_parse(&header, (const char *)bytes + 8, (size_t)length, JSON_OBJECT, 0, path, error);
    if (status) return status;
    const section part = {bytes + 8 + length, size - 8 - (size_t)length, shard->path, error};
    status = read_header(tensors, shard, header, &part);
    json_decref(header);
    return status;
}

fov_status fov_tensors_create(fov_tensors **tensors, size_t shards, const fov_allocator *allocator, fov_error *error) {
    allocator = fov_allocator_or_default(allocator);
    fov_tensors *made = fov_alloc_zero(allocator, sizeof *made);
    fov_shard *room = fov_alloc_zero(allocator, fov_mul(shards, sizeof *room));
    if (!made || !room) {
        fov_release(allocator, made);
        fov_release(allocator, room);
        return fov_fail(error, FOV_ERR_MEMORY, NULL, "out of memory for %zu weight files", shards);
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
            return fov_fail(error, FOV_ERR_FORMAT, b->file, NAME "also found in another file, %.120s", b->name, a->file);
    }
    return FOV_OK;
}

fov_status fov_tensors_open_memory(const void *data, size_t size, const char *label, const fov_allocator *allocator,
                                   fov_tensors **tensors, fov_error *error) {
    *tensors = NULL;
    fov_tensors *made = NULL;
    fov_status status = fov_tensors_create(&made, 1, allocator, error);
    if (status) return status;
    status = fov_tensors_add(made, (fov_mapfile){0}, data, size, label ? label : "memory", error);
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
        fov_mapfile_close(&tensors->shards[i].map);
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

void fov_tensors_drop(const fov_tensors *tensors, const fov_tensor *tensor) {
    if (tensors->shards[0].map.data) fov_mapfile_drop(tensor->data, tensor->bytes);
}
