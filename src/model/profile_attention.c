/* profile_attention.c: the tensors of narrow queries and keys in a profile: declared, then fitted from the moments of a layer's
 * inputs and written. */
#include <stdio.h>
#include <string.h>

#include "attention/narrow_fit.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/half.h"
#include "model/profile_parts.h"

enum { PARTS = 9 };

struct fov_attention_fit {
    const struct fov_model *model;
    bool compact;
    unsigned threads;
    size_t width, heads, size, rank, levels;
    float *query, *key, *key_mean, *error, *held;
    float *value, *output, *value_mean, *value_held;
    unsigned char *scratch; /* [threads][per_thread] */
    size_t per_thread;
    const fov_attention_moments *moments; /* of the layer being fitted */
    size_t layer;
    void *block;
};

/* The widest rank: above three quarters of a head (half where it shall be compact) little is saved. */
static size_t widest_rank(const struct fov_model *model, bool compact) {
    const size_t size = model->config.width / model->config.heads;
    if (strcmp(model->attention, "dense") != 0) return 0;
    return (compact ? size / 2 : size * 3 / 4) / FOV_NARROW_STEP * FOV_NARROW_STEP;
}

typedef struct scratch {
    double *w, *ws;       /* [e][d] */
    double *query[2];     /* [e][e] E[q q^T] of the fit's tokens, of those held out */
    double *key[2];       /* [e][e] covariance of k */
    double *mean, *shift; /* [e] at the inputs' mean; by how much that of those held out is off */
    double *fit;
} scratch;

static size_t carve_scratch(fov_arena *arena, size_t d, size_t e, scratch *s) {
    s->w = fov_arena_take(arena, fov_mul(e, d), sizeof(double));
    s->ws = fov_arena_take(arena, fov_mul(e, d), sizeof(double));
    for (int i = 0; i < 2; i++) {
        s->query[i] = fov_arena_take(arena, fov_mul(e, e), sizeof(double));
        s->key[i] = fov_arena_take(arena, fov_mul(e, e), sizeof(double));
    }
    s->mean = fov_arena_take(arena, e, sizeof(double));
    s->shift = fov_arena_take(arena, e, sizeof(double));
    s->fit = fov_arena_take(arena, fov_narrow_fit_scratch(e), sizeof(double));
    return arena->used;
}

static size_t carve(fov_arena *arena, fov_attention_fit *f) {
    const size_t weights = fov_mul(fov_mul(f->heads, f->rank), f->size), errors = fov_mul(f->heads, f->levels);
    scratch one;
    fov_arena own = {0};
    f->per_thread = carve_scratch(&own, f->width, f->size, &one);
    f->query = fov_arena_take(arena, weights, sizeof *f->query);
    f->key = fov_arena_take(arena, weights, sizeof *f->key);
    f->key_mean = fov_arena_take(arena, fov_mul(f->heads, f->size), sizeof *f->key_mean);
    f->value = fov_arena_take(arena, weights, sizeof *f->value);
    f->output = fov_arena_take(arena, weights, sizeof *f->output);
    f->value_mean = fov_arena_take(arena, fov_mul(f->heads, f->size), sizeof *f->value_mean);
    f->value_held = fov_arena_take(arena, errors, sizeof *f->value_held);
    f->error = fov_arena_take(arena, errors, sizeof *f->error);
    f->held = fov_arena_take(arena, errors, sizeof *f->held);
    f->scratch = fov_arena_take(arena, fov_mul(f->threads, f->per_thread), 1);
    return arena->used;
}

bool fov_attention_fit_wanted(const struct fov_model *model) {
    return widest_rank(model, true) > 0;
}

fov_status fov_attention_fit_create(const struct fov_model *model, bool compact, unsigned threads, fov_attention_fit **fit,
                                    fov_error *error) {
    const fov_config *c = &model->config;
    fov_attention_fit f = {.model = model,
                           .compact = compact,
                           .threads = threads,
                           .width = c->width,
                           .heads = c->heads,
                           .size = c->width / c->heads,
                           .rank = widest_rank(model, compact)};
    *fit = NULL;
    if (!fov_attention_fit_wanted(model)) return FOV_OK;
    f.levels = f.rank / FOV_NARROW_STEP + 1;
    fov_arena arena = {0};
    const size_t bytes = carve(&arena, &f);
    fov_attention_fit *kept = fov_alloc_zero(&model->allocator, sizeof *kept);
    f.block = fov_alloc(&model->allocator, bytes);
    if (!kept || !f.block) {
        fov_release(&model->allocator, kept);
        fov_release(&model->allocator, f.block);
        return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory: the fits of queries and keys need %zu bytes", bytes);
    }
    arena = (fov_arena){f.block, 0, bytes, false};
    carve(&arena, &f);
    *kept = f;
    *fit = kept;
    return FOV_OK;
}

void fov_attention_fit_free(fov_attention_fit *f) {
    if (!f) return;
    const fov_allocator allocator = f->model->allocator;
    fov_release(&allocator, f->block);
    fov_release(&allocator, f);
}

/* ---- the file ---- */

static void list_parts(const fov_attention_fit *f, fov_profile_part parts[PARTS]) {
    const char *weight = f->compact ? "F16" : "F32";
    const fov_profile_part all[PARTS] = {{"query", weight, {f->heads, f->rank, f->size}, f->query},
                                         {"key", weight, {f->heads, f->rank, f->size}, f->key},
                                         {"key_mean", "F32", {f->heads, f->size, 0}, f->key_mean},
                                         {"error", "F32", {f->heads, f->levels, 0}, f->error},
                                         {"held", "F32", {f->heads, f->levels, 0}, f->held},
                                         {"value", weight, {f->heads, f->rank, f->size}, f->value},
                                         {"output", weight, {f->heads, f->rank, f->size}, f->output},
                                         {"value_mean", "F32", {f->heads, f->size, 0}, f->value_mean},
                                         {"value_held", "F32", {f->heads, f->levels, 0}, f->value_held}};
    memcpy(parts, all, sizeof all);
}

bool fov_profile_attention_declare(const fov_attention_fit *f, size_t layer, json_t *header, size_t *offset) {
    fov_profile_part parts[PARTS];
    bool good = true;
    if (!f) return true;
    list_parts(f, parts);
    for (size_t i = 0; good && i < PARTS; i++) {
        char name[96];
        snprintf(name, sizeof name, "layers.%zu.attention.%s", layer, parts[i].name);
        good = fov_profile_declare(header, name, &parts[i], offset);
    }
    return good;
}

/* ---- a head ---- */

/* c += factor a b^T */
static void add_product(size_t n, double factor, const double *a, const double *b, double *c) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) c[i * n + k] += factor * a[i] * b[k];
}

/* W of a head of q or k, b + W mu, and W (mean of those held out - mu). */
static void unpack(const fov_attention_fit *f, const fov_linear *l, size_t head, const scratch *s) {
    for (size_t i = 0; i < f->size; i++) {
        const size_t row = head * f->size + i;
        double *w = s->w + i * f->width;
        s->mean[i] = l->bias ? (double)l->bias[row] : 0;
        s->shift[i] = 0;
        for (size_t k = 0; k < f->width; k++) {
            w[k] = (double)fov_packed_at(l->type, l->w, l->scale, l->k, row, k);
            s->mean[i] += w[k] * (double)f->moments->mean[k];
            s->shift[i] += w[k] * f->moments->held_mean[k];
        }
    }
}

/* to = W S W^T */
static void project(const fov_attention_fit *f, const scratch *s, const double *moment, double *to) {
    const size_t d = f->width, e = f->size;
    memset(s->ws, 0, e * d * sizeof *s->ws);
    for (size_t i = 0; i < d; i++)
        for (size_t c = 0; c < e; c++)
            for (size_t k = 0; k < d; k++) s->ws[c * d + k] += s->w[c * d + i] * moment[i * d + k];
    for (size_t a = 0; a < e; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++) sum += s->ws[a * d + k] * s->w[b * d + k];
            to[a * e + b] = to[b * e + a] = sum;
        }
}

/* Moments of a head's contexts: of the fit about its mean, which s->mean gets; of those held out about the same. */
static bool find_contexts(const fov_attention_fit *f, size_t head, const scratch *s) {
    const fov_attention_moments *m = f->moments;
    const size_t e = f->size, index = f->layer * f->heads + head;
    if (!fov_moments_finish(m->contexts[0], index, m->tokens[0], s->mean, s->key[0])) return false;
    if (!fov_moments_finish(m->contexts[1], index, m->tokens[1], s->shift, s->key[1])) return false;
    for (size_t i = 0; i < e; i++) s->shift[i] -= s->mean[i];
    add_product(e, 1, s->shift, s->shift, s->key[1]);
    return true;
}

/* As the profile will hold it. */
static void run_fit(const fov_attention_fit *f, const fov_narrow_fit *fit, double *spare) {
    fov_narrow_fit_run(fit, spare);
    if (!f->compact) return;
    fov_half_round(f->model->kernels, fit->to_query, f->rank * f->size);
    fov_half_round(f->model->kernels, fit->to_key, f->rank * f->size);
}

/* W_O's rows are to contexts what queries are to keys, but that there are no more of them to come. */
static void fit_values(const fov_attention_fit *f, size_t head, const scratch *s) {
    const fov_linear *o = &f->model->layers[f->layer].o;
    const size_t e = f->size, weights = f->rank * e;
    memset(s->query[0], 0, e * e * sizeof *s->query[0]);
    for (size_t j = 0; j < o->m; j++) {
        for (size_t i = 0; i < e; i++) s->w[i] = (double)fov_packed_at(o->type, o->w, o->scale, o->k, j, head * e + i);
        add_product(e, 1, s->w, s->w, s->query[0]);
    }
    (void)find_contexts(f, head, s); /* which was seen to be finite */
    for (size_t i = 0; i < e; i++) f->value_mean[head * e + i] = (float)s->mean[i];
    fov_narrow_fit fit = {e, f->rank, s->query[0], s->key[0], f->output + head * weights, f->value + head * weights};
    run_fit(f, &fit, s->fit);
    fit.key = s->key[1];
    fov_narrow_fit_error(&fit, f->value_held + head * f->levels, s->fit);
}

static void fit_task(void *context, size_t head, unsigned thread) {
    const fov_attention_fit *f = context;
    const fov_layer *layer = &f->model->layers[f->layer];
    const size_t e = f->size, weights = f->rank * e;
    scratch s;
    fov_arena arena = {f->scratch + thread * f->per_thread, 0, f->per_thread, false};
    carve_scratch(&arena, f->width, e, &s);
    unpack(f, &layer->q, head, &s);
    project(f, &s, f->moments->covariance, s.query[0]);
    project(f, &s, f->moments->held, s.query[1]);
    for (int i = 0; i < 2; i++) add_product(e, 1, s.mean, s.mean, s.query[i]);
    add_product(e, 1, s.mean, s.shift, s.query[1]);
    add_product(e, 1, s.shift, s.mean, s.query[1]);
    unpack(f, &layer->k, head, &s);
    project(f, &s, f->moments->covariance, s.key[0]);
    project(f, &s, f->moments->held, s.key[1]);
    add_product(e, -1, s.shift, s.shift, s.key[1]);
    for (size_t i = 0; i < e; i++) f->key_mean[head * e + i] = (float)s.mean[i];

    fov_narrow_fit fit = {e, f->rank, s.query[0], s.key[0], f->query + head * weights, f->key + head * weights};
    run_fit(f, &fit, s.fit);
    fov_narrow_fit_error(&fit, f->error + head * f->levels, s.fit);
    fit.query = s.query[1];
    fit.key = s.key[1];
    fov_narrow_fit_error(&fit, f->held + head * f->levels, s.fit);
    fit_values(f, head, &s);
}

fov_status fov_profile_attention_write(fov_attention_fit *f, size_t layer, const fov_attention_moments *moments, fov_writer write,
                                       void *context, fov_error *error) {
    fov_profile_part parts[PARTS];
    fov_status status = FOV_OK;
    if (!f) return FOV_OK;
    f->layer = layer;
    f->moments = moments;
    scratch s;
    fov_arena arena = {f->scratch, 0, f->per_thread, false};
    carve_scratch(&arena, f->width, f->size, &s);
    for (size_t h = 0; h < f->heads; h++)
        if (!find_contexts(f, h, &s))
            return fov_fail(error, FOV_ERR_UNSUPPORTED, f->model->name,
                            "layer %zu: the contexts are not finite, or too large for exact sums: give fewer texts", layer);
    fov_parallel(f->threads, f->heads, fit_task, f);
    list_parts(f, parts);
    for (size_t i = 0; i < PARTS && !status; i++) status = fov_profile_put(f->model, &parts[i], write, context, error);
    return status;
}
