/* weights.c: from named tensors to packed matrices. One walk over the architecture's names serves three passes: check that every
 * tensor is there with the right shape (loader.c), measure and carve one block, then pack all tensors in parallel
 * (weights_pack.c). */
#include <stdio.h>
#include <string.h>

#include "core/rng.h"
#include "core/status.h"
#include "model/loader.h"
#include "model/packed_form.h"
#include "model/weights_pack.h"

static fov_linear linear(fov_loader *l, const char *base, fov_load_kind kind, size_t m, size_t k) {
    char name[256];
    snprintf(name, sizeof name, "%s.weight", base);
    fov_linear out = {.m = m, .k = k, .type = l->type};
    out.w = fov_loader_take(l, fov_loader_find_part(l, base, "weight"), name, kind, m, k);
    snprintf(name, sizeof name, "%s.bias", base);
    out.bias = fov_loader_take(l, fov_loader_find_part(l, base, "bias"), name, FOV_LOAD_VECTOR, m, 0);
    return out;
}

/* A matrix of the layers: of the model's type. */
static fov_linear layer_linear(fov_loader *l, const char *base, fov_load_kind kind, size_t m, size_t k) {
    l->type = l->model->type;
    fov_linear out = linear(l, base, kind, m, k);
    l->type = FOV_TYPE_F32;
    if (out.type != FOV_TYPE_INT8 || l->status) return out;
    const fov_tensor *t = fov_loader_find_part(l, base, "weight");
    out.scale = fov_loader_take_beside(l, t, FOV_PACKED_SCALE, FOV_F32, m);
    out.sum = fov_loader_take_beside(l, t, FOV_PACKED_SUM, FOV_I32, m);
    if (l->items) l->items[l->count - 2].scale = out.scale, l->items[l->count - 2].sum = out.sum; /* before the bias */
    return out;
}

static fov_norm norm(fov_loader *l, const char *base) {
    char name[256];
    fov_norm out;
    snprintf(name, sizeof name, "%s.weight", base);
    out.gamma = fov_loader_take(l, fov_loader_find_part(l, base, "weight"), name, FOV_LOAD_VECTOR, l->model->config.width, 0);
    snprintf(name, sizeof name, "%s.bias", base);
    out.beta = fov_loader_take(l, fov_loader_find_part(l, base, "bias"), name, FOV_LOAD_VECTOR, l->model->config.width, 0);
    return out;
}

static const char *layer_name(char *text, size_t size, const char *format, size_t layer) {
    const char *mark = strstr(format, "%zu");
    snprintf(text, size, "%.*s%zu%s", (int)(mark - format), format, layer, mark + 3);
    return text;
}

static void walk_head(fov_loader *l) {
    struct fov_model *m = l->model;
    const fov_arch *a = m->arch;
    size_t c = m->config.width;
    if (m->head == FOV_HEAD_NONE) return;
    if (m->head == FOV_HEAD_MASKED_LM) {
        m->lm_dense = linear(l, a->lm_dense, FOV_LOAD_MATRIX, c, c);
        m->lm_norm = norm(l, a->lm_norm);
        m->lm_bias = fov_loader_take(l, fov_loader_find(l, a->lm_bias), a->lm_bias, FOV_LOAD_VECTOR, m->config.vocabulary, 0);
        m->lm_decoder = &m->words;
        if (!fov_loader_find_part(l, a->lm_decoder, "weight")) return;
        m->decoder = fov_loader_table(l, a->lm_decoder, m->config.vocabulary, c);
        m->lm_decoder = &m->decoder;
        return;
    }
    if (m->head == FOV_HEAD_TOKENS) {
        m->classifier = linear(l, a->token_classifier, FOV_LOAD_MATRIX, m->config.labels, c);
        return;
    }
    m->pooler = linear(l, a->pooler, FOV_LOAD_MATRIX, c, c);
    m->classifier = linear(l, a->classifier, FOV_LOAD_MATRIX, m->config.labels, c);
}

/* Tensors that only some checkpoints have: what a method adds to a layer. */
static void walk_extras(fov_loader *l, fov_layer *layer, size_t i) {
    const fov_arch *a = l->model->arch;
    const fov_config *config = &l->model->config;
    const size_t c = config->width;
    char name[160];
    const struct {
        const char *format;
        fov_load_kind kind;
        fov_linear *out;
    } global[] = {{a->q_global, FOV_LOAD_MATRIX, &layer->q_global},
                  {a->k_global, FOV_LOAD_MATRIX, &layer->k_global},
                  {a->v_global, FOV_LOAD_HEADS, &layer->v_global}};
    for (size_t g = 0; g < sizeof global / sizeof *global; g++)
        if (global[g].format) *global[g].out = linear(l, layer_name(name, sizeof name, global[g].format, i), global[g].kind, c, c);
    const fov_tensor *t = a->score_scale ? fov_loader_find(l, layer_name(name, sizeof name, a->score_scale, i)) : NULL;
    if (t) layer->score_scale = fov_loader_take(l, t, name, FOV_LOAD_VECTOR, config->heads, 0);
    t = a->conv ? fov_loader_find(l, layer_name(name, sizeof name, a->conv, i)) : NULL;
    if (!t) return;
    layer->conv_width = t->count / config->heads; /* [heads, 1, width, 1]; centred on the token, so odd */
    if (layer->conv_width * config->heads == t->count && layer->conv_width % 2)
        layer->conv = fov_loader_take_any_shape(l, t);
    else
        l->status = fov_fail(l->error, FOV_ERR_MISMATCH, t->file,
                             "%s holds %zu values, which are no odd number for each of %zu heads; " FOV_MEND_CHECKPOINT, name,
                             t->count, config->heads);
}

static void walk(fov_loader *l) {
    struct fov_model *m = l->model;
    const fov_arch *a = m->arch;
    const fov_config *config = &m->config;
    size_t c = config->width, f = config->ffn_width;
    char name[160];
    m->layers = fov_arena_take(l->arena, config->layers, sizeof *m->layers);
    m->words = fov_loader_table(l, a->word, config->vocabulary, c);
    snprintf(name, sizeof name, "%s.weight", a->position);
    m->positions = fov_loader_take(l, fov_loader_find(l, name), name, FOV_LOAD_VECTOR, config->positions, c);
    snprintf(name, sizeof name, "%s.weight", a->type ? a->type : "");
    m->types = a->type ? fov_loader_take(l, fov_loader_find(l, name), name, FOV_LOAD_VECTOR, config->types, c) : NULL;
    m->embedding_norm = norm(l, a->embedding_norm);
    for (size_t i = 0; i < config->layers && !l->status; i++) {
        fov_layer layer = {0};
        layer.q = layer_linear(l, layer_name(name, sizeof name, a->q, i), FOV_LOAD_MATRIX, c, c);
        layer.k = layer_linear(l, layer_name(name, sizeof name, a->k, i), FOV_LOAD_MATRIX, c, c);
        layer.v = layer_linear(l, layer_name(name, sizeof name, a->v, i), FOV_LOAD_HEADS, c, c);
        layer.o = layer_linear(l, layer_name(name, sizeof name, a->o, i), FOV_LOAD_MATRIX, c, c);
        layer.norm1 = norm(l, layer_name(name, sizeof name, a->norm1, i));
        layer.up = layer_linear(l, layer_name(name, sizeof name, a->up, i), FOV_LOAD_MATRIX, f, c);
        layer.down = layer_linear(l, layer_name(name, sizeof name, a->down, i), FOV_LOAD_MATRIX, c, f);
        layer.norm2 = norm(l, layer_name(name, sizeof name, a->norm2, i));
        walk_extras(l, &layer, i);
        if (m->layers) m->layers[i] = layer;
    }
    if (!l->status && fov_loader_find_part(l, layer_name(name, sizeof name, a->q, config->layers), "weight"))
        l->status = fov_fail(l->error, FOV_ERR_MISMATCH, fov_loader_find_part(l, name, "weight")->file,
                             "the weights hold layer %zu, but config.json says there are %zu layers; " FOV_MEND_CHECKPOINT,
                             config->layers, config->layers);
    walk_head(l);
}

/* The hashes that a packed file brings along. */
static fov_status read_hashes(fov_loader *l) {
    const fov_tensor *t = fov_tensors_find(l->model->tensors, FOV_PACKED_HASHES);
    if (!t || t->dtype != FOV_U64 || t->count != l->count)
        return fov_fail(l->error, FOV_ERR_FORMAT, fov_tensors_at(l->model->tensors, 0)->file,
                        "tensor '" FOV_PACKED_HASHES "' does not hold a number for each of the %zu weights" FOV_MEND_PACKED,
                        l->count);
    for (size_t i = 0; i < l->count; i++)
        memcpy(&l->items[i].hash, (const unsigned char *)t->data + i * sizeof(uint64_t), sizeof(uint64_t));
    return FOV_OK;
}

fov_status fov_model_load_weights(struct fov_model *model, unsigned threads, fov_error *error) {
    fov_arena measure = {0};
    fov_loader first = {.model = model, .arena = &measure, .error = error};
    walk(&first);
    if (first.status) return first.status;
    fov_load_item *items = model->items = fov_alloc(&model->allocator, fov_mul(first.count, sizeof *items));
    model->block = fov_alloc(&model->allocator, measure.used);
    fov_status status = FOV_ERR_MEMORY;
    if (!items || !model->block) goto end;
    fov_arena carve = {model->block, 0, measure.used, false};
    fov_loader second = {.model = model, .arena = &carve, .items = items, .error = error};
    walk(&second);
    status = second.status   ? second.status
             : model->packed ? read_hashes(&second)
                             : fov_weights_pack(model, second.count, threads, error);
    model->info.weight_bytes = measure.used + second.mapped;
    model->item_count = second.count;
end:
    if (status == FOV_ERR_MEMORY)
        fov_fail(error, status, model->name, "out of memory: the weights need %zu bytes; free some, or use a smaller model",
                 measure.used);
    return status;
}

uint64_t fov_model_hash_weights(const struct fov_model *model, uint64_t hash) {
    for (size_t i = 0; i < model->item_count; i++) hash = fov_mix64(hash ^ model->items[i].hash);
    return hash;
}
