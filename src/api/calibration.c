/* calibration.c: the public calls that make a profile: texts through the exact encoder, whose layers' inputs are summed up. */
#include <string.h>

#include "api/session.h"
#include "core/rng.h"
#include "core/status.h"
#include "core/threads.h"

struct fov_calibration {
    fov_allocator allocator;
    fov_session *session;
    fov_moments *fitted, *held; /* sums over the texts of the fits, and over those held out */
    uint32_t *rows;             /* [batch_tokens] of a batch: those of the fits, then those held out */
    size_t fitted_rows;
    fov_moments *contexts[2]; /* [L H] of each head's contexts: of the fits, held out; NULL where attention is not dense */
    float *columns;           /* [batch_tokens][D] of one head */
    fov_sample *sample;       /* of the inputs of the feed-forward layers */
    uint64_t texts, tokens, held_texts, held_tokens, hash;
    uint64_t blank_texts, blank_tokens; /* apart from these: nothing but special tokens, in no sum */
    bool compact;
};

static void divide(fov_calibration *c, const fov_batch *batch) {
    size_t at = 0;
    for (int held = 0; held < 2; held++) {
        for (size_t b = 0; b < batch->texts; b++) {
            if (fov_sample_held(batch->hashes[b]) != (held == 1)) continue;
            for (size_t i = batch->offsets[b]; i < batch->offsets[b + 1]; i++) c->rows[at++] = (uint32_t)i;
        }
        if (!held) c->fitted_rows = at;
    }
}

static void add_contexts(fov_calibration *c, size_t layer, const float *y, size_t rows) {
    const fov_config *config = &c->session->model->config;
    const size_t d = config->width / config->heads;
    if (!c->contexts[0]) return;
    for (size_t h = 0; h < config->heads; h++) {
        for (size_t i = 0; i < rows; i++) memcpy(c->columns + i * d, y + i * config->width + h * d, d * sizeof *c->columns);
        fov_moments_add(c->contexts[0], layer * config->heads + h, c->columns, c->rows, c->fitted_rows);
        fov_moments_add(c->contexts[1], layer * config->heads + h, c->columns, c->rows + c->fitted_rows, rows - c->fitted_rows);
    }
}

static void observe(void *context, fov_seam seam, size_t layer, const fov_batch *batch, const float *x, size_t rows) {
    fov_calibration *c = context;
    if (seam == FOV_SEAM_FFN) {
        fov_sample_add(c->sample, layer, x);
        return;
    }
    if (seam == FOV_SEAM_CONTEXT) {
        add_contexts(c, layer, x, rows);
        return;
    }
    if (!layer) {
        fov_sample_choose(c->sample, batch->texts, batch->offsets, batch->hashes);
        divide(c, batch);
    }
    fov_moments_add(c->fitted, layer, x, c->rows, c->fitted_rows);
    fov_moments_add(c->held, layer, x, c->rows + c->fitted_rows, rows - c->fitted_rows);
}

static fov_status create_contexts(fov_calibration *c, unsigned threads) {
    const struct fov_model *model = c->session->model;
    const size_t heads = model->config.heads, d = model->config.width / heads;
    fov_status status = FOV_OK;
    if (!fov_attention_fit_wanted(model)) return FOV_OK;
    c->columns = fov_alloc(&model->allocator, fov_mul(fov_mul(c->session->settings.batch_tokens, d), sizeof *c->columns));
    if (!c->columns) status = FOV_ERR_MEMORY;
    for (size_t i = 0; i < 2 && !status; i++)
        status = fov_moments_create(fov_mul(model->config.layers, heads), d, threads, &model->allocator, &c->contexts[i]);
    return status;
}

fov_status fov_calibration_create(const fov_model *model, const fov_calibration_options *options, fov_calibration **calibration,
                                  fov_error *error) {
    static const fov_calibration_options defaults;
    if (!model || !calibration)
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_calibration_create", "model and calibration must not be NULL");
    const fov_calibration_options *o = options ? options : &defaults;
    fov_calibration *c = fov_alloc_zero(&model->allocator, sizeof *c);
    if (!c) return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory");
    c->allocator = model->allocator;
    c->compact = o->compact;
    const fov_session_options s = {
        .threads = o->threads, .max_length = o->max_length, .batch_tokens = o->batch_tokens, .all_rows = 1};
    fov_status status = fov_session_create(model, &s, &c->session, error);
    if (!status) {
        const size_t layers = model->config.layers, width = model->config.width;
        const unsigned threads = c->session->settings.threads;
        status = fov_moments_create(layers, width, threads, &model->allocator, &c->fitted);
        if (!status) status = fov_moments_create(layers, width, threads, &model->allocator, &c->held);
        c->rows = fov_alloc(&model->allocator, fov_mul(c->session->settings.batch_tokens, sizeof *c->rows));
        if (!status && !c->rows) status = FOV_ERR_MEMORY;
        if (!status) status = create_contexts(c, threads);
        if (!status)
            status = fov_sample_create(model->config.layers, model->config.width, fov_profile_sample(model), &model->allocator,
                                       &c->sample);
        if (status) fov_fail(error, status, model->name, "out of memory for the statistics of %zu layers", model->config.layers);
    }
    if (status) {
        fov_calibration_free(c);
        return status;
    }
    fov_encoder_observe(c->session->encoder, observe, c);
    *calibration = c;
    return FOV_OK;
}

void fov_calibration_free(fov_calibration *c) {
    if (!c) return;
    const fov_allocator allocator = c->allocator;
    fov_session_free(c->session);
    fov_moments_free(c->fitted);
    fov_moments_free(c->held);
    for (size_t i = 0; i < 2; i++) fov_moments_free(c->contexts[i]);
    fov_release(&allocator, c->columns);
    fov_release(&allocator, c->rows);
    fov_sample_free(c->sample);
    fov_release(&allocator, c);
}

void fov_calibration_set_progress(fov_calibration *c, fov_progress progress, void *context) {
    fov_session_set_progress(c->session, progress, context);
}

static void ignore(fov_session *session, const fov_batch *batch, const float *hidden, float *out) {
    (void)session;
    (void)batch;
    (void)hidden;
    (void)out;
}

/* A blank text says nothing about the texts to come: its span is dropped. Returns how many are left. */
static size_t drop_blank(fov_calibration *c, const fov_text *texts, size_t count) {
    fov_text_span *spans = c->session->spans.block;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].count > fov_tokenizer_around(c->session->model->tokenizer, texts[i].b != NULL)) {
            spans[kept++] = spans[i];
            continue;
        }
        c->blank_texts++;
        c->blank_tokens += spans[i].count;
    }
    return kept;
}

fov_status fov_calibration_add(fov_calibration *c, const fov_text *texts, size_t count, fov_error *error) {
    float none[1];
    if (!c || (count && !texts))
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_calibration_add", "calibration and texts must not be NULL");
    for (size_t i = 0; i < count; i++)
        if ((!texts[i].a && texts[i].a_size) || (!texts[i].b && texts[i].b_size))
            return fov_fail(error, FOV_ERR_ARGUMENT, "fov_calibration_add", "text %zu is NULL but has a size", i);
    fov_status status = fov_session_tokenize(c->session, texts, count, NULL, error);
    const fov_emit emit = {FOV_ROWS_FIRST, 0, ignore};
    if (status) return status;
    const size_t kept = drop_blank(c, texts, count);
    status = fov_session_run(c->session, kept, &emit, none, error);
    if (status) return status;
    const fov_text_span *spans = c->session->spans.block;
    for (size_t i = 0; i < kept; i++) {
        const int32_t *ids = (const int32_t *)c->session->ids.block + spans[i].first;
        const uint64_t hash = fov_hash_ids(ids, spans[i].count);
        c->hash += fov_mix64(hash); /* a sum: whatever the order */
        c->tokens += spans[i].count;
        if (fov_sample_held(hash)) {
            c->held_texts++;
            c->held_tokens += spans[i].count;
        }
    }
    c->texts += kept;
    return FOV_OK;
}

void fov_calibration_get_counts(const fov_calibration *c, fov_calibration_counts *counts) {
    *counts = (fov_calibration_counts){c->texts + c->blank_texts, c->tokens + c->blank_tokens, c->session->stats.truncated_texts,
                                       fov_profile_tokens(c->session->model)};
}

static fov_status check_enough(const fov_calibration *c, fov_error *error) {
    const char *name = c->session->model->name;
    const uint64_t needed = fov_profile_tokens(c->session->model);
    const uint64_t texts = c->texts, tokens = c->tokens;
    if (tokens >= needed) return FOV_OK;
    if (!texts)
        return fov_fail(error, FOV_ERR_ARGUMENT, name, "no texts%s%.0llu%s: a profile of this model needs %llu tokens",
                        c->blank_texts ? ": all " : "", (unsigned long long)c->blank_texts, c->blank_texts ? " are blank" : "",
                        (unsigned long long)needed);
    return fov_fail(
        error, FOV_ERR_ARGUMENT, name,
        "too few texts: %llu with %llu tokens%s%.0llu%s, but a profile of this model needs %llu tokens, about %llu such "
        "texts",
        (unsigned long long)texts, (unsigned long long)tokens, c->blank_texts ? " (and " : "", (unsigned long long)c->blank_texts,
        c->blank_texts ? " blank)" : "", (unsigned long long)needed, (unsigned long long)((needed * texts + tokens - 1) / tokens));
}

fov_status fov_calibration_write(fov_calibration *c, fov_writer write, void *context, fov_error *error) {
    if (!c || !write) return fov_fail(error, FOV_ERR_ARGUMENT, "fov_calibration_write", "calibration and write must not be NULL");
    const struct fov_model *model = c->session->model;
    fov_status status = check_enough(c, error);
    if (status) return status;
    if (!c->held_texts || c->held_texts == c->texts)
        return fov_fail(error, FOV_ERR_ARGUMENT, model->name,
                        "too few different texts: of %llu, %llu are held out of the fits, to measure them (one of eight is, by its "
                        "hash, and equal ones alike); some must be and some not: give at least some dozens",
                        (unsigned long long)c->texts, (unsigned long long)c->held_texts);
    const fov_profile_options options = {.threads = c->session->settings.threads,
                                         .compact = c->compact,
                                         .progress = c->session->progress,
                                         .progress_context = c->session->progress_context};
    const fov_provenance provenance = {.format = 1,
                                       .model = fov_model_hash(model),
                                       .texts_hash = c->hash,
                                       .texts = c->texts,
                                       .tokens = c->tokens,
                                       .max_length = c->session->max_length};
    const fov_profile_sums sums = {
        c->fitted, c->held, {c->contexts[0], c->contexts[1]}, c->sample, {c->held_texts, c->held_tokens}};
    return fov_profile_write(model, &sums, &provenance, &options, write, context, error);
}
