/* run.c: the public calls on texts: classify, embed, fill-mask, tokenize, explain. */
#include <math.h>
#include <string.h>

#include "api/session.h"
#include "core/rng.h"
#include "core/status.h"

static fov_status check_texts(const char *call, const fov_session *s, const fov_text *texts, size_t count, const void *out,
                              fov_error *error) {
    if (!s || (count && (!texts || !out)))
        return fov_fail(error, FOV_ERR_ARGUMENT, call, "session, texts and output must not be NULL");
    for (size_t i = 0; i < count; i++)
        if ((!texts[i].a && texts[i].a_size) || (!texts[i].b && texts[i].b_size))
            return fov_fail(error, FOV_ERR_ARGUMENT, call, "text %zu is NULL but has a size; give it bytes, or size 0", i);
    return FOV_OK;
}

/* ---- classify ---- */

static void make_logits(fov_session *s, const fov_batch *batch, const float *hidden, float *out) {
    fov_encoder_classify(s->encoder, hidden, batch->texts, out, &s->stats);
}

fov_status fov_classify(fov_session *s, const fov_text *texts, size_t count, float *logits, fov_text_info *info, fov_error *error) {
    fov_status status = check_texts("fov_classify", s, texts, count, logits, error);
    if (status) return status;
    if (!s->model->info.labels || s->model->head == FOV_HEAD_TOKENS)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, s->model->name,
                        "the model has no classification head (its class is '%s'); use embed%s", s->model->config.architecture,
                        s->model->head == FOV_HEAD_MASKED_LM ? " or fill-mask"
                        : s->model->head == FOV_HEAD_TOKENS  ? " or tag"
                                                             : "");
    status = fov_session_tokenize(s, texts, count, info, error);
    fov_emit emit = {FOV_ROWS_FIRST, s->model->info.labels, make_logits};
    return status ? status : fov_session_run(s, count, &emit, logits, error);
}

void fov_scores(const fov_model *model, const float *logits, float *scores) {
    size_t n = model->info.labels;
    if (model->head == FOV_HEAD_REGRESSION) {
        memcpy(scores, logits, n * sizeof *scores);
        return;
    }
    if (model->head == FOV_HEAD_MULTI_LABEL) {
        for (size_t i = 0; i < n; i++) scores[i] = (float)(1 / (1 + exp(-(double)logits[i])));
        return;
    }
    double peak = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) peak = fmax(peak, (double)logits[i]);
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i] - peak);
    for (size_t i = 0; i < n; i++) scores[i] = (float)(exp((double)logits[i] - peak) / sum);
}

/* ---- embed ---- */

static void make_vectors(fov_session *s, const fov_batch *batch, const float *hidden, float *out) {
    fov_encoder_pool(s->model, hidden, batch->offsets, batch->texts, s->pooling, s->normalize, out);
}

fov_status fov_embed(fov_session *s, const fov_text *texts, size_t count, float *vectors, fov_text_info *info, fov_error *error) {
    fov_status status = check_texts("fov_embed", s, texts, count, vectors, error);
    if (!status) status = fov_session_tokenize(s, texts, count, info, error);
    if (status) return status;
    fov_emit emit = {s->pooling == FOV_POOLING_CLS ? FOV_ROWS_FIRST : FOV_ROWS_ALL, s->model->config.width, make_vectors};
    return fov_session_run(s, count, &emit, vectors, error);
}

/* ---- tokenize ---- */

fov_status fov_tokenize(fov_session *s, const fov_text *text, int32_t *ids, uint8_t *types, size_t capacity, size_t *count,
                        fov_text_info *info, fov_error *error) {
    fov_status status = check_texts("fov_tokenize", s, text, 1, count, error);
    if (status) return status;
    if (capacity && !ids)
        return fov_fail(error, FOV_ERR_ARGUMENT, "fov_tokenize", "ids is NULL but capacity is %zu; give it room, or capacity 0",
                        capacity);
    fov_encoding e;
    status = fov_tokenizer_encode(s->model->tokenizer, &s->tokens, &s->model->allocator, text->a, text->a_size, text->b,
                                  text->b_size, s->max_length, &e, error);
    if (status) return status;
    size_t n = e.count < capacity ? e.count : capacity;
    if (n) memcpy(ids, e.ids, n * sizeof *ids);
    if (n && types) memcpy(types, e.types, n);
    *count = e.count;
    if (info) *info = (fov_text_info){e.count, e.truncated, e.invalid};
    return FOV_OK;
}

/* ---- one text through the encoder ---- */

typedef struct single {
    size_t offsets[2];
    uint64_t hash;
    fov_batch batch;
} single;

static fov_status tokenize_single(fov_session *s, const fov_text *text, single *one, fov_error *error) {
    fov_status status = fov_session_tokenize(s, text, 1, NULL, error);
    if (status) return status;
    size_t count = ((const fov_text_span *)s->spans.block)->count;
    one->offsets[0] = 0;
    one->offsets[1] = count;
    one->hash = fov_hash_ids(s->ids.block, count);
    one->batch =
        (fov_batch){.texts = 1, .offsets = one->offsets, .ids = s->ids.block, .types = s->types.block, .hashes = &one->hash};
    return FOV_OK;
}

fov_status fov_fill_mask(fov_session *s, const fov_text *text, size_t top, fov_candidate *candidates, size_t *masks,
                         fov_error *error) {
    fov_status status = check_texts("fov_fill_mask", s, text, 1, candidates, error);
    if (status) return status;
    if (!masks || !top) return fov_fail(error, FOV_ERR_ARGUMENT, "fov_fill_mask", "masks must not be NULL, top not 0");
    if (s->model->head != FOV_HEAD_MASKED_LM)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, s->model->name,
                        "the model has no masked-LM head (its class is '%s'); load one of a ...ForMaskedLM class",
                        s->model->config.architecture);
    if (top > s->model->config.vocabulary)
        return fov_fail(error, FOV_ERR_ARGUMENT, "top", "%zu is more than the vocabulary of %zu; ask for fewer", top,
                        s->model->config.vocabulary);
    single one;
    if ((status = tokenize_single(s, text, &one, error))) return status;
    size_t count = one.offsets[1], found = 0, row_offsets[2];
    uint32_t *rows = fov_buffer_reserve(&s->order, &s->model->allocator, fov_mul(count, sizeof *rows));
    if (!rows) return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory" FOV_MEND_MEMORY);
    int32_t mask = fov_tokenizer_special(s->model->tokenizer).mask;
    for (size_t i = 0; i < count; i++)
        if (one.batch.ids[i] == mask) rows[found++] = (uint32_t)i;
    if (!found)
        return fov_fail(error, FOV_ERR_ARGUMENT, "text", "there is no %s in the text; put one where a word is sought",
                        mask < 0 ? "mask token in the vocabulary and so none" : fov_model_token(s->model, mask));
    if (found > *masks)
        return fov_fail(error, FOV_ERR_ARGUMENT, "text", "%zu masks, but room for %zu; give more room", found, *masks);
    row_offsets[0] = 0;
    row_offsets[1] = found;
    one.batch.rows = FOV_ROWS_LIST;
    one.batch.row_list = rows;
    one.batch.row_offsets = row_offsets;
    const float *hidden;
    if ((status = fov_encoder_run(s->encoder, &one.batch, &hidden, &s->stats, NULL, NULL, error))) return status;
    fov_encoder_fill(s->encoder, hidden, found, top, candidates, &s->stats);
    *masks = found;
    return FOV_OK;
}

fov_status fov_tag(fov_session *s, const fov_text *text, float *logits, size_t *tokens, fov_error *error) {
    fov_status status = check_texts("fov_tag", s, text, 1, logits, error);
    if (status) return status;
    if (!tokens) return fov_fail(error, FOV_ERR_ARGUMENT, "fov_tag", "tokens must not be NULL");
    if (s->model->head != FOV_HEAD_TOKENS)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, s->model->name,
                        "the model does not label tokens (its class is '%s'); load one of a ...ForTokenClassification class",
                        s->model->config.architecture);
    single one;
    if ((status = tokenize_single(s, text, &one, error))) return status;
    if (one.offsets[1] > *tokens)
        return fov_fail(error, FOV_ERR_ARGUMENT, "tokens", "%zu tokens, but room for %zu; give more room", one.offsets[1], *tokens);
    one.batch.rows = FOV_ROWS_ALL;
    const float *hidden;
    if ((status = fov_encoder_run(s->encoder, &one.batch, &hidden, &s->stats, NULL, NULL, error))) return status;
    fov_encoder_tag(s->encoder, hidden, one.offsets[1], logits, &s->stats);
    *tokens = one.offsets[1];
    return FOV_OK;
}

fov_status fov_explain(fov_session *s, const fov_text *text, fov_explanation *explanation, fov_error *error) {
    fov_status status = check_texts("fov_explain", s, text, 1, explanation, error);
    if (status) return status;
    single one;
    if ((status = tokenize_single(s, text, &one, error))) return status;
    size_t layers = s->model->config.layers, tokens = one.offsets[1], cells = layers * tokens, heads = s->model->config.heads,
           of_heads = layers * heads, labels = s->model->head == FOV_HEAD_TOKENS ? 0 : s->model->info.labels;
    float *block =
        fov_buffer_reserve(&s->trace, &s->model->allocator, fov_mul(fov_add(2 * (cells + of_heads), labels), sizeof *block));
    if (!block) return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory" FOV_MEND_MEMORY);
    /* A second encoder that tells importance whatever the estimator: explaining is rare, so its memory is not kept. */
    fov_encoder_settings settings = s->settings;
    settings.trace = true;
    settings.longest = tokens;
    settings.batch_tokens = tokens < 128 ? 128 : tokens;
    fov_encoder *encoder;
    if ((status = fov_encoder_create(s->model, &settings, &encoder, error))) return status;
    float *work = block + cells, *head_importance = work + cells, *head_work = head_importance + of_heads,
          *logits = head_work + of_heads;
    memset(head_importance, 0, 2 * of_heads * sizeof *block);
    fov_encoder_trace_heads(encoder, head_importance, head_work);
    bool all =
        s->model->head == FOV_HEAD_MASKED_LM || s->model->head == FOV_HEAD_TOKENS || (!labels && s->pooling == FOV_POOLING_MEAN);
    one.batch.rows = all ? FOV_ROWS_ALL : FOV_ROWS_FIRST;
    const float *hidden;
    status = fov_encoder_run(encoder, &one.batch, &hidden, &s->stats, block, work, error);
    if (!status && labels) fov_encoder_classify(encoder, hidden, 1, logits, &s->stats);
    fov_encoder_free(encoder);
    if (status) return status;
    for (size_t i = 0; i < 2 * of_heads; i++) head_importance[i] /= (float)tokens; /* and head_work, which follows */
    *explanation = (fov_explanation){.tokens = tokens,
                                     .layers = layers,
                                     .heads = heads,
                                     .ids = one.batch.ids,
                                     .importance = block,
                                     .work = work,
                                     .head_importance = head_importance,
                                     .head_work = head_work,
                                     .logits = labels ? logits : NULL};
    return FOV_OK;
}
