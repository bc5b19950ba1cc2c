/* session.c: a session from its options, and what it tells of itself. */
#include "api/session.h"

#include <math.h>
#include <unistd.h>

#include "core/file.h"
#include "core/status.h"
#include "core/threads.h"

enum { MIN_BATCH_TOKENS = 128 };

/* 512 for each thread: more make no thread faster, and the working memory, which every process has for itself, grows with them. */
static size_t default_batch_tokens(unsigned threads) {
    const size_t tokens = 512 * (size_t)threads;
    return tokens < 1024 ? 1024 : tokens > 4096 ? 4096 : tokens;
}

static fov_status parse_methods(fov_session *s, const fov_session_options *o, fov_error *error) {
    const struct {
        fov_place place;
        const char *text;
        const fov_method_info *const *(*infos)(size_t *);
        fov_setting *setting;
    } places[] = {
        {FOV_PLACE_ATTENTION, o->attention ? o->attention : s->model->attention, fov_attention_infos, &s->settings.attention},
        {FOV_PLACE_VALUES, o->values ? o->values : "exact", fov_values_infos, &s->settings.values},
        {FOV_PLACE_FFN, o->ffn ? o->ffn : "exact", fov_ffn_infos, &s->settings.ffn}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        size_t count;
        const fov_method_info *const *infos = places[i].infos(&count);
        fov_status status = fov_setting_parse(places[i].setting, infos, count, places[i].text, error);
        if (status) return status;
        fov_setting_format(places[i].setting, s->methods[places[i].place], FOV_SETTING_TEXT);
    }
    return FOV_OK;
}

static fov_status check_options(fov_session *s, const fov_session_options *o, fov_error *error) {
    if (o->threads > FOV_MAX_THREADS)
        return fov_fail(error, FOV_ERR_ARGUMENT, "threads",
                        "%u threads are too many; give at most %d, or 0 for what the machine offers", o->threads, FOV_MAX_THREADS);
    if (o->max_length && (o->max_length < 3 || o->max_length > s->model->max_length))
        return fov_fail(error, FOV_ERR_ARGUMENT, "max_length",
                        "%zu is outside [3, %zu], the model's limit; give one inside, or 0 for the limit", o->max_length,
                        s->model->max_length);
    if ((unsigned)o->pooling > FOV_POOLING_CLS)
        return fov_fail(error, FOV_ERR_ARGUMENT, "pooling", "%d is no pooling; give FOV_POOLING_MEAN, FOV_POOLING_CLS or 0",
                        (int)o->pooling);
    s->max_length = o->max_length ? o->max_length : s->model->max_length;
    s->pooling = o->pooling ? o->pooling : s->model->info.pooling;
    s->normalize = o->normalize ? o->normalize > 0 : s->model->info.normalize;
    s->settings.seed = o->seed;
    s->settings.threads = o->threads ? o->threads : fov_threads_default();
    s->settings.all_rows = o->all_rows;
    s->settings.longest = s->max_length;
    s->settings.batch_tokens = o->batch_tokens ? o->batch_tokens : default_batch_tokens(s->settings.threads);
    if (s->settings.batch_tokens > (size_t)1 << 24)
        return fov_fail(error, FOV_ERR_ARGUMENT, "batch_tokens", "%zu is more than 16777216; give less, or 0 for the default",
                        o->batch_tokens);
    if (s->settings.batch_tokens < s->max_length) s->settings.batch_tokens = s->max_length;
    if (s->settings.batch_tokens < MIN_BATCH_TOKENS) s->settings.batch_tokens = MIN_BATCH_TOKENS;
    return FOV_OK;
}

/* A method that cannot do without a profile; NULL: all can. */
static const fov_method_info *needs_profile(const fov_session *s) {
    const fov_encoder_settings *e = &s->settings;
    if (fov_values_needs_profile(&e->values)) return e->values.info;
    if (fov_ffn_needs_profile(&e->ffn)) return e->ffn.info;
    return fov_attention_needs_profile(&e->attention) ? e->attention.info : NULL;
}

/* The profile that is named, which must be good even where no method reads it; or the one beside the model where a method cannot do
 * without. */
static fov_status open_profile(fov_session *s, const fov_session_options *o, fov_error *error) {
    char path[FOV_MAX_PATH];
    const char *name = o->profile;
    const bool packed = s->model->packed; /* its weights may have lost what a fit needs */
    const fov_method_info *needing = needs_profile(s);
    const char *method = needing ? needing->name : "";
    if (!name && !needing) return FOV_OK;
    if (!name && s->model->profile) {
        fov_status status =
            fov_profile_open_memory(s->model, s->model->profile, s->model->profile_size, s->model->name, &s->profile, error);
        s->settings.profile = s->profile;
        return status;
    }
    if (!name && !*s->model->folder)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, method,
                        "'%s' needs a calibration profile, and a model from memory has none beside it: name one as profile",
                        method);
    if (!name) {
        fov_status status = fov_path_join(path, s->model->folder, FOV_PROFILE_NAME, error);
        if (status) return status;
        if (access(path, F_OK))
            return fov_fail(error, FOV_ERR_IO, path,
                            "there is no calibration profile, which '%s' needs: make one with 'foveate calibrate --model %s --data "
                            "TEXTS%s%s'",
                            method, packed ? "CHECKPOINT" : s->model->folder, packed ? " --output " : "", packed ? path : "");
        name = path;
    }
    fov_status status = fov_profile_open(s->model, name, &s->profile, error);
    s->settings.profile = s->profile;
    return status;
}

fov_status fov_session_create(const fov_model *model, const fov_session_options *options, fov_session **session, fov_error *error) {
    static const fov_session_options defaults;
    if (!model || !session) return fov_fail(error, FOV_ERR_ARGUMENT, "fov_session_create", "model and session must not be NULL");
    fov_session *s = fov_alloc_zero(&model->allocator, sizeof *s);
    if (!s) return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory" FOV_MEND_MEMORY);
    s->model = model;
    const fov_session_options *o = options ? options : &defaults;
    fov_status status = check_options(s, o, error);
    if (!status) status = parse_methods(s, o, error);
    if (!status) status = fov_encoder_check_attention(model, &s->settings.attention, error);
    if (!status) status = open_profile(s, o, error);
    if (!status) status = fov_encoder_create(model, &s->settings, &s->encoder, error);
    if (status) {
        fov_session_free(s);
        return status;
    }
    fov_setting_format(fov_encoder_baseline(s->encoder), s->baseline, sizeof s->baseline);
    *session = s;
    return FOV_OK;
}

void fov_session_free(fov_session *s) {
    if (!s) return;
    const fov_allocator *allocator = &s->model->allocator;
    fov_buffer *buffers[] = {&s->ids, &s->types, &s->spans, &s->order, &s->batch, &s->trace};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) fov_buffer_free(buffers[i], allocator);
    fov_token_scratch_free(&s->tokens, allocator);
    fov_encoder_free(s->encoder);
    fov_profile_close(s->profile);
    fov_release(allocator, s);
}

const char *fov_session_method(const fov_session *s, fov_place place) {
    return (unsigned)place < 3 ? s->methods[place] : "";
}

const char *fov_session_baseline(const fov_session *s) {
    return s->baseline;
}

int fov_session_profile(const fov_session *s, fov_profile_info *info) {
    if (!s->profile || !needs_profile(s)) return 0;
    const fov_provenance *p = &s->profile->provenance;
    *info = (fov_profile_info){.texts = p->texts,
                               .tokens = p->tokens,
                               .held_texts = s->profile->held_out[0],
                               .held_tokens = s->profile->held_out[1],
                               .max_length = p->max_length,
                               .hash = fov_profile_hash(s->profile)};
    return 1;
}

int fov_session_certificate(const fov_session *s, fov_place place, size_t layer, size_t level, fov_certificate *c) {
    if (!s->profile || layer >= s->model->config.layers) return 0;
    const fov_attention_row *attention = fov_attention_row_of(&s->settings.attention);
    const fov_values_row *values = fov_values_row_of(&s->settings.values);
    const fov_ffn_row *ffn = fov_ffn_row_of(&s->settings.ffn);
    if (place == FOV_PLACE_ATTENTION && attention->certify && s->profile->attention)
        return attention->certify(&s->profile->attention[layer], s->model->config.heads, level, c);
    if (place == FOV_PLACE_VALUES && values->certify)
        return values->certify(&s->profile->layers[layer], s->model->config.heads, level, c);
    if (place == FOV_PLACE_FFN && ffn->certify && s->profile->ffn) return ffn->certify(&s->profile->ffn[layer], level, c);
    return 0;
}

void fov_session_get_stats(const fov_session *s, fov_stats *stats) {
    *stats = s->stats;
    if (isnan(stats->values_exact_padded)) stats->values_exact_padded = stats->values_done_padded = 0;
}

void fov_session_reset_stats(fov_session *s) {
    s->stats = (fov_stats){0};
}

void fov_session_set_progress(fov_session *s, fov_progress progress, void *context) {
    s->progress = progress;
    s->progress_context = context;
}
