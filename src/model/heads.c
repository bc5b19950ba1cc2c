/* heads.c: from hidden states to logits, vectors and candidates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "model/encoder.h"

static void dense(const struct fov_model *m, const fov_encoder_scratch *s, const fov_linear *w, fov_activation act, const float *x,
                  size_t n, float *y, fov_stats *stats) {
    fov_gemm g = fov_linear_gemm(w);
    g.n = n;
    g.x = x;
    g.act = act;
    g.y = y;
    fov_gemm_run(m->kernels, &g, s->threads, s->gemm);
    double done = (double)n * (double)w->m * (double)w->k;
    stats->total_done_real += done;
    stats->total_exact_real += done;
}

void fov_encoder_classify(fov_encoder *encoder, const float *hidden, size_t texts, float *logits, fov_stats *stats) {
    const struct fov_model *m = fov_encoder_model(encoder);
    fov_encoder_scratch s = fov_encoder_borrow(encoder);
    dense(m, &s, &m->pooler, m->pooler_activation, hidden, texts, s.a, stats);
    dense(m, &s, &m->classifier, FOV_ACT_NONE, s.a, texts, logits, stats);
}

void fov_encoder_tag(fov_encoder *encoder, const float *hidden, size_t rows, float *logits, fov_stats *stats) {
    const struct fov_model *m = fov_encoder_model(encoder);
    fov_encoder_scratch s = fov_encoder_borrow(encoder);
    dense(m, &s, &m->classifier, FOV_ACT_NONE, hidden, rows, logits, stats);
}

void fov_encoder_pool(const struct fov_model *m, const float *hidden, const size_t *offsets, size_t texts, fov_pooling pooling,
                      bool normalize, float *vectors) {
    size_t c = m->config.width;
    for (size_t b = 0; b < texts; b++) {
        float *y = vectors + b * c;
        size_t first = pooling == FOV_POOLING_CLS ? b : offsets[b], n = pooling == FOV_POOLING_CLS ? 1 : offsets[b + 1] - first;
        memcpy(y, hidden + first * c, c * sizeof *y);
        for (size_t t = 1; t < n; t++)
            for (size_t i = 0; i < c; i++) y[i] += hidden[(first + t) * c + i];
        double square = 0;
        for (size_t i = 0; i < c; i++) {
            y[i] /= (float)n;
            square += (double)y[i] * (double)y[i];
        }
        float norm = (float)fmax(sqrt(square), 1e-12); /* torch.nn.functional.normalize */
        for (size_t i = 0; normalize && i < c; i++) y[i] /= norm;
    }
}

/* Keep the `top` best of a stream, best first; equal logits: lower id first. */
static void keep_best(fov_candidate *best, size_t *count, size_t top, int32_t id, float logit) {
    if (*count == top && !(logit > best[top - 1].probability)) return;
    size_t i = *count < top ? (*count)++ : top - 1;
    for (; i > 0 && best[i - 1].probability < logit; i--) best[i] = best[i - 1];
    best[i] = (fov_candidate){id, logit};
}

/* Running softmax of one row over the vocabulary. */
typedef struct row_state {
    double peak, sum;
    size_t count;
} row_state;

static void take_logits(row_state *state, const float *logits, size_t first, size_t n, size_t top, fov_candidate *best) {
    for (size_t i = 0; i < n; i++) {
        double z = (double)logits[i];
        if (z > state->peak) {
            state->sum *= exp(state->peak - z);
            state->peak = z;
        }
        state->sum += exp(z - state->peak);
        keep_best(best, &state->count, top, (int32_t)(first + i), logits[i]);
    }
}

/* The vocabulary is walked panel by panel for up to 16 rows: the decoder is a table of the checkpoint, packed as it is read. */
static void fill_rows(const struct fov_model *m, const fov_encoder_scratch *s, const float *x, size_t rows, size_t top,
                      fov_candidate *best) {
    size_t c = m->config.width, v = m->config.vocabulary;
    float *table = s->b, *packed = table + FOV_PANEL * c, *logits = packed + FOV_PANEL * c;
    row_state state[FOV_FILL_ROWS];
    for (size_t r = 0; r < rows; r++) state[r] = (row_state){-INFINITY, 0, 0};
    for (size_t j = 0; j < v; j += FOV_PANEL) {
        size_t n = v - j < FOV_PANEL ? v - j : FOV_PANEL;
        fov_tensor_read(m->kernels, m->lm_decoder, j * c, n * c, table);
        m->kernels->pack_t(table, c, n, c, packed);
        fov_gemm g = {
            .n = rows, .m = n, .k = c, .x = x, .ldx = c, .w = packed, .bias = m->lm_bias + j, .y = logits, .ldy = FOV_PANEL};
        fov_gemm_block(m->kernels, &g, 0, rows, 0, 1, s->gemm);
        for (size_t r = 0; r < rows; r++) take_logits(&state[r], logits + r * FOV_PANEL, j, n, top, best + r * top);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < state[r].count; i++) {
            float *p = &best[r * top + i].probability;
            *p = (float)(exp((double)*p - state[r].peak) / state[r].sum);
        }
}

void fov_encoder_fill(fov_encoder *encoder, const float *hidden, size_t rows, size_t top, fov_candidate *candidates,
                      fov_stats *stats) {
    const struct fov_model *m = fov_encoder_model(encoder);
    fov_encoder_scratch s = fov_encoder_borrow(encoder);
    size_t c = m->config.width;
    dense(m, &s, &m->lm_dense, m->lm_activation, hidden, rows, s.a, stats);
    m->kernels->layernorm(s.a, c, rows, c, m->lm_norm.gamma, m->lm_norm.beta, (float)m->config.norm_eps, s.a, c);
    for (size_t r = 0; r < rows; r += FOV_FILL_ROWS)
        fill_rows(m, &s, s.a + r * c, rows - r < FOV_FILL_ROWS ? rows - r : FOV_FILL_ROWS, top, candidates + r * top);
    double done = (double)rows * (double)m->config.vocabulary * (double)c;
    stats->total_done_real += done;
    stats->total_exact_real += done;
}
