/* packed_open.c: a packed model from its file, which is mapped, not read.
 *
 * All that can lead outside the file is checked here or by what is called from here: safetensors_header.c checks that the tensors
 * tile the file, loader.c their types, shapes and alignment against config.json. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/status.h"
#include "model/packed.h"

static fov_status reject(fov_error *error, fov_status status, const char *where, const char *what) {
    return fov_fail(error, status, where, "%s" FOV_MEND_PACKED, what);
}

/* The first words of the facts, in any format. */
static fov_status read_facts(const fov_tensors *tensors, const char *where, struct fov_packed_facts *facts, fov_error *error) {
    enum { WORDS = sizeof *facts / sizeof(uint64_t) };
    const fov_tensor *t = fov_tensors_find(tensors, FOV_PACKED_FACTS);
    if (!t)
        return fov_fail(error, FOV_ERR_FORMAT, where,
                        "this is no packed model; give the folder of the checkpoint, or a file that 'foveate import --pack' made");
    if (t->dtype != FOV_U64 || t->count < 2) return reject(error, FOV_ERR_FORMAT, where, "'" FOV_PACKED_FACTS "' is malformed");
    *facts = (struct fov_packed_facts){0};
    memcpy(facts, t->data, (t->count < WORDS ? t->count : WORDS) * sizeof(uint64_t));
    if (facts->order == __builtin_bswap64(FOV_PACKED_ORDER))
        return reject(error, FOV_ERR_UNSUPPORTED, where, "packed on a machine of the other byte order");
    if (facts->order != FOV_PACKED_ORDER) return reject(error, FOV_ERR_FORMAT, where, "'" FOV_PACKED_FACTS "' is malformed");
    if (facts->format != FOV_PACKED_FORMAT || t->count != WORDS)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                        "packed in format %llu, but this version reads format %d" FOV_MEND_PACKED,
                        (unsigned long long)facts->format, FOV_PACKED_FORMAT);
    if (facts->panel != FOV_PANEL)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                        "packed in panels of %llu columns, but this version needs %d" FOV_MEND_PACKED,
                        (unsigned long long)facts->panel, FOV_PANEL);
    const bool pooling = !facts->has_modules || facts->pooling == FOV_POOLING_MEAN || facts->pooling == FOV_POOLING_CLS;
    if (facts->type >= FOV_TYPES || facts->has_modules > 1 || !pooling || facts->normalize > 1 || facts->lower_case > 2)
        return reject(error, FOV_ERR_FORMAT, where, "'" FOV_PACKED_FACTS "' holds what no model has");
    return FOV_OK;
}

static fov_status read_sources(const fov_tensors *tensors, const char *where, const struct fov_packed_facts *facts,
                               fov_sources *sources, fov_error *error) {
    char name[80];
    *sources = (fov_sources){.packed = facts, .has_modules = facts->has_modules};
    sources->modules.pooling = (fov_pooling)facts->pooling;
    sources->modules.normalize = (int)facts->normalize;
    sources->modules.max_length = (size_t)facts->max_length;
    sources->modules.lower_case = (int)facts->lower_case - 1;
    for (size_t i = 0; i < FOV_SOURCES; i++) {
        fov_source *s = &sources->files[i];
        snprintf(name, sizeof name, FOV_PACKED_FILE "%s", fov_source_name(i));
        snprintf(s->name, sizeof s->name, "%.900s: %s", where, fov_source_name(i));
        const fov_tensor *t = fov_tensors_find(tensors, name);
        if (t && t->dtype != FOV_U8) return reject(error, FOV_ERR_FORMAT, s->name, "is not held as bytes");
        if (!t || !t->bytes) continue;
        s->data = t->data;
        s->size = t->bytes;
    }
    if (!sources->files[FOV_SOURCE_CONFIG].data)
        return reject(error, FOV_ERR_FORMAT, sources->files[FOV_SOURCE_CONFIG].name, "is missing or empty");
    const fov_tensor *t = fov_tensors_find(tensors, FOV_PACKED_NAME);
    if (!t || t->dtype != FOV_U8 || t->bytes >= sizeof sources->name)
        return reject(error, FOV_ERR_FORMAT, where, "'" FOV_PACKED_NAME "' is missing or malformed");
    memcpy(sources->name, t->data, t->bytes);
    return FOV_OK;
}

fov_status fov_packed_open_memory(const void *bytes, size_t size, const char *label, const fov_model_options *options,
                                  fov_model **model, fov_error *error) {
    struct fov_packed_facts facts;
    fov_sources sources;
    fov_tensors *tensors = NULL;
    fov_status status = fov_tensors_open_memory(bytes, size, label, options ? options->allocator : NULL, &tensors, error);
    if (status) return status;
    status = read_facts(tensors, label, &facts, error);
    if (!status) status = read_sources(tensors, label, &facts, &sources, error);
    if (!status) return fov_model_build(&sources, tensors, options, model, error);
    fov_tensors_close(tensors);
    return status;
}

/* A profile is looked for where the packed file is. */
static void set_folder(struct fov_model *m, const char *path) {
    const char *slash = strrchr(path, '/');
    const size_t size = slash ? (size_t)(slash - path) + (slash == path) : 1;
    if (size < sizeof m->folder) memcpy(m->folder, slash ? path : ".", size);
}

fov_status fov_packed_open(const char *path, const fov_model_options *options, fov_model **model, fov_error *error) {
    fov_file file;
    fov_model *made = NULL;
    const void *map = NULL;
    fov_status status = fov_file_open(&file, path, error);
    if (status) return status;
    const size_t size = file.size;
    status = fov_file_map(&file, path, &map, error);
    if (!status) status = fov_packed_open_memory(map, size, path, options, &made, error);
    if (!status) status = fov_file_unchanged(&file, path, error);
    fov_file_close(&file);
    if (status) {
        fov_model_free(made);
        fov_file_unmap(map, size);
        return status;
    }
    made->map = map;
    made->map_size = size;
    set_folder(made, path);
    *model = made;
    return FOV_OK;
}

fov_status fov_packed_verify(const struct fov_model *m, fov_error *error) {
    if (!m->map)
        return fov_fail(error, FOV_ERR_ARGUMENT, m->name, "is not loaded from a packed file, which alone has a checksum; give one");
    const unsigned char *bytes = m->map;
    size_t header = 0;
    for (unsigned i = 0; i < 8; i++) header |= (size_t)bytes[i] << (8 * i);
    uint64_t sum = fov_packed_checksum("", bytes + 8, header);
    const fov_tensor *facts = fov_tensors_find(m->tensors, FOV_PACKED_FACTS), *t;
    for (size_t i = 0; (t = fov_tensors_at(m->tensors, i)); i++)
        if (t != facts && strncmp(t->name, FOV_PACKED_PAD, sizeof FOV_PACKED_PAD - 1))
            sum += fov_packed_checksum(t->name, t->data, t->bytes);
    struct fov_packed_facts held;
    memcpy(&held, facts->data, sizeof held);
    if (sum == held.checksum) return FOV_OK;
    return reject(error, FOV_ERR_FORMAT, facts->file, "the bytes are not those that were written: the file is damaged");
}
