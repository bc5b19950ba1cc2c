/* profile.c: opening a profile and finding out whether it is this model's. */
#include "model/profile.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/status.h"
#include "core/threads.h"

#define MEND_ANEW ": make the profile anew with 'foveate calibrate'"

typedef struct reading {
    fov_profile *profile;
    const char *path;
    uint32_t *seen; /* [d or hidden] the last head, from 1, in whose order a feature was met */
    uint32_t heads;
    const fov_kernels *kernels;
    size_t used; /* of the profile's widened */
    fov_error *error;
    fov_status status;
} reading;

/* The next of the F16 tensors in r->widened, which has room for all. */
static const float *widen(reading *r, const fov_tensor *t) {
    float *to = r->profile->widened + r->used;
    fov_tensor_read(r->kernels, t, 0, t->count, to);
    r->used += t->count;
    return to;
}

/* Data of a tensor of this type and shape (dims of 0 are absent); F16 serves for F32. */
static const void *find(reading *r, const char *name, fov_dtype dtype, size_t a, size_t b, size_t c) {
    if (r->status) return NULL;
    const fov_tensor *t = fov_tensors_find(r->profile->tensors, name);
    const bool half = dtype == FOV_F32 && t && t->dtype == FOV_F16;
    if (half) dtype = FOV_F16;
    if (!t) {
        r->status =
            fov_fail(r->error, FOV_ERR_FORMAT, r->path, "tensor '%s' is missing: is this a profile of 'foveate calibrate'?", name);
        return NULL;
    }
    const size_t shape[3] = {a, b, c};
    bool same = t->dtype == dtype && t->dims == (c ? 3u : b ? 2u : 1u);
    for (unsigned i = 0; same && i < t->dims; i++) same = t->shape[i] == shape[i];
    if (same && half) return widen(r, t);
    if (same && (uintptr_t)t->data % fov_dtype_size(dtype) == 0) return t->data;
    r->status = fov_fail(
        r->error, FOV_ERR_FORMAT, r->path,
        same ? "tensor '%s' is not aligned" MEND_ANEW : "tensor '%s' has another type or shape than this model's" MEND_ANEW, name);
    return NULL;
}

static const void *find_layer(reading *r, size_t layer, const char *part, fov_dtype dtype, size_t a, size_t b, size_t c) {
    char name[96];
    snprintf(name, sizeof name, "layers.%zu.value.%s", layer, part);
    return find(r, name, dtype, a, b, c);
}

static bool has_layer(const reading *r, size_t layer, const char *part) {
    char name[96];
    snprintf(name, sizeof name, "layers.%zu.value.%s", layer, part);
    return fov_tensors_find(r->profile->tensors, name) != NULL;
}

static void check_provenance(reading *r, const struct fov_model *model) {
    const uint64_t *p = find(r, "provenance", FOV_U64, sizeof(fov_provenance) / sizeof(uint64_t), 0, 0);
    if (!p) return;
    memcpy(&r->profile->provenance, p, sizeof r->profile->provenance);
    if (r->profile->provenance.format != 1) {
        r->status =
            fov_fail(r->error, FOV_ERR_UNSUPPORTED, r->path, "profile of format %llu: this version reads format 1" MEND_ANEW,
                     (unsigned long long)r->profile->provenance.format);
        return;
    }
    const uint64_t *held = fov_tensors_find(r->profile->tensors, "held") ? find(r, "held", FOV_U64, 2, 0, 0) : NULL;
    if (held) memcpy(r->profile->held_out, held, sizeof r->profile->held_out);
    if (held && (held[0] > r->profile->provenance.texts || held[1] > r->profile->provenance.tokens))
        r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path, "more texts are held out than there are" MEND_ANEW);
    const uint64_t hash = fov_model_hash(model);
    if (!r->status && hash != r->profile->provenance.model)
        r->status =
            fov_fail(r->error, FOV_ERR_MISMATCH, r->path,
                     "the profile was made for a model of hash %016llx, but '%s' has %016llx: other weights need a profile of "
                     "their own, from 'foveate calibrate'",
                     (unsigned long long)r->profile->provenance.model, model->name, (unsigned long long)hash);
}

static void check_levels(reading *r, const uint32_t *levels, size_t count, size_t d) {
    bool good = levels[0] == 0;
    for (size_t l = 1; l < count; l++) good = good && levels[l] > levels[l - 1] && levels[l] < d;
    if (!good) r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path, "levels do not ascend from 0 to below %zu" MEND_ANEW, d);
}

/* Features of every head: below d, none twice. */
static void check_order(reading *r, size_t layer, const uint32_t *order, size_t heads, size_t top, size_t d) {
    for (size_t h = 0; order && h < heads && !r->status; h++) {
        r->heads++;
        for (size_t k = 0; k < top && !r->status; k++) {
            const uint32_t i = order[h * top + k];
            if (i < d && r->seen[i] != r->heads)
                r->seen[i] = r->heads;
            else
                r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path,
                                     i < d ? "layer %zu, head %zu: feature %u is there twice; there are %zu"
                                           : "layer %zu, head %zu: feature %u is not below %zu",
                                     layer, h, i, d);
        }
    }
}

static void check_finite(reading *r, size_t layer, const float *x, size_t n) {
    float sum = 0; /* 0 * x is 0 for finite x, NaN otherwise */
    for (size_t i = 0; x && i < n; i++) sum += 0 * x[i];
    if (!r->status && !(sum == 0))
        r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path, "layer %zu holds values that are not finite", layer);
}

/* Errors and shares are not negative; a variance can be, by its rounding. */
static void check_sizes(reading *r, size_t layer, const float *x, size_t n) {
    check_finite(r, layer, x, n);
    for (size_t i = 0; !r->status && i < n; i++)
        if (x[i] < 0)
            r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path, "layer %zu holds a negative error or share" MEND_ANEW, layer);
}

static void read_layer(reading *r, const fov_config *c, size_t layer, const uint32_t *levels, size_t count) {
    const size_t d = c->width, h = c->heads, e = d / h, top = levels[count - 1];
    size_t sum = 0;
    for (size_t l = 0; l < count; l++) sum += levels[l];
    fov_value_profile p = {.file = r->path, .levels = count, .level = levels};
    p.mean = find_layer(r, layer, "mean", FOV_F32, d, 0, 0);
    const bool square = has_layer(r, layer, "covariance");
    p.variance = find_layer(r, layer, square ? "covariance" : "variance", FOV_F32, d, square ? d : 0, 0);
    p.variance_step = square ? d + 1 : 1;
    p.share = find_layer(r, layer, "share", FOV_F32, h, 0, 0);
    p.order = find_layer(r, layer, "regress.order", FOV_U32, h, top, 0);
    p.regress_weight = find_layer(r, layer, "regress.weight", FOV_F32, h, sum, e);
    p.regress_error = find_layer(r, layer, "regress.error", FOV_F32, h, count, 0);
    if (has_layer(r, layer, "regress.held")) {
        p.regress_held = find_layer(r, layer, "regress.held", FOV_F32, h, count, 0);
        check_sizes(r, layer, p.regress_held, h * count);
    }
    if (has_layer(r, layer, "lowrank.held")) {
        p.basis_held = find_layer(r, layer, "lowrank.held", FOV_F32, count, 0, 0);
        check_sizes(r, layer, p.basis_held, count);
    }
    if (has_layer(r, layer, "lowrank.basis")) {
        p.basis = find_layer(r, layer, "lowrank.basis", FOV_F32, fov_profile_rank(top, d), d, 0);
        p.basis_error = find_layer(r, layer, "lowrank.error", FOV_F32, count, 0, 0);
        check_finite(r, layer, p.basis, fov_profile_rank(top, d) * d);
        check_sizes(r, layer, p.basis_error, count);
    }
    check_order(r, layer, p.order, h, top, d);
    check_finite(r, layer, p.mean, d);
    for (size_t i = 0; p.variance && i < d; i++) check_finite(r, layer, p.variance + i * p.variance_step, 1);
    check_sizes(r, layer, p.share, h);
    check_sizes(r, layer, p.regress_error, h * count);
    check_finite(r, layer, p.regress_weight, h * sum * e);
    r->profile->layers[layer] = p;
}

static const void *find_ffn(reading *r, size_t layer, const char *part, fov_dtype dtype, size_t a, size_t b) {
    char name[96];
    snprintf(name, sizeof name, "layers.%zu.ffn.%s", layer, part);
    return find(r, name, dtype, a, b, 0);
}

static void read_ffn_layer(reading *r, const fov_config *c, size_t layer, const uint32_t *levels, size_t count) {
    const size_t d = c->width, top = levels[count - 1];
    size_t sum = 0;
    for (size_t l = 0; l < count; l++) sum += levels[l];
    fov_ffn_profile p = {.file = r->path, .levels = count, .level = levels};
    p.order = find_ffn(r, layer, "order", FOV_U32, top, 0);
    p.weight = find_ffn(r, layer, "weight", FOV_F32, sum * d, 0);
    p.bias = find_ffn(r, layer, "bias", FOV_F32, count, d);
    p.error = find_ffn(r, layer, "error", FOV_F32, count, 0);
    p.energy = find_ffn(r, layer, "energy", FOV_F32, 1, 0);
    check_order(r, layer, p.order, 1, top, c->ffn_width);
    check_finite(r, layer, p.weight, sum * d);
    check_finite(r, layer, p.bias, count * d);
    check_sizes(r, layer, p.error, count);
    check_sizes(r, layer, p.energy, 1);
    r->profile->ffn[layer] = p;
}

/* A profile may lack it: the methods that need it say so. */
static void read_ffn(reading *r, const struct fov_model *model) {
    const fov_tensor *t = fov_tensors_find(r->profile->tensors, "ffn.levels");
    if (r->status || !t) return;
    const size_t count = t->dims == 1 ? t->shape[0] : 1;
    const uint32_t *levels = find(r, "ffn.levels", FOV_U32, count, 0, 0);
    if (!levels) return;
    if (count < 2 || count > FOV_FFN_LEVELS) {
        r->status =
            fov_fail(r->error, FOV_ERR_FORMAT, r->path, "%zu feed-forward levels; 2 to %d are possible", count, FOV_FFN_LEVELS);
        return;
    }
    check_levels(r, levels, count, model->config.ffn_width);
    if (r->status) return;
    r->profile->ffn = fov_alloc_zero(&model->allocator, fov_mul(model->config.layers, sizeof *r->profile->ffn));
    if (!r->profile->ffn) r->status = fov_fail(r->error, FOV_ERR_MEMORY, r->path, "out of memory");
    for (size_t l = 0; l < model->config.layers && !r->status; l++) read_ffn_layer(r, &model->config, l, levels, count);
}

static const void *find_attention(reading *r, size_t layer, const char *part, size_t a, size_t b, size_t c) {
    char name[96];
    snprintf(name, sizeof name, "layers.%zu.attention.%s", layer, part);
    return find(r, name, FOV_F32, a, b, c);
}

static void read_attention_layer(reading *r, const fov_config *c, size_t layer, size_t rank) {
    const size_t heads = c->heads, size = c->width / c->heads, errors = rank / FOV_NARROW_STEP + 1;
    fov_attention_profile p = {.file = r->path, .rank = rank};
    p.query = find_attention(r, layer, "query", heads, rank, size);
    p.key = find_attention(r, layer, "key", heads, rank, size);
    p.key_mean = find_attention(r, layer, "key_mean", heads, size, 0);
    p.error = find_attention(r, layer, "error", heads, errors, 0);
    p.held = find_attention(r, layer, "held", heads, errors, 0);
    if (fov_tensors_find(r->profile->tensors, "layers.0.attention.value")) {
        p.value = find_attention(r, layer, "value", heads, rank, size);
        p.output = find_attention(r, layer, "output", heads, rank, size);
        p.value_mean = find_attention(r, layer, "value_mean", heads, size, 0);
        p.value_held = find_attention(r, layer, "value_held", heads, errors, 0);
        check_finite(r, layer, p.value, heads * rank * size);
        check_finite(r, layer, p.output, heads * rank * size);
        check_finite(r, layer, p.value_mean, heads * size);
        check_sizes(r, layer, p.value_held, heads * errors);
    }
    check_finite(r, layer, p.query, heads * rank * size);
    check_finite(r, layer, p.key, heads * rank * size);
    check_finite(r, layer, p.key_mean, heads * size);
    check_sizes(r, layer, p.error, heads * errors);
    check_sizes(r, layer, p.held, heads * errors);
    r->profile->attention[layer] = p;
}

/* A profile may lack it, as that of a model without dense attention does. */
static void read_attention(reading *r, const struct fov_model *model) {
    const fov_tensor *t = fov_tensors_find(r->profile->tensors, "layers.0.attention.query");
    if (r->status || !t) return;
    const size_t rank = t->dims == 3 ? t->shape[1] : 0;
    if (!rank || rank % FOV_NARROW_STEP || rank > model->config.width / model->config.heads) {
        r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path, "queries of rank %zu; multiples of %d up to %zu are possible", rank,
                             FOV_NARROW_STEP, model->config.width / model->config.heads);
        return;
    }
    r->profile->attention = fov_alloc_zero(&model->allocator, fov_mul(model->config.layers, sizeof *r->profile->attention));
    if (!r->profile->attention) r->status = fov_fail(r->error, FOV_ERR_MEMORY, r->path, "out of memory");
    for (size_t l = 0; l < model->config.layers && !r->status; l++) read_attention_layer(r, &model->config, l, rank);
}

static void read_all(reading *r, const struct fov_model *model) {
    const fov_config *c = &model->config;
    check_provenance(r, model);
    const fov_tensor *t = fov_tensors_find(r->profile->tensors, "levels");
    const size_t count = t && t->dims == 1 ? t->shape[0] : 1;
    const uint32_t *levels = find(r, "levels", FOV_U32, count, 0, 0);
    if (!levels) return;
    if (!count || count > FOV_PROFILE_LEVELS)
        r->status = fov_fail(r->error, FOV_ERR_FORMAT, r->path, "%zu levels; 1 to %d are possible", count, FOV_PROFILE_LEVELS);
    else
        check_levels(r, levels, count, c->width);
    for (size_t l = 0; l < c->layers && !r->status; l++) read_layer(r, c, l, levels, count);
    read_ffn(r, model);
    read_attention(r, model);
}

/* Every F16 tensor is read at most once. */
static void make_room(reading *r, const fov_allocator *allocator) {
    size_t count = 0;
    for (size_t i = 0; i < fov_tensors_count(r->profile->tensors); i++) {
        const fov_tensor *t = fov_tensors_at(r->profile->tensors, i);
        if (t->dtype == FOV_F16) count = fov_add(count, t->count);
    }
    if (count) r->profile->widened = fov_alloc(allocator, fov_mul(count, sizeof *r->profile->widened));
    if (count && !r->profile->widened) r->status = fov_fail(r->error, FOV_ERR_MEMORY, r->path, "out of memory");
}

/* Reads `bytes`; those in p->bytes are released with it. */
static fov_status read_bytes(const struct fov_model *model, fov_profile *p, const void *bytes, size_t size, const char *label,
                             fov_error *error) {
    const fov_allocator *allocator = &model->allocator;
    reading r = {.profile = p, .path = label, .kernels = model->kernels, .error = error};
    p->layers = fov_alloc_zero(allocator, fov_mul(model->config.layers, sizeof *p->layers));
    const size_t widest = model->config.width > model->config.ffn_width ? model->config.width : model->config.ffn_width;
    r.seen = fov_alloc_zero(allocator, fov_mul(widest, sizeof *r.seen));
    if (!p->layers || !r.seen)
        r.status = fov_fail(error, FOV_ERR_MEMORY, label, "out of memory");
    else
        r.status = fov_tensors_open_memory(bytes, size, label, allocator, &p->tensors, error);
    if (!r.status) make_room(&r, allocator);
    if (!r.status) read_all(&r, model);
    fov_release(allocator, r.seen);
    return r.status;
}

fov_status fov_profile_open(const struct fov_model *model, const char *path, fov_profile **profile, fov_error *error) {
    fov_profile *p = fov_alloc_zero(&model->allocator, sizeof *p);
    if (!p) return fov_fail(error, FOV_ERR_MEMORY, path, "out of memory");
    p->allocator = model->allocator;
    size_t size = 0;
    fov_status status = fov_file_load(path, (size_t)1 << 40, &model->allocator, &p->bytes, &size, error);
    if (!status) status = read_bytes(model, p, p->bytes, size, path, error);
    if (status)
        fov_profile_close(p);
    else
        *profile = p;
    return status;
}

fov_status fov_profile_open_memory(const struct fov_model *model, const void *bytes, size_t size, const char *label,
                                   fov_profile **profile, fov_error *error) {
    fov_profile *p = fov_alloc_zero(&model->allocator, sizeof *p);
    if (!p) return fov_fail(error, FOV_ERR_MEMORY, label, "out of memory");
    p->allocator = model->allocator;
    const fov_status status = read_bytes(model, p, bytes, size, label, error);
    if (status)
        fov_profile_close(p);
    else
        *profile = p;
    return status;
}

/* Not of the values, which follow from these; a compact profile holds them in 16 bits. */
uint64_t fov_profile_hash(const fov_profile *p) {
    const fov_value_profile *values = &p->layers[0];
    const uint64_t half = p->widened != NULL;
    uint64_t hash = fov_hash_bytes(half, &p->provenance, sizeof p->provenance);
    hash = fov_hash_bytes(hash, values->level, values->levels * sizeof *values->level);
    if (p->ffn) hash = fov_hash_bytes(hash, p->ffn[0].level, p->ffn[0].levels * sizeof *p->ffn[0].level);
    if (p->attention) hash = fov_hash_bytes(hash, &p->attention[0].rank, sizeof p->attention[0].rank);
    return hash;
}

void fov_profile_close(fov_profile *p) {
    if (!p) return;
    const fov_allocator allocator = p->allocator;
    fov_tensors_close(p->tensors);
    fov_release(&allocator, p->bytes);
    fov_release(&allocator, p->widened);
    fov_release(&allocator, p->layers);
    fov_release(&allocator, p->ffn);
    fov_release(&allocator, p->attention);
    fov_release(&allocator, p);
}
