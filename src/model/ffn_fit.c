/* ffn_fit.c: see ffn_fit.h. With h = act(W1 x + b1) and C the covariance of h over the sample, ffn_select.c takes units by forward
 * selection and fits W2 on them; bias = b2 + mean(h) W2 - mean(h_S) B. Errors are measured on held-out texts.
 *
 * C is summed in f32 about the means of the first tokens, so that little cancels. A ridge of RIDGE of the mean variance keeps the
 * fits from following the sample's noise. One layer at a time: 230 MB for BERT-base, beside the sample's 570. */
#include "model/ffn_fit.h"

#include <math.h>
#include <string.h>

#include "core/status.h"
#include "core/threads.h"
#include "model/ffn_select.h"
#include "model/half.h"

enum { BLOCK = 1024 };
static const double RIDGE = 1e-3;

struct fov_ffn_fit {
    const struct fov_model *model;
    fov_sample *sample;
    bool compact;
    unsigned threads;
    size_t width, hidden, levels, top, sum, fitted;
    uint32_t level[FOV_FFN_LEVELS];
    const fov_layer *layer; /* the one being fitted */
    const float *x;         /* [room][width] its inputs, by slot */

    float *h, *turned;          /* [BLOCK][hidden], [hidden][BLOCK] */
    float *packed, *gram;       /* gram: [hidden][hidden] */
    float *exact, *narrow;      /* [BLOCK][width] */
    float *shift, *w, *product; /* [hidden]; W2 and C W2 [hidden][width] */
    float *gemm, *fits;         /* fits: level by level [level][width] */
    double *mean, *covariance;  /* [hidden], [hidden][hidden] */
    double *scratch, *total;    /* total: [2 max(hidden, width)] */
    fov_ffn_fit_data data;
    void *block;
};

size_t fov_ffn_fit_levels(size_t hidden, bool compact, uint32_t levels[FOV_FFN_LEVELS]) {
    static const size_t parts[] = {48, 24, 12, 6, 4, 3}; /* 64, 128, 256, 512, 768, 1024 of 3072 */
    const size_t step = hidden < 384 ? 4 : FOV_PANEL;
    size_t count = 1;
    levels[0] = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (compact && parts[i] != 24 && parts[i] != 6) continue;
        const uint32_t level = (uint32_t)(hidden / parts[i] / step * step);
        if (level > levels[count - 1]) levels[count++] = level;
    }
    return count;
}

static size_t carve(fov_arena *arena, fov_ffn_fit *f) {
    const size_t square = fov_mul(f->hidden, f->hidden), widest = f->hidden > f->width ? f->hidden : f->width;
    const size_t weights = fov_mul(f->hidden, f->width);
    const size_t turned = fov_packed_size(f->hidden, BLOCK), down = fov_packed_size(f->width, f->hidden);
    f->h = fov_arena_take(arena, fov_mul(BLOCK, f->hidden), sizeof(float));
    f->turned = fov_arena_take(arena, fov_mul(BLOCK, f->hidden), sizeof(float));
    f->packed = fov_arena_take(arena, turned > down ? turned : down, sizeof(float));
    f->gram = fov_arena_take(arena, square, sizeof(float));
    f->exact = fov_arena_take(arena, fov_mul(BLOCK, f->width), sizeof(float));
    f->narrow = fov_arena_take(arena, fov_mul(BLOCK, f->width), sizeof(float));
    f->shift = fov_arena_take(arena, f->hidden, sizeof(float));
    f->w = fov_arena_take(arena, weights, sizeof(float));
    f->product = fov_arena_take(arena, weights, sizeof(float));
    f->gemm = fov_arena_take(arena, fov_mul(f->threads, fov_gemm_scratch()), sizeof(float));
    f->fits = fov_arena_take(arena, fov_mul(f->sum, f->width), sizeof(float));
    f->mean = fov_arena_take(arena, f->hidden, sizeof(double));
    f->covariance = fov_arena_take(arena, square, sizeof(double));
    f->scratch = fov_arena_take(arena, fov_ffn_select_scratch(f->hidden, f->width, f->top), sizeof(double));
    f->total = fov_arena_take(arena, fov_mul(2, widest), sizeof(double));
    f->data.order = fov_arena_take(arena, f->top, sizeof(uint32_t));
    f->data.weight = fov_arena_take(arena, fov_mul(f->sum, f->width), sizeof(float));
    f->data.bias = fov_arena_take(arena, fov_mul(f->levels, f->width), sizeof(float));
    f->data.error = fov_arena_take(arena, f->levels, sizeof(float));
    f->data.energy = fov_arena_take(arena, 1, sizeof(float));
    return arena->used;
}

fov_status fov_ffn_fit_create(const struct fov_model *model, fov_sample *sample, bool compact, unsigned threads, fov_ffn_fit **fit,
                              fov_error *error) {
    const fov_config *c = &model->config;
    fov_ffn_fit *f = fov_alloc_zero(&model->allocator, sizeof *f);
    if (!f) return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory");
    *f = (fov_ffn_fit){
        .model = model, .sample = sample, .compact = compact, .threads = threads, .width = c->width, .hidden = c->ffn_width};
    f->levels = fov_ffn_fit_levels(f->hidden, compact, f->level);
    f->top = f->level[f->levels - 1];
    for (size_t l = 0; l < f->levels; l++) f->sum += f->level[l];
    f->fitted = fov_sample_sort(sample);
    fov_status status = FOV_OK;
    fov_arena arena = {0};
    const size_t bytes = carve(&arena, f);
    if (f->levels < 2) {
        status = fov_fail(error, FOV_ERR_UNSUPPORTED, model->name, "%zu hidden units are too few to leave any out", f->hidden);
    } else if (f->fitted <= f->top || f->fitted == sample->count) {
        status = fov_fail(
            error, FOV_ERR_ARGUMENT, model->name,
            "too few texts for the feed-forward layers: %zu tokens to fit, where more than %zu are needed, and %zu of texts "
            "held out, where some are needed: give more texts",
            f->fitted, f->top, sample->count - f->fitted);
    } else if (!(f->block = fov_alloc(&model->allocator, bytes))) {
        status =
            fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory: the fits of feed-forward layers need %zu bytes", bytes);
    }
    if (status) {
        fov_ffn_fit_free(f);
        return status;
    }
    arena = (fov_arena){f->block, 0, bytes, false};
    carve(&arena, f);
    *fit = f;
    return FOV_OK;
}

void fov_ffn_fit_free(fov_ffn_fit *f) {
    if (!f) return;
    const fov_allocator *allocator = &f->model->allocator;
    fov_release(allocator, f->block);
    fov_release(allocator, f);
}

/* h of n of the sample's tokens. */
static void activate(const fov_ffn_fit *f, const uint32_t *slots, size_t n) {
    fov_gemm g = fov_linear_gemm(&f->layer->up);
    g.n = n;
    g.x = f->x;
    g.x_rows = slots;
    g.act = f->model->activation;
    g.y = f->h;
    fov_gemm_run(f->model->kernels, &g, f->threads, f->gemm);
}

/* ---- covariance ---- */

static void find_shift(const fov_ffn_fit *f, size_t n) {
    for (size_t i = 0; i < f->hidden; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) sum += (double)f->h[j * f->hidden + i];
        f->shift[i] = (float)(sum / (double)n);
        f->total[i] = 0;
    }
}

typedef struct turning {
    const fov_ffn_fit *f;
    size_t n;
} turning;

/* 64 units: h - shift in place, its sums, and its transpose. */
static void turn_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const turning *t = context;
    const fov_ffn_fit *f = t->f;
    const size_t first = index * 64, end = first + 64 < f->hidden ? first + 64 : f->hidden;
    for (size_t j = 0; j < t->n; j++) {
        float *h = f->h + j * f->hidden;
        for (size_t i = first; i < end; i++) {
            h[i] -= f->shift[i];
            f->total[i] += (double)h[i];
            f->turned[i * t->n + j] = h[i];
        }
    }
}

static void add_products(const fov_ffn_fit *f, size_t n, bool begin) {
    turning t = {f, n};
    fov_parallel(f->threads, (f->hidden + 63) / 64, turn_task, &t);
    f->model->kernels->pack_n(f->h, f->hidden, n, f->hidden, f->packed);
    const fov_gemm g = {.n = f->hidden,
                        .m = f->hidden,
                        .k = n,
                        .x = f->turned,
                        .ldx = n,
                        .w = f->packed,
                        .residual = begin ? NULL : f->gram,
                        .ldr = f->hidden,
                        .y = f->gram,
                        .ldy = f->hidden};
    fov_gemm_run(f->model->kernels, &g, f->threads, f->gemm);
}

/* Mean and covariance of h over the tokens to fit. */
static void find_covariance(const fov_ffn_fit *f) {
    const size_t d = f->hidden;
    for (size_t i = 0; i < f->fitted; i += BLOCK) {
        const size_t n = f->fitted - i < BLOCK ? f->fitted - i : BLOCK;
        activate(f, f->sample->slots + i, n);
        if (!i) find_shift(f, n);
        add_products(f, n, !i);
    }
    const double count = (double)f->fitted;
    double trace = 0;
    for (size_t i = 0; i < d; i++) {
        f->mean[i] = (double)f->shift[i] + f->total[i] / count;
        for (size_t k = 0; k <= i; k++) {
            const double c = (double)f->gram[i * d + k] / count - f->total[i] / count * (f->total[k] / count);
            f->covariance[i * d + k] = f->covariance[k * d + i] = c;
        }
        trace += f->covariance[i * d + i];
    }
    for (size_t i = 0; i < d; i++) f->covariance[i * d + i] += RIDGE * trace / (double)d;
    for (size_t i = 0; i < d * d; i++) f->gram[i] = (float)f->covariance[i];
}

/* ---- fits ---- */

/* C W2, by the f32 copy of C that the covariance leaves in gram. */
static void find_product(const fov_ffn_fit *f) {
    const fov_linear *down = &f->layer->down;
    for (size_t c = 0; c < f->width; c++)
        for (size_t i = 0; i < f->hidden; i++)
            f->w[i * f->width + c] = fov_packed_at(down->type, down->w, down->scale, down->k, c, i);
    f->model->kernels->pack_n(f->w, f->width, f->hidden, f->width, f->packed);
    const fov_gemm g = {.n = f->hidden,
                        .m = f->width,
                        .k = f->hidden,
                        .x = f->gram,
                        .ldx = f->hidden,
                        .w = f->packed,
                        .y = f->product,
                        .ldy = f->width};
    fov_gemm_run(f->model->kernels, &g, f->threads, f->gemm);
}

static void find_biases(const fov_ffn_fit *f) {
    const float *b2 = f->layer->down.bias, *fits = f->fits;
    for (size_t c = 0; c < f->width; c++) {
        f->total[c] = b2 ? (double)b2[c] : 0;
        for (size_t i = 0; i < f->hidden; i++) f->total[c] += f->mean[i] * (double)f->w[i * f->width + c];
    }
    for (size_t l = 0; l < f->levels; fits += f->level[l++] * f->width)
        for (size_t c = 0; c < f->width; c++) {
            double sum = f->total[c];
            for (size_t k = 0; k < f->level[l]; k++) sum -= f->mean[f->data.order[k]] * (double)fits[k * f->width + c];
            f->data.bias[l * f->width + c] = (float)sum;
        }
}

static void find_fits(const fov_ffn_fit *f) {
    find_product(f);
    const fov_ffn_select select = {.units = f->hidden,
                                   .width = f->width,
                                   .covariance = f->covariance,
                                   .residual = f->product,
                                   .levels = f->levels,
                                   .level = f->level,
                                   .order = f->data.order,
                                   .fits = f->fits,
                                   .threads = f->threads,
                                   .scratch = f->scratch};
    fov_ffn_select_run(&select);
    find_biases(f);
    size_t at = 0;
    for (size_t l = 0; l < f->levels; at += f->level[l++] * f->width)
        for (size_t k = 0; k < f->level[l]; k++)
            for (size_t c = 0; c < f->width; c++) f->data.weight[at + c * f->level[l] + k] = f->fits[at + k * f->width + c];
    if (f->compact) fov_half_round(f->model->kernels, f->data.weight, at);
}

/* ---- held-out errors ---- */

/* The layer's output of n tokens whose h is there, in full or at a level. */
static void project(const fov_ffn_fit *f, size_t n, size_t l, const float *weight, float *y) {
    fov_gemm g = fov_linear_gemm(&f->layer->down);
    if (l < f->levels) {
        f->model->kernels->pack_t(weight, f->level[l], f->width, f->level[l], f->packed);
        g = (fov_gemm){.m = f->width,
                       .k = f->level[l],
                       .x_columns = f->data.order,
                       .w = f->packed,
                       .bias = f->data.bias + l * f->width,
                       .ldy = f->width};
    }
    g.n = n;
    g.x = f->h;
    g.ldx = f->hidden;
    g.y = y;
    fov_gemm_run(f->model->kernels, &g, f->threads, f->gemm);
}

static void measure(const fov_ffn_fit *f) {
    const size_t d = f->width, held = f->sample->count - f->fitted;
    double error[FOV_FFN_LEVELS] = {0}, energy = 0, *sum = f->total, *square = f->total + d;
    memset(sum, 0, 2 * d * sizeof *sum);
    for (size_t first = 0; first < held; first += BLOCK) {
        const uint32_t *slots = f->sample->slots + f->fitted + first;
        const size_t n = held - first < BLOCK ? held - first : BLOCK;
        activate(f, slots, n);
        project(f, n, f->levels, NULL, f->exact);
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < d; c++) {
                const double y = (double)f->x[slots[i] * d + c] + (double)f->exact[i * d + c];
                sum[c] += y;
                square[c] += y * y;
            }
        const float *weight = f->data.weight;
        for (size_t l = 0; l < f->levels; weight += f->level[l++] * d) {
            project(f, n, l, weight, f->narrow);
            for (size_t i = 0; i < n * d; i++) {
                const double off = (double)f->exact[i] - (double)f->narrow[i];
                error[l] += off * off;
            }
        }
    }
    for (size_t c = 0; c < d; c++) energy += (square[c] - sum[c] * sum[c] / (double)held) / (double)held;
    for (size_t l = 0; l < f->levels; l++) f->data.error[l] = (float)(error[l] / (double)held);
    *f->data.energy = (float)fmax(energy, 0);
}

fov_ffn_fit_data fov_ffn_fit_run(fov_ffn_fit *f, size_t layer) {
    f->layer = &f->model->layers[layer];
    f->x = f->sample->x + layer * f->sample->room * f->width;
    find_covariance(f);
    find_fits(f);
    measure(f);
    return f->data;
}
