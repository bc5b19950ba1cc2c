/* model.c: argument checks and facts of models. */
#include <string.h>

#include "core/hash.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/load.h"

static fov_status check_options(const fov_model_options *o, fov_error *error) {
    if (o && o->threads > FOV_MAX_THREADS)
        return fov_fail(error, FOV_ERR_ARGUMENT, "threads",
                        "%u threads are too many; give at most %d, or 0 for what the machine offers", o->threads, FOV_MAX_THREADS);
    if (o && o->allocator && (!o->allocator->alloc || !o->allocator->release))
        return fov_fail(error, FOV_ERR_ARGUMENT, "allocator", "alloc and release must not be NULL; give both, or no allocator");
    return FOV_OK;
}

fov_status fov_model_load(const char *folder, const fov_model_options *options, fov_model **model, fov_error *error) {
    if (!folder || !*folder || !model)
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_model_load", "folder and model must not be NULL or empty");
    fov_status status = check_options(options, error);
    return status ? status : fov_model_load_folder(folder, options, model, error);
}

fov_status fov_model_load_memory(const fov_model_files *files, const fov_model_options *options, fov_model **model,
                                 fov_error *error) {
    if (!files || !model || !files->config || !files->vocab || !files->weights)
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_model_load_memory", "config, vocab and weights must not be NULL");
    fov_status status = check_options(options, error);
    return status ? status : fov_model_load_blocks(files, options, model, error);
}

const fov_model_info *fov_model_get_info(const fov_model *model) {
    return &model->info;
}

uint64_t fov_model_hash(const fov_model *model) {
    const uint64_t facts[] = {model->files_hash, model->info.max_length, model->info.pooling, (uint64_t)model->info.normalize};
    return fov_model_hash_weights(model, fov_hash_bytes(0, facts, sizeof facts));
}

const char *fov_model_label(const fov_model *model, size_t index) {
    return index < model->info.labels ? model->config.label_names[index] : NULL;
}

const char *fov_model_token(const fov_model *model, int32_t id) {
    return fov_tokenizer_piece(model->tokenizer, id);
}
