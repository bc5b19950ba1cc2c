/* weights.c: from named tensors to packed matrices. One walk over the architecture's names serves three passes: check that every
 * tensor is there with the right shape, measure and carve one block, then pack all tensors in parallel. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/packed.h"

#define MEND "give config.json and weights of one checkpoint"

typedef fov_load_item load_item;

typedef struct loader {
    struct fov_model *model;
    fov_arena *arena;
    load_item *items; /* NULL in the first pass */
    size_t count;
    size_t mapped; /* bytes that are used where they are */
    fov_type type; /* of the matrices that come now */
    fov_status status;
    fov_error *error;
} loader;

static const char *where_of(const fov_tensor *t, char *text, size_t size) {
    snprintf(text, size, "%s: %s", t->file, t->name);
    return text;
}

/* `name` with the prefix, or without; NULL when absent both ways. */
static const fov_tensor *lookup(const loader *l, const char *name) {
    const fov_tensor *t = fov_tensors_find(l->model->tensors, name);
    if (t) return t;
    const char *prefix = l->model->arch->prefix;
    char full[320];
    if (!strncmp(name, prefix, strlen(prefix))) return fov_tensors_find(l->model->tensors, name + strlen(prefix));
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return fov_tensors_find(l->model->tensors, full);
}

/* base + ".weight" or ".bias"; layer norms of old checkpoints say gamma and beta. */
static const fov_tensor *lookup_part(const loader *l, const char *base, const char *part) {
    char name[256];
    snprintf(name, sizeof name, "%s.%s", base, part);
    const fov_tensor *t = lookup(l, name);
    if (t) return t;
    snprintf(name, sizeof name, "%s.%s", base, strcmp(part, "weight") ? "beta" : "gamma");
    return lookup(l, name);
}

static void missing(loader *l, const char *name) {
    if (l->status) return;
    l->status =
        fov_fail(l->error, FOV_ERR_MISMATCH, fov_tensors_count(l->model->tensors) ? fov_tensors_at(l->model->tensors, 0)->file : "",
                 "tensor '%s' is missing, but config.json (%s, %zu layers) needs it; " MEND, name, l->model->config.architecture,
                 l->model->config.layers);
}

/* A note to fill `out` from a tensor. */
static void *note(loader *l, const fov_tensor *t, fov_load_kind kind, void *out, size_t m, size_t k) {
    if (l->items) l->items[l->count] = (load_item){.tensor = t, .kind = kind, .out = out, .m = m, .k = k, .type = l->type};
    if (l->items) l->model->info.parameters += m * (k ? k : 1);
    l->count++;
    return out;
}

/* Data of a packed file, in their place. */
static void *in_place(loader *l, const fov_tensor *t) {
    l->mapped = fov_add(l->mapped, t->bytes + (FOV_ALIGN - t->bytes % FOV_ALIGN) % FOV_ALIGN);
    return (void *)(uintptr_t)t->data;
}

/* Room for a tensor in the block, and a note to fill it. */
static float *store(loader *l, const fov_tensor *t, fov_load_kind kind, size_t m, size_t k) {
    if (l->model->packed) return note(l, t, kind, in_place(l, t), m, k);
    const size_t heads = kind == FOV_LOAD_HEADS ? l->model->config.heads : 1, words = fov_words(l->type, k);
    const size_t floats = kind == FOV_LOAD_VECTOR ? fov_mul(m, k ? k : 1) : fov_mul(heads, fov_packed_size(m / heads, words));
    return note(l, t, kind, fov_arena_take(l->arena, floats, sizeof(float)), m, k);
}

static bool check_dtype(loader *l, const fov_tensor *t) {
    char where[320];
    if (t->dtype == FOV_F32 || t->dtype == FOV_F16 || t->dtype == FOV_BF16) return true;
    l->status = fov_fail(l->error, FOV_ERR_UNSUPPORTED, where_of(t, where, sizeof where),
                         "dtype %s cannot be a weight; save it as F32, F16 or BF16", fov_dtype_name(t->dtype));
    return false;
}

static bool same_shape(const fov_tensor *a, const fov_tensor *b) {
    return a->dims == b->dims && !memcmp(a->shape, b->shape, a->dims * sizeof *a->shape);
}

static void write_shape(const fov_tensor *t, char *text, size_t size) {
    *text = '\0';
    for (unsigned i = 0; i < t->dims && strlen(text) < 40; i++)
        snprintf(text + strlen(text), size - strlen(text), "%s%zu", i ? ", " : "", t->shape[i]);
}

/* Whether a tensor has the type and shape of `form`; in a packed file also whether it can be used where it is. */
static bool check_form(loader *l, const fov_tensor *t, const fov_tensor *form) {
    char where[320], shape[64], wanted[64];
    const bool packed = l->model->packed;
    if (packed && (t->dtype != form->dtype || (uintptr_t)t->data % FOV_ALIGN)) {
        l->status = fov_fail(l->error, FOV_ERR_FORMAT, where_of(t, where, sizeof where),
                             t->dtype == form->dtype ? "does not begin at a multiple of 64 bytes" FOV_MEND_PACKED
                                                     : "dtype %s, but %s is needed" FOV_MEND_PACKED,
                             fov_dtype_name(t->dtype), fov_dtype_name(form->dtype));
        return false;
    }
    if (same_shape(t, form)) return true;
    write_shape(t, shape, sizeof shape);
    write_shape(form, wanted, sizeof wanted);
    l->status = fov_fail(l->error, FOV_ERR_MISMATCH, where_of(t, where, sizeof where), "shape is [%s], but config.json says [%s]%s",
                         shape, wanted, packed ? FOV_MEND_PACKED : "; " MEND);
    return false;
}

/* Whether a tensor is there, with the right type and shape [m, k] (k = 0: a vector [m]). */
static bool fits(loader *l, const fov_tensor *t, const char *name, fov_load_kind kind, size_t m, size_t k) {
    if (l->status) return false;
    if (!t) missing(l, name);
    if (!t || ((!l->model->packed || kind == FOV_LOAD_TABLE) && !check_dtype(l, t))) return false;
    fov_tensor form = {.dims = k ? 2 : 1, .shape = {m, k}};
    if (l->model->packed) fov_packed_form(kind, l->type, l->model->config.heads, m, k, t->dtype, &form);
    return check_form(l, t, &form);
}

/* Check a tensor and note it. */
static float *take(loader *l, const fov_tensor *t, const char *name, fov_load_kind kind, size_t m, size_t k) {
    return fits(l, t, name, kind, m, k) ? store(l, t, kind, m, k) : NULL;
}

/* A tensor whose shape is judged by the caller. */
static float *take_any_shape(loader *l, const fov_tensor *t) {
    if (l->model->packed) return take(l, t, t->name, FOV_LOAD_VECTOR, t->count, 0);
    return check_dtype(l, t) ? store(l, t, FOV_LOAD_VECTOR, t->count, 0) : NULL;
}

/* [m] beside the matrix `t` of int8. */
static void *take_beside(loader *l, const fov_tensor *t, const char *part, fov_dtype dtype, size_t m) {
    if (!l->model->packed) return fov_arena_take(l->arena, m, 4);
    char name[320];
    snprintf(name, sizeof name, "%s%s", t->name, part);
    const fov_tensor form = {.dtype = dtype, .dims = 1, .shape = {m}}, *found = fov_tensors_find(l->model->tensors, name);
    if (!found) missing(l, name);
    return found && check_form(l, found, &form) ? in_place(l, found) : NULL;
}

static fov_linear linear(loader *l, const char *base, fov_load_kind kind, size_t m, size_t k) {
    char name[256];
    snprintf(name, sizeof name, "%s.weight", base);
    fov_linear out = {.m = m, .k = k, .type = l->type};
    out.w = take(l, lookup_part(l, base, "weight"), name, kind, m, k);
    snprintf(name, sizeof name, "%s.bias", base);
    out.bias = take(l, lookup_part(l, base, "bias"), name, FOV_LOAD_VECTOR, m, 0);
    return out;
}

/* A matrix of the layers: of the model's type. */
static fov_linear layer_linear(loader *l, const char *base, fov_load_kind kind, size_t m, size_t k) {
    l->type = l->model->type;
    fov_linear out = linear(l, base, kind, m, k);
    l->type = FOV_TYPE_F32;
    if (out.type != FOV_TYPE_INT8 || l->status) return out;
    const fov_tensor *t = lookup_part(l, base, "weight");
    out.scale = take_beside(l, t, FOV_PACKED_SCALE, FOV_F32, m);
    out.sum = take_beside(l, t, FOV_PACKED_SUM, FOV_I32, m);
    if (l->items) l->items[l->count - 2].scale = out.scale, l->items[l->count - 2].sum = out.sum; /* before the bias */
    return out;
}

static fov_norm norm(loader *l, const char *base) {
    char name[256];
    fov_norm out;
    snprintf(name, sizeof name, "%s.weight", base);
    out.gamma = take(l, lookup_part(l, base, "weight"), name, FOV_LOAD_VECTOR, l->model->config.width, 0);
    snprintf(name, sizeof name, "%s.bias", base);
    out.beta = take(l, lookup_part(l, base, "bias"), name, FOV_LOAD_VECTOR, l->model->config.width, 0);
    return out;
}

static const char *layer_name(char *text, size_t size, const char *format, size_t layer) {
    const char *mark = strstr(format, "%zu");
    snprintf(text, size, "%.*s%zu%s", (int)(mark - format), format, layer, mark + 3);
    return text;
}

/* A table read row by row at run time: copied from its file as it is; left where it is in a memory block, which outlives the model.
 */
static fov_tensor table(loader *l, const char *base, size_t rows, size_t columns) {
    char name[256];
    snprintf(name, sizeof name, "%s.weight", base);
    const fov_tensor *t = lookup_part(l, base, "weight");
    if (!fits(l, t, name, FOV_LOAD_TABLE, rows, columns)) return (fov_tensor){0};
    fov_tensor out = *t;
    void *place = l->model->packed ? in_place(l, t) : t->data ? (void *)(uintptr_t)t->data : fov_arena_take(l->arena, t->bytes, 1);
    out.data = note(l, t, FOV_LOAD_TABLE, place, rows, columns);
    return out;
}

static void walk_head(loader *l) {
    struct fov_model *m = l->model;
    const fov_arch *a = m->arch;
    size_t c = m->config.width;
    if (m->head == FOV_HEAD_NONE) return;
    if (m->head == FOV_HEAD_MASKED_LM) {
        m->lm_dense = linear(l, a->lm_dense, FOV_LOAD_MATRIX, c, c);
        m->lm_norm = norm(l, a->lm_norm);
        m->lm_bias = take(l, lookup(l, a->lm_bias), a->lm_bias, FOV_LOAD_VECTOR, m->config.vocabulary, 0);
        m->lm_decoder = &m->words;
        if (!lookup_part(l, a->lm_decoder, "weight")) return;
        m->decoder = table(l, a->lm_decoder, m->config.vocabulary, c);
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
static void walk_extras(loader *l, fov_layer *layer, size_t i) {
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
    const fov_tensor *t = a->score_scale ? lookup(l, layer_name(name, sizeof name, a->score_scale, i)) : NULL;
    if (t) layer->score_scale = take(l, t, name, FOV_LOAD_VECTOR, config->heads, 0);
    t = a->conv ? lookup(l, layer_name(name, sizeof name, a->conv, i)) : NULL;
    if (!t) return;
    layer->conv_width = t->count / config->heads; /* [heads, 1, width, 1]; centred on the token, so odd */
    if (layer->conv_width * config->heads == t->count && layer->conv_width % 2)
        layer->conv = take_any_shape(l, t);
    else
        l->status =
            fov_fail(l->error, FOV_ERR_MISMATCH, t->file,
                     "%s holds %zu values, which are no odd number for each of %zu heads; " MEND, name, t->count, config->heads);
}

static void walk(loader *l) {
    struct fov_model *m = l->model;
    const fov_arch *a = m->arch;
    const fov_config *config = &m->config;
    size_t c = config->width, f = config->ffn_width;
    char name[160];
    m->layers = fov_arena_take(l->arena, config->layers, sizeof *m->layers);
    m->words = table(l, a->word, config->vocabulary, c);
    snprintf(name, sizeof name, "%s.weight", a->position);
    m->positions = take(l, lookup(l, name), name, FOV_LOAD_VECTOR, config->positions, c);
    snprintf(name, sizeof name, "%s.weight", a->type ? a->type : "");
    m->types = a->type ? take(l, lookup(l, name), name, FOV_LOAD_VECTOR, config->types, c) : NULL;
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
    if (!l->status && lookup_part(l, layer_name(name, sizeof name, a->q, config->layers), "weight"))
        l->status = fov_fail(l->error, FOV_ERR_MISMATCH, lookup_part(l, name, "weight")->file,
                             "the weights hold layer %zu, but config.json says there are %zu layers; " MEND, config->layers,
                             config->layers);
    walk_head(l);
}

/* ---- packing ---- */

void fov_tensor_read(const fov_kernels *kernels, const fov_tensor *t, size_t first, size_t count, float *out) {
    const unsigned char *data = (const unsigned char *)t->data + first * fov_dtype_size(t->dtype);
    if (t->dtype == FOV_F32) {
        memcpy(out, data, count * sizeof *out);
        return;
    }
    uint16_t half[256]; /* the file may hold them unaligned */
    for (size_t i = 0; i < count; i += 256) {
        size_t n = count - i < 256 ? count - i : 256;
        memcpy(half, data + i * 2, n * 2);
        if (t->dtype == FOV_F16)
            kernels->from_f16(half, out + i, n);
        else
            kernels->from_bf16(half, out + i, n);
    }
}

typedef struct pack_job {
    const struct fov_model *model;
    load_item *items;
    float *rows; /* [threads][2][room]: rows of a tensor, and the same as stored */
    size_t room;
    atomic_bool failed;
    fov_error error; /* of the first that failed */
} pack_job;

static void fail(pack_job *job, const fov_error *error) {
    if (!atomic_exchange(&job->failed, true)) job->error = *error;
}

static bool all_finite(const float *x, size_t n) {
    float sum = 0; /* 0 * x is 0 for finite x, NaN otherwise */
    for (size_t i = 0; i < n; i++) sum += 0 * x[i];
    return sum == 0;
}

/* Elements [first, first + n) of a tensor, at most job->room of them if they are not F32. */
static bool read_floats(pack_job *job, unsigned thread, load_item *item, size_t first, size_t n, float *out) {
    const fov_tensor *t = item->tensor;
    const size_t size = fov_dtype_size(t->dtype);
    uint16_t *stored = (uint16_t *)(job->rows + (2 * thread + 1) * job->room);
    fov_error error = {0};
    char where[320];
    if (fov_tensors_read(job->model->tensors, t, first * size, n * size, t->dtype == FOV_F32 ? (void *)out : stored, &error)) {
        fail(job, &error);
        return false;
    }
    if (t->dtype == FOV_F16) job->model->kernels->from_f16(stored, out, n);
    if (t->dtype == FOV_BF16) job->model->kernels->from_bf16(stored, out, n);
    item->hash = fov_hash_bytes(item->hash, out, n * sizeof *out);
    if (all_finite(out, n)) return true;
    fov_fail(&error, FOV_ERR_FORMAT, where_of(t, where, sizeof where),
             "holds values that are not finite (NaN or infinity); the checkpoint is damaged: save or download it again");
    fail(job, &error);
    return false;
}

static void pack_vector(pack_job *job, unsigned thread, load_item *item) {
    float *out = item->out;
    for (size_t i = 0, n; i < item->tensor->count; i += n) {
        n = item->tensor->count - i < job->room ? item->tensor->count - i : job->room;
        if (!read_floats(job, thread, item, i, n, out + i)) return;
    }
}

static void pack_matrix(pack_job *job, unsigned thread, load_item *item) {
    float *rows = job->rows + 2 * thread * job->room, *words = rows + job->room, *out = item->out; /* as stored: read by then */
    size_t group = item->kind == FOV_LOAD_HEADS ? item->m / job->model->config.heads : item->m;
    for (size_t start = 0; start < item->m; start += group) /* a head, or all */
        for (size_t i = 0; i < group; i += FOV_PANEL) {
            size_t n = group - i < FOV_PANEL ? group - i : FOV_PANEL;
            if (!read_floats(job, thread, item, (start + i) * item->k, n * item->k, rows)) return;
            fov_pack_type(job->model->kernels, item->type, rows, item->k, n, item->k, out,
                          item->scale ? item->scale + start + i : NULL, item->sum ? item->sum + start + i : NULL, words);
            out += FOV_PANEL * fov_words(item->type, item->k);
        }
}

static void pack_task(void *context, size_t index, unsigned thread) {
    pack_job *job = context;
    load_item *item = &job->items[index];
    fov_error error;
    if (item->kind == FOV_LOAD_VECTOR)
        pack_vector(job, thread, item);
    else if (item->kind != FOV_LOAD_TABLE)
        pack_matrix(job, thread, item);
    else if (item->out != item->tensor->data &&
             fov_tensors_read(job->model->tensors, item->tensor, 0, item->tensor->bytes, item->out, &error))
        fail(job, &error);
    if (item->kind == FOV_LOAD_TABLE) item->hash = fov_hash_bytes(0, item->out, item->tensor->bytes);
}

static fov_status pack_all(loader *l, unsigned threads) {
    const fov_allocator *allocator = &l->model->allocator;
    pack_job job = {.model = l->model, .items = l->items};
    size_t widest = 0;
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].k > widest) widest = l->items[i].k;
    job.room = fov_mul(FOV_PANEL, widest);
    job.rows = fov_alloc(allocator, fov_mul(fov_mul(threads, 2 * sizeof(float)), job.room));
    if (!job.rows) return FOV_ERR_MEMORY;
    fov_parallel(threads, l->count, pack_task, &job);
    fov_release(allocator, job.rows);
    if (atomic_load(&job.failed)) {
        if (l->error) *l->error = job.error;
        return job.error.status;
    }
    return fov_tensors_settle(l->model->tensors, l->error);
}

/* The hashes that a packed file brings along. */
static fov_status read_hashes(loader *l) {
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
    loader first = {.model = model, .arena = &measure, .error = error};
    walk(&first);
    if (first.status) return first.status;
    load_item *items = model->items = fov_alloc(&model->allocator, fov_mul(first.count, sizeof *items));
    model->block = fov_alloc(&model->allocator, measure.used);
    fov_status status = FOV_ERR_MEMORY;
    if (!items || !model->block) goto end;
    fov_arena carve = {model->block, 0, measure.used, false};
    loader second = {.model = model, .arena = &carve, .items = items, .error = error};
    walk(&second);
    status = second.status ? second.status : model->packed ? read_hashes(&second) : pack_all(&second, threads);
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
