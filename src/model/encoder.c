/* encoder.c: the only place that knows the order of a layer.
 *
 * embeddings -> L x { q, k; weights, importance; values; attention; output + residual, norm; feed-forward + residual, norm } ->
 * rows. No padding is computed. The last layer computes only the rows that are read: their queries, output projection and
 * feed-forward (keys and values of all tokens). With an estimator in a padded convention the importance of the last layer still
 * counts every query row, as the papers do.
 *
 * Memory of N tokens: x, q, k, v [N, C]; a block of hidden activations; attention scratch. y overwrites q, the two residual sums
 * overwrite k and v. Weights that must be stored (value estimators) are made for a few texts at a time. */
#include "model/encoder.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "core/rng.h"
#include "core/status.h"
#include "core/threads.h"
#include "kernels/gemm.h"

enum {
    WEIGHT_FLOATS = 4 << 20, /* stored attention weights of a group of texts: 16 MiB, or one text's */
    ROW_TASK = 64            /* rows of a layer-norm or embedding task */
};

struct fov_encoder {
    const struct fov_model *model;
    fov_encoder_settings s;
    const fov_attention_row *attention;
    const fov_values_row *values;
    const fov_ffn_row *ffn;
    bool importance;     /* the value estimator needs it */
    bool count_all_rows; /* importance counts query rows that nobody reads */
    double padded;       /* length of the papers' convention */
    void **bound;        /* [L] */
    void *block;
    size_t max_texts;

    float *x, *q, *k, *v, *y;
    size_t *row_offsets, *row_starts, *starts;
    uint32_t *rows, *row_queries;
    float *col_max, *col_energy, *weights;
    void *attention_scratch, *values_scratch, *ffn_scratch;
    float *gemm_scratch;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t carve(fov_encoder *e, fov_arena *arena) {
    const fov_config *c = &e->model->config;
    size_t n = e->s.batch_tokens, rows = fov_mul(n, c->width), d = c->width / c->heads;
    fov_attention_size attention = {e->s.longest, d, e->s.threads};
    fov_values_size values = {n, e->max_texts, e->s.longest, c->width, c->heads, d, e->s.threads};
    e->x = fov_arena_take(arena, rows, sizeof(float));
    e->q = fov_arena_take(arena, rows, sizeof(float));
    e->k = fov_arena_take(arena, rows, sizeof(float));
    e->v = fov_arena_take(arena, rows, sizeof(float));
    e->y = e->count_all_rows ? fov_arena_take(arena, rows, sizeof(float)) : e->q;
    e->row_offsets = fov_arena_take(arena, e->max_texts + 1, sizeof(size_t));
    e->row_starts = fov_arena_take(arena, e->max_texts + 1, sizeof(size_t));
    e->starts = fov_arena_take(arena, e->max_texts, sizeof(size_t));
    e->rows = fov_arena_take(arena, n, sizeof(uint32_t));
    e->row_queries = fov_arena_take(arena, n, sizeof(uint32_t));
    e->gemm_scratch = fov_arena_take(arena, fov_mul(e->s.threads, fov_gemm_scratch()), sizeof(float));
    e->attention_scratch = fov_arena_take(arena, e->attention->workspace(&attention), 1);
    e->values_scratch = fov_arena_take(arena, e->values->workspace(&values), 1);
    e->ffn_scratch = fov_arena_take(arena, e->ffn->workspace(n, c->ffn_width), 1);
    size_t cells = fov_mul(c->heads, n), one_text = fov_mul(c->heads, fov_mul(e->s.longest, e->s.longest));
    e->col_max = fov_arena_take(arena, cells, sizeof(float));
    e->col_energy = fov_arena_take(arena, e->values->needs_energy ? cells : 0, sizeof(float));
    e->weights = fov_arena_take(arena, e->importance ? max_size(one_text, WEIGHT_FLOATS) : 0, sizeof(float));
    return arena->used;
}

static fov_status check_methods(const fov_encoder *e, fov_error *error) {
    if (e->values->info.flags & FOV_METHOD_NEEDS_IMPORTANCE && !(e->attention->info.flags & FOV_METHOD_HAS_IMPORTANCE))
        return fov_fail(
            error, FOV_ERR_UNSUPPORTED, e->values->info.name,
            "value estimator '%s' needs attention weights, which '%s' attention never forms; use --values exact or a softmax "
            "attention",
            e->values->info.name, e->attention->info.name);
    return FOV_OK;
}

static fov_value_weights value_weights(const fov_encoder *e, size_t layer) {
    const fov_config *c = &e->model->config;
    const fov_linear *v = &e->model->layers[layer].v;
    return (fov_value_weights){c->width, c->heads, c->width / c->heads, v->w, v->bias};
}

static fov_status bind_layers(fov_encoder *e, fov_error *error) {
    for (size_t l = 0; l < e->model->config.layers && e->values->bind; l++) {
        fov_value_weights w = value_weights(e, l);
        fov_status status = e->values->bind(&e->s.values, &w, &e->model->allocator, &e->bound[l], error);
        if (status) return status;
    }
    return FOV_OK;
}

fov_status fov_encoder_create(const struct fov_model *model, const fov_encoder_settings *settings, fov_encoder **encoder,
                              fov_error *error) {
    const fov_allocator *allocator = &model->allocator;
    fov_encoder *e = fov_alloc_zero(allocator, sizeof *e);
    if (!e) return fov_fail(error, FOV_ERR_MEMORY, model->name, "out of memory");
    e->model = model;
    e->s = *settings;
    e->attention = fov_attention_row_of(&settings->attention);
    e->values = fov_values_row_of(&settings->values);
    e->ffn = fov_ffn_row_of(&settings->ffn);
    e->importance = settings->trace || e->values->info.flags & FOV_METHOD_NEEDS_IMPORTANCE;
    e->padded = 128;
    for (size_t i = 0; i < e->values->info.param_count; i++)
        if (e->values->info.params[i].type == FOV_PARAM_LENGTH && settings->values.values[i] > 0) {
            e->count_all_rows = true;
            e->padded = settings->values.values[i];
        }
    e->max_texts = e->s.batch_tokens / 2 + 1; /* a text has at least [CLS] and [SEP] */
    fov_status status = check_methods(e, error);
    fov_arena arena = {0};
    size_t bytes = carve(e, &arena);
    if (status) goto end;
    e->bound = fov_alloc_zero(allocator, fov_mul(model->config.layers, sizeof *e->bound));
    e->block = fov_alloc(allocator, bytes);
    status = FOV_ERR_MEMORY;
    if (!e->bound || !e->block) goto end;
    arena = (fov_arena){e->block, 0, bytes, false};
    carve(e, &arena);
    status = bind_layers(e, error);
end:
    if (status == FOV_ERR_MEMORY) fov_fail(error, status, model->name, "out of memory: a session needs %zu bytes", bytes);
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
    fov_release(allocator, e->bound);
    fov_release(allocator, e->block);
    fov_release(allocator, e);
}

size_t fov_encoder_max_texts(const fov_encoder *e) {
    return e->max_texts;
}
const struct fov_model *fov_encoder_model(const fov_encoder *e) {
    return e->model;
}
fov_encoder_scratch fov_encoder_borrow(fov_encoder *e) {
    return (fov_encoder_scratch){e->q, e->k, e->gemm_scratch, e->s.threads};
}

/* ---- row-wise steps ---- */

typedef struct row_job {
    const fov_encoder *e;
    const fov_batch *batch;
    size_t n;
    const float *from;
    float *to;
    const fov_norm *norm;
    atomic_size_t bad; /* 1 + token whose embedding is not finite */
} row_job;

static void norm_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const row_job *j = context;
    const fov_config *c = &j->e->model->config;
    size_t i = index * ROW_TASK, n = j->n - i < ROW_TASK ? j->n - i : ROW_TASK;
    j->e->model->kernels->layernorm(j->from + i * c->width, c->width, n, c->width, j->norm->gamma, j->norm->beta,
                                    (float)c->norm_eps, j->to + i * c->width, c->width);
}

static void normalize_rows(const fov_encoder *e, size_t n, const float *from, float *to, const fov_norm *norm) {
    row_job j = {.e = e, .n = n, .from = from, .to = to, .norm = norm};
    fov_parallel(e->s.threads, (n + ROW_TASK - 1) / ROW_TASK, norm_task, &j);
}

/* x[i] = word[id] + type + position, then the norm, for one text. */
static void embed_task(void *context, size_t text, unsigned thread) {
    (void)thread;
    row_job *j = context;
    const struct fov_model *m = j->e->model;
    size_t c = m->config.width, first = j->batch->offsets[text], n = j->batch->offsets[text + 1] - first;
    for (size_t t = 0; t < n; t++) {
        float *x = j->to + (first + t) * c, zero = 0;
        fov_tensor_read(m->kernels, m->words, (size_t)j->batch->ids[first + t] * c, c, x);
        const float *type = m->types ? m->types + (m->config.types > 1 ? j->batch->types[first + t] : 0) * c : NULL;
        const float *position = m->positions + (t + m->arch->position_offset) * c;
        for (size_t i = 0; i < c; i++) {
            zero += 0 * x[i];
            x[i] = (type ? x[i] + type[i] : x[i]) + position[i];
        }
        if (!(zero == 0)) atomic_store(&j->bad, first + t + 1);
    }
    m->kernels->layernorm(j->to + first * c, c, n, c, m->embedding_norm.gamma, m->embedding_norm.beta, (float)m->config.norm_eps,
                          j->to + first * c, c);
}

static fov_status embed(const fov_encoder *e, const fov_batch *batch, fov_error *error) {
    const struct fov_model *m = e->model;
    size_t n = batch->offsets[batch->texts];
    for (size_t i = 0; i < n; i++)
        if (batch->ids[i] < 0 || (size_t)batch->ids[i] >= m->config.vocabulary)
            return fov_fail(error, FOV_ERR_ARGUMENT, m->name, "token id %d is outside the vocabulary of %zu", (int)batch->ids[i],
                            m->config.vocabulary);
    row_job j = {.e = e, .batch = batch, .to = e->x};
    fov_parallel(e->s.threads, batch->texts, embed_task, &j);
    size_t bad = atomic_load(&j.bad);
    if (bad)
        return fov_fail(error, FOV_ERR_FORMAT, m->words->file, "the embedding of token id %d holds values that are not finite",
                        (int)batch->ids[bad - 1]);
    return FOV_OK;
}

static void dense(const fov_encoder *e, const fov_linear *w, const float *x, const uint32_t *x_rows, size_t n,
                  const float *residual, float *y) {
    fov_gemm g = {.n = n,
                  .m = w->m,
                  .k = w->k,
                  .x = x,
                  .ldx = w->k,
                  .x_rows = x_rows,
                  .w = w->w,
                  .bias = w->bias,
                  .residual = residual,
                  .ldr = w->m,
                  .y = y,
                  .ldy = w->m};
    fov_gemm_run(e->model->kernels, &g, e->s.threads, e->gemm_scratch);
}

/* ---- one layer ---- */

typedef struct layer_run {
    const fov_batch *batch;
    size_t layer;
    bool subset;    /* only rows_out rows leave this layer */
    bool compact_q; /* q holds just those */
    size_t tokens, rows_out;
    fov_stats *stats;
    float *importance, *work; /* [N] of this layer or NULL */
} layer_run;

static double pairs(const size_t *rows, const size_t *keys, size_t texts) {
    double sum = 0;
    for (size_t b = 0; b < texts; b++) sum += (double)(rows[b + 1] - rows[b]) * (double)(keys[b + 1] - keys[b]);
    return sum;
}

static void run_values(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    fov_value_weights weights = value_weights(e, r->layer);
    double done = 0, start = now();
    fov_values_run run = {e->model->kernels, &e->s.values,      &weights,        e->bound[r->layer],
                          e->s.threads,      e->values_scratch, e->gemm_scratch, &done};
    fov_values problem = {.texts = p->texts,
                          .offsets = p->k_offsets,
                          .hashes = r->batch->hashes + (p->k_offsets - r->batch->offsets),
                          .x = e->x,
                          .ldx = weights.width,
                          .v = e->v,
                          .ldv = weights.width,
                          .col_max = e->col_max,
                          .col_energy = e->col_energy,
                          .seed = e->s.seed,
                          .layer = (uint32_t)r->layer,
                          .work = r->work};
    e->values->forward(&run, &problem);
    r->stats->seconds_values += now() - start;
    r->stats->values_done_real += done;
    r->stats->values_done_padded += done; /* padding gets r = 0: it stands in the baseline alone */
    r->stats->total_done_real += done;
}

/* Mean over heads of the column maxima of texts of p. */
static void report_importance(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    size_t stride = p->k_offsets[p->texts];
    for (size_t i = p->k_offsets[0]; i < stride; i++) {
        float sum = 0;
        for (size_t h = 0; h < p->heads; h++) sum += e->col_max[h * stride + i];
        r->importance[i] = sum / (float)p->heads;
    }
}

/* Weights stored, text group by text group: weights -> importance -> values -> A V. */
static void attend_in_groups(const fov_encoder *e, const layer_run *r, const fov_attention_run *run, const fov_attention *all) {
    size_t limit = max_size(WEIGHT_FLOATS, all->heads * e->s.longest * e->s.longest);
    for (size_t b = 0, next; b < all->texts; b = next) {
        size_t floats = 0;
        for (next = b; next < all->texts; next++) {
            size_t cells = (all->q_offsets[next + 1] - all->q_offsets[next]) * (all->k_offsets[next + 1] - all->k_offsets[next]);
            if (next > b && (floats + cells) * all->heads > limit) break;
            e->starts[next] = floats;
            floats += cells;
        }
        fov_attention p = *all;
        p.texts = next - b;
        p.q_offsets += b;
        p.k_offsets += b;
        p.y_offsets += b;
        fov_attention_weight_set w = {e->weights, e->starts + b, e->col_max, e->values->needs_energy ? e->col_energy : NULL};
        e->attention->weights(run, &p, &w);
        if (r->importance) report_importance(e, r, &p);
        run_values(e, r, &p);
        e->attention->apply(run, &p, &w);
    }
}

static void attend(const fov_encoder *e, const layer_run *r) {
    const fov_config *c = &e->model->config;
    const fov_batch *b = r->batch;
    bool own_rows = r->subset && !r->compact_q;
    fov_attention p = {.texts = b->texts,
                       .heads = c->heads,
                       .head_size = c->width / c->heads,
                       .k_offsets = b->offsets,
                       .q_offsets = r->compact_q ? e->row_offsets : b->offsets,
                       .y_offsets = r->subset ? e->row_offsets : b->offsets,
                       .y_query = own_rows ? e->row_queries : NULL,
                       .q = e->q,
                       .ldq = c->width,
                       .k = e->k,
                       .ldk = c->width,
                       .v = e->v,
                       .ldv = c->width,
                       .y = own_rows ? e->y : e->q,
                       .ldy = c->width,
                       .scale = 1 / sqrtf((float)(c->width / c->heads))};
    fov_attention_run run = {e->model->kernels, &e->s.attention, e->s.threads, e->attention_scratch};
    double scores = pairs(p.y_offsets, p.k_offsets, p.texts);
    if (e->importance) {
        attend_in_groups(e, r, &run, &p);
        r->stats->total_done_real += (pairs(p.q_offsets, p.k_offsets, p.texts) + scores) * (double)c->width;
    } else {
        run_values(e, r, &p);
        e->attention->forward(&run, &p);
        r->stats->total_done_real += 2 * scores * (double)c->width;
    }
}

static void run_layer(fov_encoder *e, layer_run *r) {
    const fov_layer *w = &e->model->layers[r->layer];
    const fov_kernels *kernels = e->model->kernels;
    size_t c = e->model->config.width, n = r->tokens, nq = r->compact_q ? r->rows_out : n, out = r->subset ? r->rows_out : n;
    fov_gemm qk[2] = {{.n = nq,
                       .m = c,
                       .k = c,
                       .x = e->x,
                       .ldx = c,
                       .x_rows = r->compact_q ? e->rows : NULL,
                       .w = w->q.w,
                       .bias = w->q.bias,
                       .y = e->q,
                       .ldy = c},
                      {.n = n, .m = c, .k = c, .x = e->x, .ldx = c, .w = w->k.w, .bias = w->k.bias, .y = e->k, .ldy = c}};
    fov_gemm_run_all(kernels, qk, 2, e->s.threads, e->gemm_scratch);
    attend(e, r);
    const float *residual = e->x;
    if (r->subset) {
        for (size_t i = 0; i < out; i++) memcpy(e->v + i * c, e->x + e->rows[i] * c, c * sizeof(float));
        residual = e->v;
    }
    dense(e, &w->o, r->subset && !r->compact_q ? e->y : e->q, NULL, out, residual, e->k);
    normalize_rows(e, out, e->k, e->x, &w->norm1);
    r->stats->total_done_real += (double)(nq + n + out) * (double)c * (double)c;

    fov_ffn_weights ffn = {c, e->model->config.ffn_width, w->up.w, w->up.bias, w->down.w, w->down.bias, e->model->activation};
    fov_ffn_run run = {kernels, &e->s.ffn, &ffn, e->s.threads, e->ffn_scratch, e->gemm_scratch, &r->stats->total_done_real};
    fov_ffn problem = {out, e->x, e->v};
    e->ffn->forward(&run, &problem);
    normalize_rows(e, out, e->v, e->x, &w->norm2);
}

/* ---- a batch ---- */

/* Rows read: row_offsets per text, rows as batch row numbers, row_queries as token numbers within the text. */
static size_t list_rows(fov_encoder *e, const fov_batch *b) {
    size_t count = 0;
    for (size_t t = 0; t < b->texts; t++) {
        size_t first = b->offsets[t], n = b->rows == FOV_ROWS_LIST ? b->row_offsets[t + 1] - b->row_offsets[t] : 1;
        e->row_offsets[t] = count;
        for (size_t i = 0; i < n; i++) {
            uint32_t row = b->rows == FOV_ROWS_LIST ? b->row_list[b->row_offsets[t] + i] : 0;
            e->row_queries[count] = row;
            e->rows[count++] = (uint32_t)first + row;
        }
    }
    e->row_offsets[b->texts] = count;
    return count;
}

/* The exact ragged path with every row computed, and the padded convention's value projection. */
static void add_exact_cost(const fov_encoder *e, const fov_batch *b, fov_stats *stats) {
    const fov_config *c = &e->model->config;
    double n = (double)b->offsets[b->texts], width = (double)c->width, layers = (double)c->layers;
    double scores = pairs(b->offsets, b->offsets, b->texts);
    stats->values_exact_real += layers * n * width * width;
    stats->values_exact_padded += layers * (double)b->texts * e->padded * width * width;
    for (size_t t = 0; t < b->texts; t++)
        if ((double)(b->offsets[t + 1] - b->offsets[t]) > e->padded) stats->values_exact_padded = (double)NAN; /* no such figure */
    stats->total_exact_real += layers * (4 * n * width * width + 2 * scores * width + 2 * n * width * (double)c->ffn_width);
}

static void use_first_rows(fov_encoder *e, const fov_batch *b) {
    const struct fov_model *m = e->model;
    size_t count = list_rows(e, b), c = m->config.width;
    for (size_t i = 0; i < count; i++) memmove(e->x + i * c, e->x + e->rows[i] * c, c * sizeof(float)); /* rows ascend: in place */
}

fov_status fov_encoder_run(fov_encoder *e, const fov_batch *batch, const float **hidden, fov_stats *stats, float *importance,
                           float *work, fov_error *error) {
    const fov_config *c = &e->model->config;
    size_t n = batch->offsets[batch->texts];
    if (n > e->s.batch_tokens || batch->texts > e->max_texts)
        return fov_fail(error, FOV_ERR_INTERNAL, "fov_encoder_run", "a batch of %zu texts and %zu tokens is too large",
                        batch->texts, n);
    double start = now();
    fov_status status = embed(e, batch, error);
    if (status) return status;
    bool read_all = batch->rows == FOV_ROWS_ALL;
    size_t rows = read_all ? n : list_rows(e, batch);
    for (size_t l = 0; l < c->layers; l++) {
        bool subset = l + 1 == c->layers && !read_all && !e->s.all_rows;
        layer_run r = {.batch = batch,
                       .layer = l,
                       .subset = subset,
                       .compact_q = subset && !e->count_all_rows,
                       .tokens = n,
                       .rows_out = rows,
                       .stats = stats,
                       .importance = importance ? importance + l * n : NULL,
                       .work = work ? work + l * n : NULL};
        run_layer(e, &r);
    }
    if (!read_all && e->s.all_rows) use_first_rows(e, batch);
    *hidden = e->x;
    add_exact_cost(e, batch, stats);
    stats->texts += batch->texts;
    stats->tokens += n;
    stats->seconds_total += now() - start;
    return FOV_OK;
}
