/* model.c: argument checks and facts of models. */
#include <string.h>
#include <sys/stat.h>

#include "core/hash.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/packed.h"

static fov_status check_options(const fov_model_options *o, fov_error *error) {
    if (o && o->threads > FOV_MAX_THREADS)
        return fov_fail(error, FOV_ERR_ARGUMENT, "threads",
                        "%u threads are too many; give at most %d, or 0 for what the machine offers", o->threads, FOV_MAX_THREADS);
    if (o && o->allocator && (!o->allocator->alloc || !o->allocator->release))
        return fov_fail(error, FOV_ERR_ARGUMENT, "allocator", "alloc and release must not be NULL; give both, or no allocator");
    return FOV_OK;
}

static bool is_file(const char *path) {
    struct stat facts;
    return !stat(path, &facts) && !S_ISDIR(facts.st_mode);
}

fov_status fov_model_load(const char *path, const fov_model_options *options, fov_model **model, fov_error *error) {
    if (!path || !*path || !model)
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_model_load", "folder (or packed file) and model must not be NULL or empty");
    fov_status status = check_options(options, error);
    if (status) return status;
    return is_file(path) ? fov_packed_open(path, options, model, error) : fov_model_load_folder(path, options, model, error);
}

fov_status fov_model_pack(const char *folder, const fov_model_options *options, fov_writer write, void *context, fov_error *error) {
    if (!folder || !*folder || !write)
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_model_pack", "folder and write must not be NULL or empty");
    fov_status status = check_options(options, error);
    return status ? status : fov_packed_make(folder, options, write, context, error);
}

fov_status fov_model_verify(const fov_model *model, fov_error *error) {
    if (!model) return fov_fail(error, FOV_ERR_ARGUMENT, "fov_model_verify", "model must not be NULL");
    return fov_packed_verify(model, error);
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
