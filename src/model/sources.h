/* sources.h: what a model is built from beside its weights: the small files of a checkpoint, and what modules.json says. */
#ifndef FOV_MODEL_SOURCES_H
#define FOV_MODEL_SOURCES_H

#include "model/config.h"

enum { FOV_SOURCE_PATH = 1024 };
enum {
    FOV_SOURCE_CONFIG,
    FOV_SOURCE_TOKENIZER_CONFIG,
    FOV_SOURCE_VOCAB,
    FOV_SOURCE_TOKENIZER_JSON,
    FOV_SOURCE_VOCAB_JSON,
    FOV_SOURCE_MERGES,
    FOV_SOURCES
};

/* A file, read or given. */
typedef struct fov_source {
    const char *data; /* NULL: absent or empty */
    size_t size;
    char *owned;                /* data, when it was read */
    char name[FOV_SOURCE_PATH]; /* for messages */
} fov_source;

typedef struct fov_sources {
    fov_source files[FOV_SOURCES];
    bool has_modules;
    fov_modules modules;
    char name[128];                        /* of the model */
    const struct fov_packed_facts *packed; /* NULL: a checkpoint */
} fov_sources;

/* "config.json", ... */
const char *fov_source_name(size_t index);
/* The files of a folder of a checkpoint, of which only config.json must be there. Release them even after an error. */
fov_status fov_sources_read(fov_sources *sources, const char *folder, const fov_allocator *allocator, fov_error *error);
void fov_sources_release(fov_sources *sources, const fov_allocator *allocator);
/* Of all that decides a result. */
uint64_t fov_sources_hash(const fov_sources *sources);

#endif
