/* engine.c: from shared options to a loaded model and a session, and the summary of what a session did. */
#include "engine.h"
#include "progress.h"
#include "report.h"

#include <inttypes.h>
#include <string.h>

int engine_load(engine *e, const shared_settings *settings) {
    fov_error error;
    *e = (engine){0};
    fov_machine machine;
    if (fov_machine_query(&machine, &error)) return complain_api(EXIT_FAILED, &error);
    double start = seconds_now();
    fov_model_options options = {.threads = (unsigned)settings->threads, .dtype = settings->dtype};
    fov_status status =
        settings->model ? fov_model_load(settings->model, &options, &e->model, &error) : embedded_load(&options, &e->model, &error);
    if (status) return complain_api(status == FOV_ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED, &error);
    e->seconds_load = seconds_now() - start;
    e->info = fov_model_get_info(e->model);
    return settings->tuned ? tuned_read(&e->tuned, e->model, settings) : 0;
}

int engine_session(engine *e, const shared_settings *settings, const fov_session_options *extra) {
    fov_session_options options = extra ? *extra : (fov_session_options){0};
    fov_error error;
    options.threads = (unsigned)settings->threads;
    options.seed = settings->seed;
    options.attention = settings->attention;
    options.values = settings->values;
    options.ffn = settings->ffn;
    if (e->tuned.used) {
        if (*e->tuned.attention) options.attention = e->tuned.attention;
        options.values = e->tuned.values;
        options.ffn = e->tuned.ffn;
    }
    options.profile = settings->profile;
    options.max_length = (size_t)settings->max_length;
    fov_session_free(e->session);
    e->session = NULL;
    fov_status status = fov_session_create(e->model, &options, &e->session, &error);
    if (!status) return e->tuned.used ? tuned_check_profile(&e->tuned, e->session) : 0;
    return complain_api(status == FOV_ERR_ARGUMENT || status == FOV_ERR_UNSUPPORTED ? EXIT_USAGE : EXIT_FAILED, &error);
}

int engine_open(engine *e, const shared_settings *settings) {
    const int code = engine_load(e, settings);
    return code ? code : engine_session(e, settings, NULL);
}

const char *engine_piece(const engine *e, int32_t id) {
    const char *piece = fov_model_token(e->model, id);
    return piece ? piece : "";
}

void engine_close(engine *e) {
    fov_session_free(e->session);
    fov_model_free(e->model);
    *e = (engine){0};
}

const fov_method_info *engine_method(const fov_session *session, fov_place place) {
    const char *text = fov_session_method(session, place);
    size_t size = text ? strcspn(text, ":") : 0;
    const fov_method_info *method;
    for (size_t i = 0; (method = fov_method_at(place, i)); i++)
        if (strlen(method->name) == size && !memcmp(method->name, text, size)) return method;
    return NULL;
}

static const fov_place places[] = {FOV_PLACE_ATTENTION, FOV_PLACE_VALUES, FOV_PLACE_FFN};

bool engine_is_random(const engine *e) {
    for (size_t i = 0; i < 3; i++) {
        const fov_method_info *method = engine_method(e->session, places[i]);
        if (method && method->flags & FOV_METHOD_RANDOM) return true;
    }
    return false;
}

bool engine_is_approximate(const engine *e) {
    const char *const exact[] = {fov_session_baseline(e->session), "exact", "exact"};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(fov_session_method(e->session, places[i]), exact[i])) return true;
    return false;
}

const char *engine_label(const void *model, size_t index) {
    return fov_model_label(model, index);
}

const char *head_name(fov_head head) {
    switch (head) {
    case FOV_HEAD_NONE:
        return "none (embeddings)";
    case FOV_HEAD_SINGLE_LABEL:
        return "single label";
    case FOV_HEAD_MULTI_LABEL:
        return "multi-label";
    case FOV_HEAD_REGRESSION:
        return "regression";
    case FOV_HEAD_MASKED_LM:
        return "masked LM";
    case FOV_HEAD_TOKENS:
        return "token labels";
    }
    return "unknown";
}

void engine_summary(const engine *e, size_t empty, double seconds) {
    fov_stats stats;
    fov_session_get_stats(e->session, &stats);
    char blank[40] = "";
    if (empty) snprintf(blank, sizeof blank, " (%zu empty)", empty);
    remark("%" PRIu64 " texts%s, %" PRIu64 " tokens, %" PRIu64 " truncated, %" PRIu64 " with invalid UTF-8, %.2f s, %.0f tokens/s",
           stats.texts, blank, stats.tokens, stats.truncated_texts, stats.invalid_texts, seconds,
           seconds > 0 ? (double)stats.tokens / seconds : 0);
    if (!engine_is_approximate(e) || !(stats.total_exact_real > 0)) return;
    remark("attention %s, values %s, ffn %s: multiply-adds done of the exact path's (attention %s), real tokens: %.1f %% of the "
           "values', %.1f %% of all",
           fov_session_method(e->session, FOV_PLACE_ATTENTION), fov_session_method(e->session, FOV_PLACE_VALUES),
           fov_session_method(e->session, FOV_PLACE_FFN), fov_session_baseline(e->session),
           stats.values_exact_real > 0 ? 100 * stats.values_done_real / stats.values_exact_real : 100,
           100 * stats.total_done_real / stats.total_exact_real);
}
