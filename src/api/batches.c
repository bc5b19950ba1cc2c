/* batches.c: texts to ids, and these to batches. A batch is texts of like length up to batch_tokens; results go back to input
 * order. Buffers only grow, so that a call allocates nothing once its size has been seen. */
#include <string.h>

#include "api/session.h"
#include "core/clock.h"
#include "core/rng.h"
#include "core/status.h"

/* ---- texts to ids ---- */

/* Room for `more` elements after `used`, keeping what is there. */
static bool grow(fov_buffer *buffer, const fov_allocator *allocator, size_t used, size_t more, size_t size) {
    size_t need = fov_mul(fov_add(used, more), size);
    if (need <= buffer->size && buffer->block) return true;
    fov_buffer larger = {0};
    if (!fov_buffer_reserve(&larger, allocator, fov_add(need, need / 2))) return false;
    if (used) memcpy(larger.block, buffer->block, used * size);
    fov_buffer_free(buffer, allocator);
    *buffer = larger;
    return true;
}

fov_status fov_session_tokenize(fov_session *s, const fov_text *texts, size_t count, fov_text_info *info, fov_error *error) {
    const fov_allocator *allocator = &s->model->allocator;
    double start = fov_seconds();
    fov_text_span *spans = fov_buffer_reserve(&s->spans, allocator, fov_mul(count, sizeof *spans));
    if (!spans || count > UINT32_MAX)
        return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory for %zu texts; give fewer at once", count);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        fov_encoding e;
        fov_status status = fov_tokenizer_encode(s->model->tokenizer, &s->tokens, allocator, texts[i].a, texts[i].a_size,
                                                 texts[i].b, texts[i].b_size, s->max_length, &e, error);
        if (status) return status;
        if (!grow(&s->ids, allocator, total, e.count, sizeof(int32_t)) || !grow(&s->types, allocator, total, e.count, 1))
            return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory for the ids of %zu texts; give fewer at once",
                            count);
        memcpy((int32_t *)s->ids.block + total, e.ids, e.count * sizeof(int32_t));
        memcpy((uint8_t *)s->types.block + total, e.types, e.count);
        spans[i] = (fov_text_span){total, (uint32_t)e.count};
        total += e.count;
        s->stats.truncated_texts += e.truncated > 0;
        s->stats.invalid_texts += e.invalid > 0;
        if (info) info[i] = (fov_text_info){e.count, e.truncated, e.invalid};
    }
    s->stats.seconds_tokenize += fov_seconds() - start;
    return FOV_OK;
}

/* ---- batches ---- */

/* Input numbers by length, longest first (so that memory peaks at once), equal lengths in input order: a counting sort. */
static fov_status sort_by_length(fov_session *s, size_t count, uint32_t **order, fov_error *error) {
    size_t lengths = s->max_length + 2;
    uint32_t *block = fov_buffer_reserve(&s->order, &s->model->allocator, fov_mul(fov_add(count, lengths), sizeof *block));
    if (!block) return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory for %zu texts; give fewer at once", count);
    const fov_text_span *spans = s->spans.block;
    uint32_t *start = block + count;
    memset(start, 0, lengths * sizeof *start);
    for (size_t i = 0; i < count; i++) start[s->max_length - spans[i].count + 1]++;
    for (size_t l = 1; l < lengths; l++) start[l] += start[l - 1];
    for (size_t i = 0; i < count; i++) block[start[s->max_length - spans[i].count]++] = (uint32_t)i;
    *order = block;
    return FOV_OK;
}

typedef struct batch_arrays {
    int32_t *ids;
    uint8_t *types;
    size_t *offsets;
    uint64_t *hashes;
    float *out;
} batch_arrays;

static size_t carve(fov_arena *arena, const fov_session *s, size_t outputs, batch_arrays *a) {
    size_t tokens = s->settings.batch_tokens, texts = fov_encoder_max_texts(s->encoder);
    a->ids = fov_arena_take(arena, tokens, sizeof *a->ids);
    a->types = fov_arena_take(arena, tokens, 1);
    a->offsets = fov_arena_take(arena, texts + 1, sizeof *a->offsets);
    a->hashes = fov_arena_take(arena, texts, sizeof *a->hashes);
    a->out = fov_arena_take(arena, fov_mul(texts, outputs), sizeof *a->out);
    return arena->used;
}

/* Fill a batch from order[0..]; returns how many texts it took. */
static size_t fill(const fov_session *s, const uint32_t *order, size_t count, const batch_arrays *a) {
    const fov_text_span *spans = s->spans.block;
    size_t texts = 0, tokens = 0;
    a->offsets[0] = 0;
    while (texts < count && texts < fov_encoder_max_texts(s->encoder)) {
        fov_text_span span = spans[order[texts]];
        if (tokens + span.count > s->settings.batch_tokens) break;
        const int32_t *ids = (const int32_t *)s->ids.block + span.first;
        memcpy(a->ids + tokens, ids, span.count * sizeof *ids);
        memcpy(a->types + tokens, (const uint8_t *)s->types.block + span.first, span.count);
        a->hashes[texts] = fov_hash_ids(ids, span.count);
        tokens += span.count;
        a->offsets[++texts] = tokens;
    }
    return texts;
}

fov_status fov_session_run(fov_session *s, size_t count, const fov_emit *emit, float *out, fov_error *error) {
    uint32_t *order = NULL;
    fov_status status = sort_by_length(s, count, &order, error);
    if (status) return status;
    batch_arrays a;
    fov_arena arena = {0};
    size_t bytes = carve(&arena, s, emit->outputs, &a);
    arena = (fov_arena){fov_buffer_reserve(&s->batch, &s->model->allocator, bytes), 0, bytes, false};
    if (!arena.block)
        return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory: a batch needs %zu bytes; lower batch_tokens", bytes);
    carve(&arena, s, emit->outputs, &a);
    for (size_t done = 0; done < count;) {
        size_t texts = fill(s, order + done, count - done, &a);
        fov_batch batch = {
            .texts = texts, .offsets = a.offsets, .ids = a.ids, .types = a.types, .hashes = a.hashes, .rows = emit->rows};
        const float *hidden;
        status = fov_encoder_run(s->encoder, &batch, &hidden, &s->stats, NULL, NULL, error);
        if (status) return status;
        double start = fov_seconds();
        emit->make(s, &batch, hidden, a.out);
        s->stats.seconds_total += fov_seconds() - start;
        for (size_t i = 0; i < texts; i++)
            memcpy(out + order[done + i] * emit->outputs, a.out + i * emit->outputs, emit->outputs * sizeof *out);
        done += texts;
        if (s->progress && s->progress(s->progress_context, done, count))
            return fov_fail(error, FOV_ERR_ARGUMENT, "progress", "stopped by the caller");
    }
    return FOV_OK;
}
