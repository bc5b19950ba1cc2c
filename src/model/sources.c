/* sources.c: the small files of a checkpoint: reading them, and telling whether they changed. */
#include "model/sources.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/status.h"

static const char *const names[FOV_SOURCES] = {"config.json", "tokenizer_config.json", "vocab.txt", "tokenizer.json", "vocab.json",
                                               "merges.txt"};

const char *fov_source_name(size_t index) {
    return names[index];
}

static fov_status join(char *path, const char *folder, const char *name, fov_error *error) {
    if (snprintf(path, FOV_SOURCE_PATH, "%s/%s", folder, name) < FOV_SOURCE_PATH) return FOV_OK;
    return fov_fail(error, FOV_ERR_ARGUMENT, folder, "the path is longer than %d bytes; move the folder nearer to the root",
                    FOV_SOURCE_PATH - 1);
}

fov_status fov_sources_read(fov_sources *sources, const char *folder, const fov_allocator *allocator, fov_error *error) {
    for (size_t i = 0; i < FOV_SOURCES; i++) {
        fov_source *s = &sources->files[i];
        fov_status status = join(s->name, folder, names[i], error);
        if (!status && i != FOV_SOURCE_CONFIG && access(s->name, F_OK)) continue;
        if (!status) status = fov_file_load(s->name, FOV_MAX_JSON, allocator, &s->owned, &s->size, error);
        if (status) return status;
        s->data = s->owned;
    }
    return FOV_OK;
}

void fov_sources_release(fov_sources *sources, const fov_allocator *allocator) {
    for (size_t i = 0; i < FOV_SOURCES; i++) fov_release(allocator, sources->files[i].owned);
}

uint64_t fov_sources_hash(const fov_sources *sources) {
    const int lower =
        sources->has_modules ? sources->modules.lower_case : -1; /* the rest of modules.json is in the model's facts */
    uint64_t hash = fov_hash_bytes(0, &lower, sizeof lower);
    for (size_t i = 0; i < FOV_SOURCES; i++) {
        const fov_source *s = &sources->files[i];
        hash = fov_hash_bytes(hash, s->data, s->data ? s->size : 0);
    }
    return hash;
}
