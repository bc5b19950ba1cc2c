/* shards.c: the weights of a folder: model.safetensors, or the shards that model.safetensors.index.json names.
 *
 * The index maps every tensor to its file. It is checked against the files' own headers, which are what is believed. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/status.h"
#include "model/safetensors_private.h"

static const char *const convert = "only pytorch_model.bin here, which can run code when read; convert it once: python -c \"from "
                                   "transformers import AutoModel as A; A.from_pretrained('.').save_pretrained('.', "
                                   "safe_serialization=True)\" (with AutoModelForSequenceClassification when it has a head)";

static bool exists(const char *folder, const char *name) {
    char path[FOV_MAX_PATH];
    return !fov_path_join(path, folder, name, NULL) && !access(path, F_OK);
}

static fov_status add_file(fov_tensors *tensors, const char *folder, const char *name, fov_error *error) {
    char path[FOV_MAX_PATH];
    fov_status status = fov_path_join(path, folder, name, error);
    return status ? status : fov_tensors_add(tensors, path, error);
}

/* The distinct shard names, in order of appearance, as the keys of *names. */
static fov_status list_shards(json_t *map, json_t *names, const char *path, fov_error *error) {
    for (void *i = json_object_iter(map); i; i = json_object_iter_next(map, i)) {
        const char *shard = json_string_value(json_object_iter_value(i));
        if (!shard)
            return fov_fail(error, FOV_ERR_FORMAT, path, "weight_map: the file of \"%.120s\" must be a string" FOV_MEND_FILE,
                            json_object_iter_key(i));
        if (!*shard || strchr(shard, '/') || strchr(shard, '\\') || !strcmp(shard, ".") || !strcmp(shard, ".."))
            return fov_fail(error, FOV_ERR_FORMAT, path,
                            "weight_map: \"%.120s\" is not a plain file name of this folder" FOV_MEND_FILE, shard);
        if (!json_object_get(names, shard) && json_object_set_new(names, shard, json_true()))
            return fov_fail(error, FOV_ERR_MEMORY, path, "out of memory for the list of shards" FOV_MEND_MEMORY);
    }
    return FOV_OK;
}

/* Every tensor of the index must be in the file that it names. Tensors that no index entry names are allowed, as in transformers.
 */
static fov_status check_index(const fov_tensors *tensors, json_t *map, const char *folder, const char *index, fov_error *error) {
    for (void *i = json_object_iter(map); i; i = json_object_iter_next(map, i)) {
        const char *name = json_object_iter_key(i), *shard = json_string_value(json_object_iter_value(i));
        const fov_tensor *tensor = fov_tensors_find(tensors, name);
        char path[FOV_MAX_PATH];
        fov_status status = fov_path_join(path, folder, shard, error);
        if (status) return status;
        if (!tensor || strcmp(tensor->file, path))
            return fov_fail(error, FOV_ERR_MISMATCH, index,
                            "tensor \"%.120s\" is absent from %.120s, where the index places it; download both again", name, shard);
    }
    return FOV_OK;
}

static fov_status open_shards(fov_tensors **tensors, const char *folder, const fov_allocator *allocator, fov_error *error) {
    char index[FOV_MAX_PATH];
    json_t *root = NULL, *names = NULL;
    fov_status status = fov_path_join(index, folder, "model.safetensors.index.json", error);
    if (!status) status = fov_json_read(&root, index, JSON_OBJECT, 0, error);
    if (status) goto end;

    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || !json_object_size(map)) {
        status =
            fov_fail(error, FOV_ERR_FORMAT, index, "\"weight_map\" must be an object that maps tensors to files" FOV_MEND_FILE);
        goto end;
    }
    names = json_object();
    status =
        names ? list_shards(map, names, index, error) : fov_fail(error, FOV_ERR_MEMORY, index, "out of memory" FOV_MEND_MEMORY);
    if (!status) status = fov_tensors_create(tensors, json_object_size(names), allocator, error);
    for (void *i = json_object_iter(names); i && !status; i = json_object_iter_next(names, i))
        status = add_file(*tensors, folder, json_object_iter_key(i), error);
    if (!status) status = fov_tensors_finish(*tensors, error);
    if (!status) status = check_index(*tensors, map, folder, index, error);
end:
    json_decref(names);
    json_decref(root);
    return status;
}

static fov_status open_single(fov_tensors **tensors, const char *folder, const fov_allocator *allocator, fov_error *error) {
    fov_status status = fov_tensors_create(tensors, 1, allocator, error);
    if (!status) status = add_file(*tensors, folder, "model.safetensors", error);
    if (!status) status = fov_tensors_finish(*tensors, error);
    return status;
}

fov_status fov_tensors_open(const char *folder, const fov_allocator *allocator, fov_tensors **tensors, fov_error *error) {
    *tensors = NULL;
    struct stat facts;
    if (stat(folder, &facts))
        return fov_fail(error, FOV_ERR_IO, folder, "%s",
                        errno == ENOENT ? "there is no such folder; check the name"
                                        : "this folder cannot be reached; check its permissions");
    if (!S_ISDIR(facts.st_mode)) return fov_fail(error, FOV_ERR_IO, folder, "this is not a folder; name the folder of the model");

    fov_tensors *made = NULL;
    fov_status status;
    if (exists(folder, "model.safetensors"))
        status = open_single(&made, folder, allocator, error);
    else if (exists(folder, "model.safetensors.index.json"))
        status = open_shards(&made, folder, allocator, error);
    else if (exists(folder, "pytorch_model.bin") || exists(folder, "pytorch_model.bin.index.json"))
        status = fov_fail(error, FOV_ERR_UNSUPPORTED, folder, "%s", convert);
    else
        status = fov_fail(error, FOV_ERR_IO, folder,
                          "the folder has no weights; add model.safetensors, or model.safetensors.index.json and its shards");
    if (status)
        fov_tensors_close(made);
    else
        *tensors = made;
    return status;
}
