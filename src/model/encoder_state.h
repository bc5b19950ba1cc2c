/* encoder_state.h: what the files of the encoder share: its state, and the steps kept in files of their own. */
#ifndef FOV_MODEL_ENCODER_STATE_H
#define FOV_MODEL_ENCODER_STATE_H

#include "model/encoder.h"

struct fov_encoder {
    const struct fov_model *model;
    fov_encoder_settings s;
    const fov_attention_row *attention;
    const fov_values_row *values;
    const fov_ffn_row *ffn;
    fov_setting baseline; /* attention of the exact path: the checkpoint's own, in its exact form */
    bool values_wait;     /* the value estimator needs importance */
    bool importance;      /* it or the feed-forward does, or a trace */
    bool max, energy;     /* which is needed */
    bool count_all_rows;  /* importance counts query rows that nobody reads */
    double padded;        /* length of the papers' convention */
    fov_observe observe;
    void *observe_context;
    float *head_importance, *head_work;                        /* [L, H] or NULL */
    void **bound, **bound_ffn;                                 /* [L] */
    fov_attention_projections *projections, **bound_attention; /* [L] in use; those that a method made, or NULL */
    void *block;
    size_t max_texts;

    float *x, *q, *k, *v, *y;
    size_t *row_offsets, *row_starts, *starts;
    uint32_t *rows, *row_queries;
    float *col_max, *col_energy, *weights;
    float *token_energy; /* [N] mean over heads of col_energy, for the feed-forward */
    void *attention_scratch, *values_scratch, *ffn_scratch;
    float *gemm_scratch;
};

/* Whether the weights of texts up to `longest` tokens are stored: else forward reports importance, or nobody asks for it. */
static inline bool fov_encoder_stores(const fov_encoder *e, size_t longest) {
    return e->values_wait || (e->importance && longest > e->attention->one_pass);
}
/* Floats of stored attention weights: a group of texts (16 MiB), or one text where it needs more. */
size_t fov_encoder_weight_floats(const fov_encoder *encoder);
fov_value_weights fov_encoder_value_weights(const fov_encoder *encoder, size_t layer);

/* embeddings.c: x = norm(word + type + position) of every token of the batch. */
fov_status fov_encoder_embed(const fov_encoder *encoder, const fov_batch *batch, fov_error *error);

/* encoder_cost.c: multiply-adds of attention for all texts and heads, scores of q_rows and products with values of y_rows (not
 * local: of what the layer adds alone), and of the exact path. */
double fov_encoder_attention_cost(const fov_setting *setting, const fov_attention *problem, const size_t *q_rows,
                                  const size_t *y_rows, bool local);
fov_setting fov_encoder_baseline_of(const struct fov_model *model);
void fov_encoder_add_exact_cost(const fov_encoder *encoder, const fov_batch *batch, fov_stats *stats);

#endif
