/* packed.c: writing a packed model; the format is told in packed_form.h. */
#include "model/packed.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/status.h"

enum { NAME_SIZE = 400, LENGTH = 8 };

/* A tensor of the file. */
typedef struct piece {
    const char *name, *suffix; /* together its name */
    fov_tensor form;           /* dtype, dims, shape */
    const void *data;
} piece;

typedef struct packing {
    const struct fov_model *model;
    fov_writer write;
    void *context;
    fov_error *error;
    piece *pieces;
    size_t count;
    uint64_t checksum;
} packing;

static const unsigned char zeros[FOV_ALIGN];

static size_t bytes_of(const fov_tensor *form) {
    size_t bytes = fov_dtype_size(form->dtype);
    for (unsigned i = 0; i < form->dims; i++) bytes *= form->shape[i]; /* it is in memory, so it does not overflow */
    return bytes;
}

static size_t pad_of(size_t bytes) {
    return (FOV_ALIGN - bytes % FOV_ALIGN) % FOV_ALIGN;
}

static void add(packing *p, const char *name, const char *suffix, const fov_tensor *form, const void *data) {
    p->pieces[p->count++] = (piece){name, suffix, *form, data};
}

static void add_vector(packing *p, const char *name, const char *suffix, fov_dtype dtype, size_t count, const void *data) {
    const fov_tensor form = {.dtype = dtype, .dims = 1, .shape = {count}};
    add(p, name, suffix, &form, data);
}

static void list_pieces(packing *p, const fov_sources *sources, const uint64_t *hashes) {
    const struct fov_model *m = p->model;
    add_vector(p, FOV_PACKED_HASHES, "", FOV_U64, m->item_count, hashes);
    add_vector(p, FOV_PACKED_NAME, "", FOV_U8, strlen(m->name), m->name);
    for (size_t i = 0; i < FOV_SOURCES; i++) {
        const fov_source *s = &sources->files[i];
        if (s->data) add_vector(p, FOV_PACKED_FILE, fov_source_name(i), FOV_U8, s->size, s->data);
    }
    for (size_t i = 0; i < m->item_count; i++) {
        const fov_load_item *item = &m->items[i];
        fov_tensor form;
        fov_packed_form(item->kind, item->type, m->config.heads, item->m, item->k, item->tensor->dtype, &form);
        add(p, item->tensor->name, "", &form, item->out);
        if (!item->scale) continue;
        add_vector(p, item->tensor->name, FOV_PACKED_SCALE, FOV_F32, item->m, item->scale);
        add_vector(p, item->tensor->name, FOV_PACKED_SUM, FOV_I32, item->m, item->sum);
    }
}

/* ---- the header ---- */

static bool declare(json_t *header, const char *name, const fov_tensor *form, size_t *offset) {
    if (json_object_get(header, name)) return false;
    json_t *shape = json_array();
    for (unsigned i = 0; i < form->dims; i++) json_array_append_new(shape, json_integer((json_int_t)form->shape[i]));
    const size_t begin = *offset;
    *offset += bytes_of(form);
    return !json_object_set_new(header, name,
                                json_pack("{s:s, s:o, s:[I, I]}", "dtype", fov_dtype_name(form->dtype), "shape", shape,
                                          "data_offsets", (json_int_t)begin, (json_int_t)*offset));
}

/* A tensor and the zeros behind it. */
static bool declare_padded(json_t *header, const char *name, const fov_tensor *form, size_t number, size_t *offset) {
    char pad[40];
    if (!declare(header, name, form, offset)) return false;
    const fov_tensor rest = {.dtype = FOV_U8, .dims = 1, .shape = {pad_of(*offset)}};
    snprintf(pad, sizeof pad, FOV_PACKED_PAD "%zu", number);
    return !rest.shape[0] || declare(header, pad, &rest, offset);
}

static bool name_of(const piece *one, char name[NAME_SIZE]) {
    const int length = snprintf(name, NAME_SIZE, "%s%s", one->name, one->suffix);
    return length >= 0 && length < NAME_SIZE;
}

/* JSON and blanks up to a multiple of 64 bytes; NULL when out of memory, or a name is there twice. */
static char *make_header(const packing *p) {
    static const fov_tensor facts = {.dtype = FOV_U64, .dims = 1, .shape = {sizeof(struct fov_packed_facts) / sizeof(uint64_t)}};
    json_t *header = json_pack("{s:{s:s, s:s, s:s}}", "__metadata__", "format", "foveate-packed", "writer", fov_version(), "dtype",
                               p->model->info.dtype);
    size_t offset = 0;
    char name[NAME_SIZE];
    bool good = header && declare_padded(header, FOV_PACKED_FACTS, &facts, p->count, &offset);
    for (size_t i = 0; i < p->count && good; i++)
        good = name_of(&p->pieces[i], name) && declare_padded(header, name, &p->pieces[i].form, i, &offset);
    char *text = good ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    const size_t length = text ? strlen(text) : 0, pad = pad_of(LENGTH + length);
    char *padded = text ? realloc(text, length + pad + 1) : NULL;
    if (!padded) {
        free(text);
        return NULL;
    }
    memset(padded + length, ' ', pad);
    padded[length + pad] = '\0';
    return padded;
}

/* ---- the bytes ---- */

static fov_status put(const packing *p, const void *data, size_t size) {
    if (!size || !p->write(p->context, data, size)) return FOV_OK;
    return fov_fail(p->error, FOV_ERR_IO, p->model->name, "the packed model could not be written: the caller's writer failed");
}

static fov_status put_padded(const packing *p, const void *data, size_t bytes) {
    const fov_status status = put(p, data, bytes);
    return status ? status : put(p, zeros, pad_of(bytes));
}

static void sum_up(packing *p, const char *header) {
    char name[NAME_SIZE];
    p->checksum = fov_packed_checksum("", header, strlen(header));
    for (size_t i = 0; i < p->count; i++) {
        const size_t bytes = bytes_of(&p->pieces[i].form);
        name_of(&p->pieces[i], name);
        p->checksum += fov_packed_checksum(name, p->pieces[i].data, bytes);
    }
}

static fov_status put_all(packing *p, const fov_sources *sources, const char *header) {
    sum_up(p, header);
    const struct fov_packed_facts facts = {.order = FOV_PACKED_ORDER,
                                           .format = FOV_PACKED_FORMAT,
                                           .panel = FOV_PANEL,
                                           .type = p->model->type,
                                           .has_modules = sources->has_modules,
                                           .pooling = sources->has_modules ? sources->modules.pooling : 0,
                                           .normalize = sources->has_modules ? (uint64_t)sources->modules.normalize : 0,
                                           .max_length = sources->has_modules ? sources->modules.max_length : 0,
                                           .lower_case = sources->has_modules ? (uint64_t)(sources->modules.lower_case + 1) : 0,
                                           .checksum = p->checksum};
    unsigned char length[LENGTH];
    for (unsigned i = 0; i < LENGTH; i++) length[i] = (unsigned char)(strlen(header) >> (8 * i));
    fov_status status = put(p, length, sizeof length);
    if (!status) status = put(p, header, strlen(header));
    if (!status) status = put_padded(p, &facts, sizeof facts);
    for (size_t i = 0; i < p->count && !status; i++) status = put_padded(p, p->pieces[i].data, bytes_of(&p->pieces[i].form));
    return status;
}

fov_status fov_packed_write(const struct fov_model *model, const fov_sources *sources, fov_writer write, void *context,
                            fov_error *error) {
    const fov_allocator *allocator = &model->allocator;
    packing p = {.model = model, .write = write, .context = context, .error = error};
    uint64_t *hashes = fov_alloc(allocator, fov_mul(model->item_count, sizeof *hashes));
    p.pieces = fov_alloc(allocator, fov_mul(fov_add(fov_mul(model->item_count, 3), FOV_SOURCES + 2), sizeof *p.pieces));
    char *header = NULL;
    fov_status status = FOV_OK;
    if (hashes && p.pieces) {
        for (size_t i = 0; i < model->item_count; i++) hashes[i] = model->items[i].hash;
        list_pieces(&p, sources, hashes);
        header = make_header(&p);
    }
    status = header ? put_all(&p, sources, header) : fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory" FOV_MEND_MEMORY);
    free(header);
    fov_release(allocator, p.pieces);
    fov_release(allocator, hashes);
    return status;
}

fov_status fov_packed_make(const char *folder, const fov_model_options *options, fov_writer write, void *context,
                           fov_error *error) {
    const fov_allocator *allocator = fov_allocator_or_default(options ? options->allocator : NULL);
    fov_sources sources;
    fov_tensors *tensors;
    fov_model *model = NULL;
    fov_status status = fov_model_open_folder(folder, allocator, &sources, &tensors, error);
    if (status) return status;
    status = fov_model_build(&sources, tensors, options, &model, error);
    if (!status) status = fov_packed_write(model, &sources, write, context, error);
    fov_model_free(model);
    fov_sources_release(&sources, allocator);
    return status;
}
