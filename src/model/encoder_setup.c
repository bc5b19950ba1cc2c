/* encoder_setup.c: an encoder's memory, and its methods bound to the model's layers. */
#include "core/status.h"
#include "model/encoder_state.h"
#include "model/profile.h"

enum { GROUP_FLOATS = 4 << 20 };

size_t fov_encoder_weight_floats(const fov_encoder *e) {
    size_t one_text = fov_mul(e->model->config.heads,
                              fov_attention_weight_floats(&e->s.attention, e->model->globals, e->s.longest, e->s.longest));
    return one_text > GROUP_FLOATS ? one_text : GROUP_FLOATS;
}

fov_value_weights fov_encoder_value_weights(const fov_encoder *e, size_t layer) {
    const fov_config *c = &e->model->config;
    const fov_attention_projections *own = &e->projections[layer];
    const fov_linear *v = &own->v;
    return (fov_value_weights){.width = c->width,
                               .heads = own->made ? 1 : c->heads, /* one matrix */
                               .head_size = own->made ? v->m : c->width / c->heads,
                               .packed = v->w,
                               .bias = v->bias,
                               .type = v->type,
                               .scale = v->scale,
                               .sum = v->sum};
}

/* The feed-forward goes by importance. */
static bool guided(const fov_encoder *e) {
    return e->ffn->info.flags & FOV_METHOD_NEEDS_IMPORTANCE;
}

static size_t carve(fov_encoder *e, fov_arena *arena) {
    const fov_config *c = &e->model->config;
    size_t n = e->s.batch_tokens, rows = fov_mul(n, c->width), d = c->width / c->heads;
    size_t fill = fov_add(fov_mul(2 * FOV_PANEL, c->width), FOV_FILL_ROWS * FOV_PANEL); /* heads.c: a panel of the vocabulary */
    if (rows < fill) rows = fill;
    fov_attention_size attention = {
        e->s.longest, e->max_texts, n, c->heads, d, e->s.threads, e->model->globals, e->model->globals ? c->width : 0, false};
    fov_values_size values = {n, e->max_texts, e->s.longest, c->width, c->heads, d, e->s.threads};
    e->x = fov_arena_take(arena, rows, sizeof(float));
    e->q = fov_arena_take(arena, rows, sizeof(float));
    e->k = fov_arena_take(arena, rows, sizeof(float));
    e->v = fov_arena_take(arena, rows, sizeof(float));
    e->y = e->count_all_rows || e->attention->bind ? fov_arena_take(arena, rows, sizeof(float)) : e->q;
    e->row_offsets = fov_arena_take(arena, e->max_texts + 1, sizeof(size_t));
    e->row_starts = fov_arena_take(arena, e->max_texts + 1, sizeof(size_t));
    e->starts = fov_arena_take(arena, e->max_texts, sizeof(size_t));
    e->rows = fov_arena_take(arena, n, sizeof(uint32_t));
    e->row_queries = fov_arena_take(arena, n, sizeof(uint32_t));
    e->gemm_scratch = fov_arena_take(arena, fov_mul(e->s.threads, fov_gemm_scratch()), sizeof(float));
    e->attention_scratch = fov_arena_take(arena, e->attention->workspace(&e->s.attention, &attention), 1);
    e->values_scratch = fov_arena_take(arena, e->values->workspace(&values), 1);
    e->ffn_scratch = fov_arena_take(arena, e->ffn->workspace(n, c->ffn_width), 1);
    size_t cells = fov_mul(c->heads, n);
    e->col_max = e->max ? fov_arena_take(arena, cells, sizeof(float)) : NULL;
    e->col_energy = e->energy ? fov_arena_take(arena, cells, sizeof(float)) : NULL;
    e->token_energy = guided(e) ? fov_arena_take(arena, n, sizeof(float)) : NULL;
    e->weights = fov_arena_take(arena, fov_encoder_stores(e, e->s.longest) ? fov_encoder_weight_floats(e) : 0, sizeof(float));
    return arena->used;
}

fov_status fov_encoder_check_attention(const struct fov_model *model, const fov_setting *attention, fov_error *error) {
    const fov_setting baseline = fov_encoder_baseline_of(model);
    if (!fov_attention_row_of(attention)->bind || fov_attention_row_of(&baseline) == &fov_attention_dense) return FOV_OK;
    return fov_fail(error, FOV_ERR_UNSUPPORTED, attention->info->name,
                    "'%s' stands in the place of 'dense' attention, but this checkpoint's is '%s'", attention->info->name,
                    baseline.info->name);
}

static fov_status check_methods(const fov_encoder *e, fov_error *error) {
    if (e->attention->makes_values && e->attention->makes_values(&e->s.attention) && e->values != &fov_values_exact)
        return fov_fail(
            error, FOV_ERR_UNSUPPORTED, e->values->info.name,
            "attention '%s' with kappa makes values narrower itself, so value estimator '%s' cannot: use --values exact, or "
            "kappa=0",
            e->attention->info.name, e->values->info.name);
    if (e->values_wait && !(e->attention->info.flags & FOV_METHOD_HAS_IMPORTANCE))
        return fov_fail(
            error, FOV_ERR_UNSUPPORTED, e->values->info.name,
            "value estimator '%s' needs attention weights, which '%s' attention never forms; use --values exact or a softmax "
            "attention",
            e->values->info.name, e->attention->info.name);
    if (e->s.trace && !(e->attention->info.flags & FOV_METHOD_HAS_IMPORTANCE))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, e->attention->info.name,
                        "'%s' attention never forms weights, so there is no importance to explain; use a softmax attention",
                        e->attention->info.name);
    if (guided(e) && !(e->attention->info.flags & FOV_METHOD_HAS_IMPORTANCE))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, e->ffn->info.name,
                        "feed-forward method '%s' needs attention weights, which '%s' attention never forms; use --ffn exact or a "
                        "softmax attention",
                        e->ffn->info.name, e->attention->info.name);
    if (e->values->f32_only && e->model->type != FOV_TYPE_F32)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, e->values->info.name,
                        "value estimator '%s' needs f32 weights; load the model with dtype f32", e->values->info.name);
    if (e->ffn->f32_only && e->model->type != FOV_TYPE_F32)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, e->ffn->info.name,
                        "feed-forward method '%s' needs f32 weights; load the model with dtype f32", e->ffn->info.name);
    return FOV_OK;
}

static fov_status bind_attention(fov_encoder *e, size_t l, fov_error *error) {
    const fov_config *c = &e->model->config;
    const fov_layer *layer = &e->model->layers[l];
    e->projections[l] = (fov_attention_projections){.q = layer->q,
                                                    .k = layer->k,
                                                    .v = layer->v,
                                                    .o = layer->o,
                                                    .heads = c->heads,
                                                    .key_size = c->width / c->heads,
                                                    .value_size = c->width / c->heads};
    if (!e->attention->bind) return FOV_OK;
    const fov_attention_profile *profile = e->s.profile && e->s.profile->attention ? &e->s.profile->attention[l] : NULL;
    const fov_status status =
        e->attention->bind(&e->s.attention, &e->projections[l], profile, &e->model->allocator, &e->bound_attention[l], error);
    if (e->bound_attention[l]) e->projections[l] = *e->bound_attention[l];
    return status;
}

static fov_status bind_layers(fov_encoder *e, fov_error *error) {
    for (size_t l = 0; l < e->model->config.layers; l++) {
        const fov_status status = bind_attention(e, l, error);
        if (status) return status;
    }
    for (size_t l = 0; l < e->model->config.layers && e->values->bind; l++) {
        fov_value_weights w = fov_encoder_value_weights(e, l);
        w.profile = e->s.profile ? &e->s.profile->layers[l] : NULL;
        fov_status status = e->values->bind(&e->s.values, &w, &e->model->allocator, &e->bound[l], error);
        if (status) return status;
    }
    for (size_t l = 0; l < e->model->config.layers && e->ffn->bind; l++) {
        const fov_layer *layer = &e->model->layers[l];
        const fov_ffn_weights w = {layer->up, layer->down, e->model->activation};
        const fov_ffn_profile *profile = e->s.profile && e->s.profile->ffn ? &e->s.profile->ffn[l] : NULL;
        fov_status status = e->ffn->bind(&e->s.ffn, &w, profile, &e->model->allocator, &e->bound_ffn[l], error);
        if (status) return status;
    }
    return FOV_OK;
}

fov_status fov_encoder_create(const struct fov_model *model, const fov_encoder_settings *settings, fov_encoder **encoder,
                              fov_error *error) {
    const fov_allocator *allocator = &model->allocator;
    fov_encoder *e = fov_alloc_zero(allocator, sizeof *e);
    if (!e) return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory" FOV_MEND_MEMORY);
    e->model = model;
    e->s = *settings;
    e->attention = fov_attention_row_of(&settings->attention);
    e->values = fov_values_row_of(&settings->values);
    e->ffn = fov_ffn_row_of(&settings->ffn);
    e->baseline = fov_encoder_baseline_of(model);
    e->values_wait = e->values->info.flags & FOV_METHOD_NEEDS_IMPORTANCE;
    e->importance = settings->trace || guided(e) || e->values_wait;
    e->max = settings->trace || e->values->needs_max;
    e->energy = guided(e) || e->values->needs_energy;
    e->padded = 128;
    for (size_t i = 0; i < e->values->info.param_count; i++)
        if (e->values->info.params[i].type == FOV_PARAM_LENGTH && settings->values.values[i] > 0) {
            e->count_all_rows = true;
            e->padded = settings->values.values[i];
        }
    e->max_texts = e->s.batch_tokens / 2 + 1; /* a text has at least [CLS] and [SEP] */
    fov_status status = fov_encoder_check_attention(model, &settings->attention, error);
    if (!status) status = check_methods(e, error);
    fov_arena arena = {0};
    size_t bytes = carve(e, &arena);
    if (status) goto end;
    e->bound = fov_alloc_zero(allocator, fov_mul(model->config.layers, sizeof *e->bound));
    e->bound_ffn = fov_alloc_zero(allocator, fov_mul(model->config.layers, sizeof *e->bound_ffn));
    e->bound_attention = fov_alloc_zero(allocator, fov_mul(model->config.layers, sizeof *e->bound_attention));
    e->projections = fov_alloc_zero(allocator, fov_mul(model->config.layers, sizeof *e->projections));
    e->block = fov_alloc(allocator, bytes);
    status = FOV_ERR_MEMORY;
    if (!e->bound || !e->bound_ffn || !e->bound_attention || !e->projections || !e->block) goto end;
    arena = (fov_arena){e->block, 0, bytes, false};
    carve(e, &arena);
    status = bind_layers(e, error);
end:
    if (status == FOV_ERR_MEMORY)
        fov_fail(error, status, model->name, "out of memory: a session needs %zu bytes; lower batch_tokens or max_length", bytes);
    if (status) {
        fov_encoder_free(e);
        return status;
    }
    *encoder = e;
    return FOV_OK;
}

void fov_encoder_free(fov_encoder *e) {
    if (!e) return;
    const fov_allocator *allocator = &e->model->allocator;
    for (size_t l = 0; e->bound && l < e->model->config.layers; l++) fov_release(allocator, e->bound[l]);
    for (size_t l = 0; e->bound_ffn && l < e->model->config.layers; l++) fov_release(allocator, e->bound_ffn[l]);
    for (size_t l = 0; e->bound_attention && l < e->model->config.layers; l++) fov_release(allocator, e->bound_attention[l]);
    fov_release(allocator, e->projections);
    fov_release(allocator, e->bound_attention);
    fov_release(allocator, e->bound);
    fov_release(allocator, e->bound_ffn);
    fov_release(allocator, e->block);
    fov_release(allocator, e);
}

void fov_encoder_observe(fov_encoder *e, fov_observe observe, void *context) {
    e->observe = observe;
    e->observe_context = context;
}

void fov_encoder_trace_heads(fov_encoder *e, float *importance, float *work) {
    e->head_importance = importance;
    e->head_work = work;
}

size_t fov_encoder_max_texts(const fov_encoder *e) {
    return e->max_texts;
}
const fov_setting *fov_encoder_baseline(const fov_encoder *e) {
    return &e->baseline;
}
const struct fov_model *fov_encoder_model(const fov_encoder *e) {
    return e->model;
}
fov_encoder_scratch fov_encoder_borrow(fov_encoder *e) {
    return (fov_encoder_scratch){e->q, e->k, e->gemm_scratch, e->s.threads};
}
