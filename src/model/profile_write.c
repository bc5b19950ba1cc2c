/* profile_write.c: from moments to a profile: the fits of every layer, written as they are made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/half.h"
#include "model/profile.h"
#include "model/profile_parts.h"
#include "values/held.h"
#include "values/lowrank_fit.h"
#include "values/project.h"
#include "values/regress_fit.h"

size_t fov_profile_levels(size_t d, bool compact, uint32_t levels[FOV_PROFILE_LEVELS]) {
    static const uint32_t all[] = {0, 16, 32, 64, 96, 128, 192, 256, 384, 512};
    const uint32_t few[] = {0, (uint32_t)d / 16, (uint32_t)d / 4, (uint32_t)d / 2};
    const uint32_t *from = compact ? few : all;
    const size_t most = compact ? sizeof few / sizeof *few : sizeof all / sizeof *all;
    size_t count = 0;
    for (size_t i = 0; i < most && from[i] < d; i++)
        if (!i || from[i] > levels[count - 1]) levels[count++] = from[i];
    return count;
}

/* Five samples for each direction of the hidden units' covariance. */
size_t fov_profile_sample(const struct fov_model *model) {
    return fov_mul(5, model->config.ffn_width);
}

size_t fov_profile_tokens(const struct fov_model *model) {
    return 8 * model->config.width; /* eight samples for each direction of the covariance */
}

/* Everything of one layer, in the order of the file. */
typedef struct layer_data {
    float *mean, *covariance, *share;
    uint32_t *order;
    float *weight, *error;
    float *held;
    float *basis, *basis_error, *basis_held;
} layer_data;

typedef struct writing {
    const struct fov_model *model;
    const fov_profile_sums *sums;
    fov_held held;
    unsigned threads;
    fov_writer write;
    void *context;
    size_t d, heads, e, levels, sum, top;
    bool compact;
    fov_attention_fit *attention;
    uint32_t level[FOV_PROFILE_LEVELS];
    layer_data data;
    double *mean, *covariance, *w, *scratch; /* w: [heads][d][e]; scratch: [threads] */
    double *held_mean, *moment, *product;    /* [d], M [d][d], M W [heads][d][e] */
    double *residual, *basis_scratch;        /* residual: [rank + 1] */
    size_t rank;
    size_t scratch_size, layer;
} writing;

static size_t carve(fov_arena *arena, writing *s) {
    const size_t square = fov_mul(s->d, s->d);
    s->scratch_size = fov_regress_fit_scratch(s->d, s->e, s->top);
    s->data.mean = fov_arena_take(arena, s->d, sizeof(float));
    s->data.covariance = fov_arena_take(arena, square, sizeof(float));
    s->data.share = fov_arena_take(arena, s->heads, sizeof(float));
    s->data.order = fov_arena_take(arena, fov_mul(s->heads, s->top), sizeof(uint32_t));
    s->data.weight = fov_arena_take(arena, fov_mul(fov_mul(s->heads, s->sum), s->e), sizeof(float));
    s->data.error = fov_arena_take(arena, fov_mul(s->heads, s->levels), sizeof(float));
    s->data.held = fov_arena_take(arena, fov_mul(s->heads, s->levels), sizeof(float));
    s->data.basis = fov_arena_take(arena, fov_mul(s->rank, s->d), sizeof(float));
    s->data.basis_held = fov_arena_take(arena, s->levels, sizeof(float));
    s->data.basis_error = fov_arena_take(arena, s->levels, sizeof(float));
    s->residual = fov_arena_take(arena, s->rank + 1, sizeof(double));
    s->basis_scratch = fov_arena_take(arena, fov_lowrank_fit_scratch(s->d, s->d, s->rank), sizeof(double));
    s->mean = fov_arena_take(arena, s->d, sizeof(double));
    s->covariance = fov_arena_take(arena, square, sizeof(double));
    s->w = fov_arena_take(arena, square, sizeof(double));
    s->held_mean = fov_arena_take(arena, s->d, sizeof(double));
    s->moment = fov_arena_take(arena, square, sizeof(double));
    s->product = fov_arena_take(arena, square, sizeof(double));
    s->scratch = fov_arena_take(arena, fov_mul(s->threads, s->scratch_size), sizeof(double));
    return arena->used;
}

/* ---- the file ---- */

typedef fov_profile_part part;

enum { PARTS = 10 };

static void list_parts(const writing *s, part parts[PARTS]) {
    const char *weight = s->compact ? "F16" : "F32";
    const part all[PARTS] = {{"mean", "F32", {s->d, 0, 0}, s->data.mean},
                             {s->compact ? "variance" : "covariance", "F32", {s->d, s->compact ? 0 : s->d, 0}, s->data.covariance},
                             {"share", "F32", {s->heads, 0, 0}, s->data.share},
                             {"regress.order", "U32", {s->heads, s->top, 0}, s->data.order},
                             {"regress.weight", weight, {s->heads, s->sum, s->e}, s->data.weight},
                             {"regress.error", "F32", {s->heads, s->levels, 0}, s->data.error},
                             {"regress.held", "F32", {s->heads, s->levels, 0}, s->data.held},
                             {"lowrank.basis", weight, {s->rank, s->d, 0}, s->data.basis},
                             {"lowrank.error", "F32", {s->levels, 0, 0}, s->data.basis_error},
                             {"lowrank.held", "F32", {s->levels, 0, 0}, s->data.basis_held}};
    memcpy(parts, all, sizeof all);
}

static json_t *make_header(const writing *s) {
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "foveate-profile");
    const part provenance = {"provenance", "U64", {sizeof(fov_provenance) / sizeof(uint64_t), 0, 0}, NULL};
    const part held = {"held", "U64", {2, 0, 0}, NULL};
    const part levels = {"levels", "U32", {s->levels, 0, 0}, NULL};
    part parts[PARTS];
    size_t offset = 0;
    list_parts(s, parts);
    bool good = header && fov_profile_declare(header, provenance.name, &provenance, &offset) &&
                fov_profile_declare(header, held.name, &held, &offset) &&
                fov_profile_declare(header, levels.name, &levels, &offset);
    for (size_t l = 0; good && l < s->model->config.layers; l++)
        for (size_t i = 0; good && i < PARTS; i++) {
            char name[96];
            snprintf(name, sizeof name, "layers.%zu.value.%s", l, parts[i].name);
            good = fov_profile_declare(header, name, &parts[i], &offset);
            if (good && i + 1 == PARTS) good = fov_profile_attention_declare(s->attention, l, header, &offset);
        }
    if (good) good = fov_profile_ffn_declare(s->model, s->compact, header, &offset);
    if (good) return header;
    json_decref(header);
    return NULL;
}

static fov_status put(const writing *s, const void *data, size_t size, fov_error *error) {
    if (!s->write(s->context, data, size)) return FOV_OK;
    return fov_fail(error, FOV_ERR_IO, s->model->name, "the profile could not be written: the caller's writer failed");
}

/* Length, header, blanks up to a multiple of 64 bytes, so that the tensors are aligned. */
static fov_status put_header(const writing *s, fov_error *error) {
    static const char blanks[] = "                                                                ";
    json_t *header = make_header(s);
    char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (!text) return fov_fail(error, FOV_ERR_MEMORY, s->model->name, "out of memory");
    const size_t length = strlen(text), pad = (FOV_ALIGN - (8 + length) % FOV_ALIGN) % FOV_ALIGN;
    unsigned char size[8];
    for (unsigned i = 0; i < 8; i++) size[i] = (unsigned char)((length + pad) >> (8 * i));
    fov_status status = put(s, size, sizeof size, error);
    if (!status) status = put(s, text, length, error);
    if (!status) status = put(s, blanks, pad, error);
    free(text);
    return status;
}

/* ---- a layer ---- */

/* ||W_O[., head]||_F^2 of every head over their mean. */
static void find_shares(const writing *s, const fov_linear *o) {
    double total = 0;
    for (size_t h = 0; h < s->heads; h++) {
        double sum = 0;
        for (size_t k = h * s->e; k < (h + 1) * s->e; k++)
            for (size_t j = 0; j < o->m; j++) {
                const double w = (double)fov_packed_at(o->type, o->w, o->scale, o->k, j, k);
                sum += w * w;
            }
        s->data.share[h] = (float)sum;
        total += sum / (double)s->heads;
    }
    for (size_t h = 0; h < s->heads; h++) s->data.share[h] = total > 0 ? (float)((double)s->data.share[h] / total) : 1;
}

static void fit_task(void *context, size_t head, unsigned thread) {
    const writing *s = context;
    const fov_linear *v = &s->model->layers[s->layer].v;
    const fov_value_weights weights = {
        .width = s->d, .heads = s->heads, .head_size = s->e, .packed = v->w, .type = v->type, .scale = v->scale};
    double *w = s->w + head * s->d * s->e;
    for (size_t i = 0; i < s->d; i++)
        for (size_t c = 0; c < s->e; c++) w[i * s->e + c] = (double)fov_value_weight(&weights, head, i, c);
    const fov_regress_fit fit = {.width = s->d,
                                 .head_size = s->e,
                                 .covariance = s->covariance,
                                 .w = w,
                                 .levels = s->levels,
                                 .level = s->level,
                                 .order = s->data.order + head * s->top,
                                 .weight = s->data.weight + head * s->sum * s->e,
                                 .error = s->data.error + head * s->levels};
    fov_regress_fit_run(&fit, s->scratch + thread * s->scratch_size);
    if (s->compact) fov_half_round(s->model->kernels, fit.weight, s->sum * s->e);
    const fov_held_levels levels = {s->levels, s->level, fit.order, fit.weight, s->data.held + head * s->levels};
    fov_held_regress(&s->held, head, &levels, s->scratch + thread * s->scratch_size);
}

/* After fit_task, which unpacks the weights. */
static void fit_basis(const writing *s) {
    const fov_lowrank_fit fit = {.width = s->d,
                                 .heads = s->heads,
                                 .head_size = s->e,
                                 .rank = s->rank,
                                 .threads = s->threads,
                                 .covariance = s->covariance,
                                 .w = s->w,
                                 .basis = s->data.basis,
                                 .residual = s->residual};
    fov_lowrank_fit_run(&fit, s->basis_scratch);
    if (s->compact) fov_half_round(s->model->kernels, fit.basis, s->rank * s->d);
    for (size_t l = 0; l < s->levels; l++) s->data.basis_error[l] = (float)s->residual[fov_profile_rank(s->level[l], s->d)];
    fov_held_lowrank(&s->held, fit.basis, s->rank, s->residual, s->basis_scratch);
    for (size_t l = 0; l < s->levels; l++) s->data.basis_held[l] = (float)s->residual[fov_profile_rank(s->level[l], s->d)];
}

/* Mean and covariance of the fit; the second moment about that mean, as it is stored, of what is held out. */
static bool find_moments(const writing *s, size_t layer, double tokens) {
    const double held = (double)s->sums->held_out[1];
    if (!fov_moments_finish(s->sums->fitted, layer, tokens - held, s->mean, s->covariance)) return false;
    if (!fov_moments_finish(s->sums->held, layer, held, s->held_mean, s->moment)) return false;
    for (size_t i = 0; i < s->d; i++) {
        s->data.mean[i] = (float)s->mean[i];
        s->held_mean[i] -= (double)s->data.mean[i];
    }
    for (size_t i = 0; i < s->d; i++)
        for (size_t k = 0; k < s->d; k++) s->moment[i * s->d + k] += s->held_mean[i] * s->held_mean[k];
    return true;
}

static fov_status put_layer(writing *s, size_t layer, double tokens, fov_error *error) {
    if (!find_moments(s, layer, tokens))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, s->model->name,
                        "layer %zu: the inputs are not finite, or too large for exact sums over %.0f tokens: give fewer texts",
                        layer, tokens);
    const size_t step = s->compact ? s->d + 1 : 1; /* the diagonal alone */
    for (size_t i = 0; i * step < s->d * s->d; i++) s->data.covariance[i] = (float)s->covariance[i * step];
    find_shares(s, &s->model->layers[layer].o);
    s->layer = layer;
    fov_parallel(s->threads, s->heads, fit_task, s);
    fit_basis(s);
    part parts[PARTS];
    list_parts(s, parts);
    fov_status status = FOV_OK;
    for (size_t i = 0; i < PARTS && !status; i++) status = fov_profile_put(s->model, &parts[i], s->write, s->context, error);
    const double held = (double)s->sums->held_out[1];
    const fov_attention_moments moments = {s->data.mean, s->covariance,     s->held_mean,
                                           s->moment,    s->sums->contexts, {tokens - held, held}};
    if (!status) status = fov_profile_attention_write(s->attention, layer, &moments, s->write, s->context, error);
    return status;
}

fov_status fov_profile_write(const struct fov_model *model, const fov_profile_sums *sums, const fov_provenance *provenance,
                             const fov_profile_options *options, fov_writer write, void *context, fov_error *error) {
    const fov_config *c = &model->config;
    writing s = {.model = model,
                 .sums = sums,
                 .threads = options->threads,
                 .compact = options->compact,
                 .write = write,
                 .context = context,
                 .d = c->width,
                 .heads = c->heads,
                 .e = c->width / c->heads};
    s.levels = fov_profile_levels(s.d, s.compact, s.level);
    if (s.levels < 2)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, model->name, "a width of %zu is too small to leave anything out", s.d);
    if (s.compact && s.d % 2) /* its tensors of two bytes an element would leave others unaligned */
        return fov_fail(error, FOV_ERR_UNSUPPORTED, model->name, "a compact profile needs an even width, not %zu: make a full one",
                        s.d);
    s.top = s.level[s.levels - 1];
    s.rank = fov_profile_rank(s.top, s.d);
    for (size_t l = 0; l < s.levels; l++) s.sum += s.level[l];
    fov_ffn_fit *ffn = NULL;
    fov_status status = fov_ffn_fit_create(model, sums->sample, s.compact, s.threads, &ffn, error);
    if (!status) status = fov_attention_fit_create(model, s.compact, s.threads, &s.attention, error);
    if (status) {
        fov_ffn_fit_free(ffn);
        return status;
    }
    fov_arena arena = {0};
    const size_t bytes = carve(&arena, &s);
    arena = (fov_arena){fov_alloc(&model->allocator, bytes), 0, bytes, false};
    if (!arena.block) {
        fov_ffn_fit_free(ffn);
        fov_attention_fit_free(s.attention);
        return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory: the fits need %zu bytes", bytes);
    }
    carve(&arena, &s);
    s.held = (fov_held){s.d, s.heads, s.e, s.threads, s.moment, s.w, s.product};
    status = put_header(&s, error);
    if (!status) status = put(&s, provenance, sizeof *provenance, error);
    if (!status) status = put(&s, sums->held_out, sizeof sums->held_out, error);
    if (!status) status = put(&s, s.level, s.levels * sizeof *s.level, error);
    for (size_t l = 0; l < c->layers && !status; l++) {
        status = put_layer(&s, l, (double)provenance->tokens, error);
        if (!status) status = fov_profile_tell(model, options, l + 1, error);
    }
    fov_release(&model->allocator, arena.block);
    fov_attention_fit_free(s.attention);
    if (!status) status = fov_profile_ffn_write(model, options, ffn, write, context, error);
    fov_ffn_fit_free(ffn);
    return status;
}
