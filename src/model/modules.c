/* modules.c: sentence-transformers' modules.json: a Transformer, its Pooling, and perhaps Normalize, in this order.
 * Format: https://sbert.net/docs/package_reference/sentence_transformer/models.html */
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "core/status.h"
#include "model/config.h"

static bool exists(const char *path) {
    return !access(path, F_OK);
}

static fov_status join(char path[FOV_MAX_PATH], const char *folder, const char *sub, const char *name, fov_error *error) {
    char inner[FOV_MAX_PATH];
    fov_status status = fov_path_join(inner, folder, sub, error);
    return status ? status : fov_path_join(path, inner, name, error);
}

/* A module's folder must lie inside the model's. */
static bool inside(const char *path) {
    if (*path == '/' || strchr(path, '\\')) return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/')) return false;
    }
    return true;
}

/* New files say "pooling_mode": "mean", older ones a flag per mode, of which mean is on unless it is switched off. */
static fov_status read_pooling(fov_modules *modules, const char *folder, const char *sub, fov_error *error) {
    static const char *const flag = "pooling_mode_", *const mean_flag = "pooling_mode_mean_tokens";
    char path[FOV_MAX_PATH], mode[32] = "";
    json_t *root = NULL;
    fov_status status = join(path, folder, sub, "config.json", error);
    if (!status) status = fov_json_read(&root, path, JSON_OBJECT, JSON_DECODE_INT_AS_REAL, error);
    if (status) return status;
    const fov_json json = {root, path, error};
    status = fov_json_text(&json, "pooling_mode", mode, sizeof mode);
    int mean = !strcmp(mode, "mean"), cls = !strcmp(mode, "cls");
    const char *other = *mode && !mean && !cls ? mode : NULL;
    if (!*mode) mean = 1;
    if (!*mode && !status) status = fov_json_bool(&json, mean_flag, &mean);
    if (!*mode && !status) status = fov_json_bool(&json, "pooling_mode_cls_token", &cls);
    for (void *i = json_object_iter(root); i && !*mode && !other; i = json_object_iter_next(root, i)) {
        const char *key = json_object_iter_key(i);
        if (strncmp(key, flag, strlen(flag)) || !json_is_true(json_object_iter_value(i))) continue;
        if (strcmp(key, mean_flag) && strcmp(key, "pooling_mode_cls_token")) other = key;
    }
    if (!status && other)
        status = fov_fail(error, FOV_ERR_UNSUPPORTED, path,
                          "pooling \"%.100s\" is not supported, only mean and cls; give another model", other);
    else if (!status && mean == cls)
        status = fov_fail(error, FOV_ERR_UNSUPPORTED, path, "%s; switch on one of mean and cls",
                          mean ? "mean and cls pooling at once" : "no pooling is switched on");
    modules->pooling = cls ? FOV_POOLING_CLS : FOV_POOLING_MEAN;
    json_decref(root);
    return status;
}

static fov_status read_transformer(fov_modules *modules, const char *folder, fov_error *error) {
    char path[FOV_MAX_PATH];
    fov_status status = join(path, folder, modules->transformer, "sentence_bert_config.json", error);
    if (status || !exists(path)) return status;
    json_t *root;
    status = fov_json_read(&root, path, JSON_OBJECT, JSON_DECODE_INT_AS_REAL, error);
    if (status) return status;
    const fov_json json = {root, path, error};
    status = fov_json_size(&json, "max_seq_length", 1, (size_t)1 << 31, &modules->max_length);
    if (!status) status = fov_json_bool(&json, "do_lower_case", &modules->lower_case);
    json_decref(root);
    return status;
}

/* One entry: {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}. `index` counts them. */
static fov_status read_module(fov_modules *modules, const json_t *entry, size_t index, const char *folder, const char *where,
                              fov_error *error) {
    const fov_json json = {entry, where, error};
    char type[128] = "", sub[sizeof modules->transformer] = "";
    if (!json_is_object(entry)) return fov_fail(error, FOV_ERR_FORMAT, where, "module %zu must be an object" FOV_MEND_FILE, index);
    fov_status status = fov_json_text(&json, "type", type, sizeof type);
    if (!status) status = fov_json_text(&json, "path", sub, sizeof sub);
    if (status) return status;
    if (!inside(sub))
        return fov_fail(error, FOV_ERR_FORMAT, where, "module %zu: \"%.100s\" is not inside the folder" FOV_MEND_FILE, index, sub);

    const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
    if (index == 0 && !strcmp(kind, "Transformer")) {
        memcpy(modules->transformer, sub, sizeof sub);
        return read_transformer(modules, folder, error);
    }
    if (index == 1 && !strcmp(kind, "Pooling")) return read_pooling(modules, folder, sub, error);
    if (index == 2 && !strcmp(kind, "Normalize")) {
        modules->normalize = 1;
        return FOV_OK;
    }
    return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                    "module %zu is \"%.100s\", but only Transformer, Pooling, Normalize are run, in this order; give another model",
                    index, type);
}

fov_status fov_modules_read(fov_modules *modules, const char *folder, int *found, fov_error *error) {
    *modules = (fov_modules){.lower_case = -1};
    *found = 0;
    char path[FOV_MAX_PATH];
    fov_status status = fov_path_join(path, folder, "modules.json", error);
    if (status || !exists(path)) return status;
    json_t *root;
    status = fov_json_read(&root, path, JSON_ARRAY, JSON_DECODE_INT_AS_REAL, error);
    if (status) return status;
    size_t count = json_array_size(root);
    for (size_t i = 0; i < count && !status; i++) status = read_module(modules, json_array_get(root, i), i, folder, path, error);
    if (!status && count < 2)
        status = fov_fail(error, FOV_ERR_UNSUPPORTED, path,
                          "%zu modules, but a Transformer and a Pooling are needed; give another model", count);
    if (!status) *found = 1;
    json_decref(root);
    return status;
}
