/* tuned.c: the tuned setting's file. It is read only for --tuned: what a model computes never depends on a file that was not asked
 * for. It belongs to the weights and to the profile whose hashes it names. */
#include "tuned.h"
#include "report.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { TUNED_FORMAT = 2 };

int path_beside(const char *model, const char *name, char *path, size_t size) {
    struct stat facts;
    const char *end = !stat(model, &facts) && S_ISREG(facts.st_mode) ? strrchr(model, '/') : model + strlen(model);
    const int length = end ? snprintf(path, size, "%.*s/%s", (int)(end - model), model, name) : snprintf(path, size, "%s", name);
    if (length < 0 || (size_t)length >= size) return complain(EXIT_USAGE, "--model: the path is longer than %zu bytes", size - 1);
    return 0;
}

static void hash_text(uint64_t hash, char text[HASH_SIZE]) {
    snprintf(text, HASH_SIZE, "%016" PRIx64, hash);
}

json_t *tuned_hash(uint64_t hash) {
    char text[HASH_SIZE];
    hash_text(hash, text);
    return json_string(text);
}

json_t *tuned_pack(const tuned *t, const fov_model *model, const char *dtype) {
    return json_pack("{s:i, s:o, s:s, s:s, s:s, s:s, s:s}", "foveate-tuned", TUNED_FORMAT, "model",
                     tuned_hash(fov_model_hash(model)), "attention", t->attention, "values", t->values, "ffn", t->ffn, "profile",
                     t->profile, "dtype", dtype);
}

void tuned_profile(tuned *t, const fov_session *session) {
    fov_profile_info info;
    t->profile[0] = '\0';
    if (fov_session_profile(session, &info)) hash_text(info.hash, t->profile);
}

int tuned_check_profile(const tuned *t, const fov_session *session) {
    tuned now = {0};
    tuned_profile(&now, session);
    if (!*t->profile || !strcmp(now.profile, t->profile)) return 0;
    return complain(EXIT_FAILED, "--tuned: the setting was tuned with another profile: tune again, or give that one as --profile");
}

static int take(const json_t *file, const char *name, char *text, size_t size, const char *path) {
    const char *value = json_string_value(json_object_get(file, name));
    if (!value || strlen(value) >= size)
        return complain(EXIT_FAILED, "%s: no setting '%s': is this a file of 'foveate tune'? tune again", path, name);
    strcpy(text, value);
    return 0;
}

static int check(const json_t *file, const fov_model *model, const char *path) {
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, fov_model_hash(model));
    if (json_integer_value(json_object_get(file, "foveate-tuned")) != TUNED_FORMAT)
        return complain(EXIT_FAILED, "%s: not a file of 'foveate tune' that this version reads: tune again", path);
    const char *of = json_string_value(json_object_get(file, "model"));
    if (!of || strcmp(of, hash))
        return complain(EXIT_FAILED, "%s: it was tuned for other weights: tune this model, or leave --tuned out", path);
    const char *dtype = json_string_value(json_object_get(file, "dtype")), *held = fov_model_get_info(model)->dtype;
    if (!dtype || strcmp(dtype, held))
        return complain(EXIT_USAGE, "--tuned: %s was tuned with --dtype %s, not %s: give that, or tune again", path,
                        dtype ? dtype : "?", held);
    return 0;
}

static int agree(const tuned *t, const shared_settings *s) {
    if (strcmp(s->values, "exact") || strcmp(s->ffn, "exact"))
        return complain(EXIT_USAGE, "--tuned: it decides --values and --ffn: leave it or them out");
    if (s->attention && strcmp(s->attention, t->attention))
        return complain(EXIT_USAGE, "--tuned: it was tuned with %s%s: leave --attention out, or tune with it",
                        *t->attention ? "--attention " : "the checkpoint's own attention", t->attention);
    return 0;
}

int tuned_read(tuned *t, const fov_model *model, const shared_settings *settings) {
    char path[4096];
    json_error_t error;
    if (!settings->model) return complain(EXIT_USAGE, "--tuned: the embedded model has no folder: give --model DIR");
    int code = path_beside(settings->model, TUNED_NAME, path, sizeof path);
    if (code) return code;
    json_t *file = json_load_file(path, 0, &error);
    if (!file)
        return complain(EXIT_FAILED, "%s: %s: run 'foveate tune --model %s' first, or leave --tuned out", path, error.text,
                        settings->model);
    code = check(file, model, path);
    if (!code) code = take(file, "attention", t->attention, sizeof t->attention, path);
    if (!code) code = take(file, "values", t->values, sizeof t->values, path);
    if (!code) code = take(file, "ffn", t->ffn, sizeof t->ffn, path);
    if (!code) code = take(file, "profile", t->profile, sizeof t->profile, path);
    if (!code) code = agree(t, settings);
    t->used = !code;
    json_decref(file);
    return code;
}
