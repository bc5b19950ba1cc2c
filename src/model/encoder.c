/* encoder.c: the only place that knows the order of a layer.
 *
 * embeddings -> L x { q, k; weights, importance; values; attention; output + residual, norm; feed-forward + residual, norm } ->
 * rows. No padding is computed. The last layer computes only the rows that are read: their queries, output projection and
 * feed-forward (keys and values of all tokens; none of these where only Longformer's global rows are read, whose projections are
 * their own). With an estimator in a padded convention the importance of the last layer still counts every query row, as the
 * papers do.
 *
 * Memory of N tokens: x, q, k, v [N, C]; a block of hidden activations; attention scratch. y overwrites q where q is as wide, the
 * two residual sums overwrite k and v. Weights that must be stored (value estimators; importance that forward does not report) are
 * made for a few texts at a time. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "core/threads.h"
#include "kernels/gemm.h"
#include "model/encoder_state.h"

enum { ROW_TASK = 64 }; /* rows of a layer-norm task */

typedef struct norm_job {
    const fov_encoder *e;
    size_t n;
    const float *from;
    float *to;
    const fov_norm *norm;
} norm_job;

static void norm_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const norm_job *j = context;
    const fov_config *c = &j->e->model->config;
    size_t i = index * ROW_TASK, n = j->n - i < ROW_TASK ? j->n - i : ROW_TASK;
    j->e->model->kernels->layernorm(j->from + i * c->width, c->width, n, c->width, j->norm->gamma, j->norm->beta,
                                    (float)c->norm_eps, j->to + i * c->width, c->width);
}

static void normalize_rows(const fov_encoder *e, size_t n, const float *from, float *to, const fov_norm *norm) {
    norm_job j = {.e = e, .n = n, .from = from, .to = to, .norm = norm};
    fov_parallel(e->s.threads, (n + ROW_TASK - 1) / ROW_TASK, norm_task, &j);
}

static void dense(const fov_encoder *e, const fov_linear *w, const float *x, const uint32_t *x_rows, size_t n,
                  const float *residual, float *y) {
    fov_gemm g = fov_linear_gemm(w);
    g.n = n;
    g.x = x;
    g.x_rows = x_rows;
    g.residual = residual;
    g.ldr = w->m;
    g.y = y;
    fov_gemm_run(e->model->kernels, &g, e->s.threads, e->gemm_scratch);
}

/* ---- one layer ---- */

typedef struct layer_run {
    const fov_batch *batch;
    size_t layer;
    bool subset;    /* only rows_out rows leave this layer */
    bool compact_q; /* q holds just those */
    bool local;     /* some row that leaves is made from q, k and v */
    size_t tokens, rows_out;
    fov_stats *stats;
    float *importance, *work; /* [N] of this layer or NULL */
} layer_run;

/* The share of the value projection that narrow values are, the same for every token and head. */
static void tell_narrow_work(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    const size_t first = p->k_offsets[0], end = p->k_offsets[p->texts];
    const float share = (float)p->heads * (float)p->head_size / (float)e->model->config.width;
    for (size_t i = first; r->work && i < end; i++) r->work[i] = share;
    for (size_t h = 0; e->head_work && h < p->heads; h++) e->head_work[r->layer * p->heads + h] += share * (float)(end - first);
}

static void run_values(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    fov_value_weights weights = fov_encoder_value_weights(e, r->layer);
    const fov_attention_projections *own = &e->projections[r->layer];
    double done = 0, start = fov_seconds();
    fov_values_run run = {e->model->kernels, &e->s.values,      &weights,        e->bound[r->layer],
                          e->s.threads,      e->values_scratch, e->gemm_scratch, &done};
    fov_values problem = {.texts = p->texts,
                          .offsets = p->k_offsets,
                          .hashes = r->batch->hashes + (p->k_offsets - r->batch->offsets),
                          .x = e->x,
                          .ldx = weights.width,
                          .v = e->v,
                          .ldv = weights.heads * weights.head_size,
                          .col_max = e->col_max,
                          .col_energy = e->col_energy,
                          .q_offsets = p->q_offsets,
                          .seed = e->s.seed,
                          .layer = (uint32_t)r->layer,
                          .work = own->made ? NULL : r->work,
                          .head_work = e->head_work && !own->made ? e->head_work + r->layer * e->model->config.heads : NULL};
    e->values->forward(&run, &problem);
    if (own->made) tell_narrow_work(e, r, p);
    r->stats->seconds_values += fov_seconds() - start;
    r->stats->values_done_real += done;
    r->stats->values_done_padded += done; /* padding gets r = 0: it stands in the baseline alone */
    r->stats->total_done_real += done;
}

/* Mean over heads of the column maxima of texts of p; and their sum over tokens, head by head. */
static void report_importance(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    size_t stride = p->k_offsets[p->texts];
    for (size_t h = 0; e->head_importance && h < p->heads; h++)
        for (size_t i = p->k_offsets[0]; i < stride; i++) e->head_importance[r->layer * p->heads + h] += e->col_max[h * stride + i];
    for (size_t i = p->k_offsets[0]; i < stride; i++) {
        float sum = 0;
        for (size_t h = 0; h < p->heads; h++) sum += e->col_max[h * stride + i];
        r->importance[i] = sum / (float)p->heads;
    }
}

/* Mean over heads of the column energies of texts of p. */
static void keep_energy(const fov_encoder *e, const fov_attention *p) {
    const size_t stride = p->k_offsets[p->texts];
    for (size_t i = p->k_offsets[0]; i < stride; i++) {
        float sum = 0;
        for (size_t h = 0; h < p->heads; h++) sum += e->col_energy[h * stride + i];
        e->token_energy[i] = sum / (float)p->heads;
    }
}

/* What is wanted of it: nothing but in a trace and for a guided feed-forward. */
static void keep_importance(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    if (r->importance) report_importance(e, r, p);
    if (e->token_energy) keep_energy(e, p);
}

/* Weights stored, text group by text group: weights -> importance -> values -> A V. */
static void attend_in_groups(const fov_encoder *e, const layer_run *r, const fov_attention_run *run, const fov_attention *all) {
    size_t limit = fov_encoder_weight_floats(e);
    for (size_t b = 0, next; b < all->texts; b = next) {
        size_t floats = 0;
        for (next = b; next < all->texts; next++) {
            size_t cells =
                fov_attention_weight_floats(&e->s.attention, all->layer.globals, all->q_offsets[next + 1] - all->q_offsets[next],
                                            all->k_offsets[next + 1] - all->k_offsets[next]);
            if (next > b && (floats + cells) * all->heads > limit) break;
            e->starts[next] = floats;
            floats += cells;
        }
        fov_attention p = *all;
        p.texts = next - b;
        p.q_offsets += b;
        p.k_offsets += b;
        p.y_offsets += b;
        p.hashes += b;
        fov_attention_weight_set w = {e->weights, e->starts + b, e->col_max, e->col_energy};
        e->attention->weights(run, &p, &w);
        keep_importance(e, r, &p);
        run_values(e, r, &p);
        e->attention->apply(run, &p, &w);
    }
}

static fov_attention problem_of(const fov_encoder *e, const layer_run *r, fov_attention_global *global) {
    const fov_config *c = &e->model->config;
    const fov_layer *w = &e->model->layers[r->layer];
    const fov_attention_projections *own = &e->projections[r->layer];
    const fov_batch *b = r->batch;
    bool own_rows = r->subset && !r->compact_q;
    *global = (fov_attention_global){.x = e->x,
                                     .ldx = c->width,
                                     .width = c->width,
                                     .q = w->q_global.w,
                                     .q_bias = w->q_global.bias,
                                     .k = w->k_global.w,
                                     .k_bias = w->k_global.bias,
                                     .v = w->v_global.w,
                                     .v_bias = w->v_global.bias};
    const fov_attention p = {.texts = b->texts,
                             .heads = c->heads,
                             .head_size = own->value_size,
                             .key_size = own->key_size,
                             .k_offsets = b->offsets,
                             .q_offsets = r->compact_q ? e->row_offsets : b->offsets,
                             .y_offsets = r->subset ? e->row_offsets : b->offsets,
                             .y_query = own_rows ? e->row_queries : NULL,
                             .q_position = r->compact_q ? e->row_queries : NULL,
                             .q = e->q,
                             .ldq = own->q.m,
                             .k = e->k,
                             .ldk = own->k.m,
                             .v = e->v,
                             .ldv = own->o.k,
                             .y = e->y,
                             .ldy = own->o.k,
                             .type =
                                 e->model->type != FOV_TYPE_F32 && fov_bf16_pays(e->model->kernels) ? FOV_TYPE_BF16 : FOV_TYPE_F32,
                             .scale = 1 / sqrtf((float)(c->width / c->heads)),
                             .layer = {.score_scale = w->score_scale,
                                       .conv = w->conv,
                                       .conv_width = w->conv_width,
                                       .globals = e->model->globals,
                                       .global = e->model->globals ? global : NULL},
                             .hashes = b->hashes,
                             .seed = e->s.seed,
                             .layer_number = (uint32_t)r->layer,
                             .col_max = e->col_max,
                             .col_energy = e->col_energy};
    return p;
}

static void attend(const fov_encoder *e, const layer_run *r, const fov_attention *p) {
    const fov_setting *s = &e->s.attention;
    fov_attention_run run = {e->model->kernels, s, e->s.threads, e->attention_scratch};
    if (r->local && fov_encoder_stores(e, fov_longest(p->k_offsets, p->texts))) {
        attend_in_groups(e, r, &run, p);
        r->stats->total_done_real += fov_encoder_attention_cost(s, p, p->q_offsets, p->y_offsets, true);
        return;
    }
    if (r->local) run_values(e, r, p);
    e->attention->forward(&run, p);
    if (r->local) keep_importance(e, r, p);
    r->stats->total_done_real += fov_encoder_attention_cost(s, p, p->y_offsets, p->y_offsets, r->local);
}

/* A padded convention and a trace want the weights of every layer, read or not. */
static bool needs_local(const fov_encoder *e, const fov_attention *p) {
    return e->count_all_rows || e->s.trace || !e->attention->reads_local || e->attention->reads_local(&e->s.attention, p);
}

/* v = x + ffn(x) of the first n rows of x. */
static void run_ffn(const fov_encoder *e, const layer_run *r, size_t n) {
    const fov_layer *w = &e->model->layers[r->layer];
    const fov_ffn_weights weights = {w->up, w->down, e->model->activation};
    const fov_ffn_run run = {
        e->model->kernels,     &e->s.ffn, &weights, e->s.threads, e->ffn_scratch, e->gemm_scratch, &r->stats->total_done_real,
        e->bound_ffn[r->layer]};
    const fov_ffn problem = {.n = n,
                             .x = e->x,
                             .y = e->v,
                             .texts = r->batch->texts,
                             .offsets = r->subset ? NULL : r->batch->offsets,
                             .importance = e->token_energy};
    if (e->observe) e->observe(e->observe_context, FOV_SEAM_FFN, r->layer, r->batch, e->x, n);
    e->ffn->forward(&run, &problem);
}

static void run_layer(fov_encoder *e, layer_run *r) {
    const fov_layer *w = &e->model->layers[r->layer];
    const fov_attention_projections *own = &e->projections[r->layer];
    const fov_kernels *kernels = e->model->kernels;
    fov_attention_global global;
    const fov_attention p = problem_of(e, r, &global);
    r->local = needs_local(e, &p);
    size_t c = e->model->config.width, n = r->local ? r->tokens : 0, out = r->subset ? r->rows_out : r->tokens;
    size_t nq = r->compact_q && r->local ? r->rows_out : n;
    fov_gemm qk[2] = {fov_linear_gemm(&own->q), fov_linear_gemm(&own->k)};
    qk[0].n = nq;
    qk[0].x_rows = r->compact_q ? e->rows : NULL;
    qk[0].y = e->q;
    qk[1].n = n;
    qk[1].y = e->k;
    qk[0].x = qk[1].x = e->x;
    if (e->observe) e->observe(e->observe_context, FOV_SEAM_LAYER, r->layer, r->batch, e->x, r->tokens);
    if (r->local) fov_gemm_run_all(kernels, qk, 2, e->s.threads, e->gemm_scratch);
    attend(e, r, &p);
    if (e->observe) e->observe(e->observe_context, FOV_SEAM_CONTEXT, r->layer, r->batch, p.y, out);
    const float *residual = e->x;
    if (r->subset) {
        for (size_t i = 0; i < out; i++) memcpy(e->v + i * c, e->x + e->rows[i] * c, c * sizeof(float));
        residual = e->v;
    }
    dense(e, &own->o, p.y, NULL, out, residual, e->k);
    normalize_rows(e, out, e->k, e->x, &w->norm1);
    r->stats->total_done_real +=
        ((double)nq * (double)own->q.m + (double)n * (double)own->k.m + (double)out * (double)own->o.k) * (double)c;

    run_ffn(e, r, out);
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
    double start = fov_seconds();
    fov_status status = fov_encoder_embed(e, batch, error);
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
    fov_encoder_add_exact_cost(e, batch, stats);
    stats->texts += batch->texts;
    stats->tokens += n;
    stats->seconds_total += fov_seconds() - start;
    return FOV_OK;
}
