/* encoder.h: the layer loop over ragged batches, with the methods of a session. */
#ifndef FOV_MODEL_ENCODER_H
#define FOV_MODEL_ENCODER_H

#include "model/model.h"

/* Which rows of the last layer the head reads. */
typedef enum fov_rows { FOV_ROWS_FIRST, FOV_ROWS_ALL, FOV_ROWS_LIST } fov_rows;

typedef struct fov_encoder_settings {
    fov_setting attention, values, ffn;
    uint64_t seed;
    unsigned threads;
    bool all_rows;                     /* compute every row of the last layer whatever the head reads */
    bool trace;                        /* report importance even where no estimator needs it */
    const struct fov_profile *profile; /* calibration, or NULL; outlives the encoder */
    size_t batch_tokens, longest;      /* most tokens of a batch (at least longest) and of a text */
} fov_encoder_settings;

/* A ragged batch: text b has tokens [offsets[b], offsets[b + 1]), offsets[0] = 0. */
typedef struct fov_batch {
    size_t texts;
    const size_t *offsets;
    const int32_t *ids;
    const uint8_t *types;
    const uint64_t *hashes; /* [texts] fov_hash_ids */
    fov_rows rows;
    const uint32_t *row_list;  /* ROWS_LIST: token numbers within their text, text by text */
    const size_t *row_offsets; /* ROWS_LIST: [texts + 1] */
} fov_batch;

typedef struct fov_encoder fov_encoder;

/* Whether an attention can run on a model at all, profile or not: FOV_ERR_UNSUPPORTED. */
fov_status fov_encoder_check_attention(const struct fov_model *model, const fov_setting *attention, fov_error *error);

/* Bind methods to a model's layers and reserve all working memory. The model must outlive the encoder. */
fov_status fov_encoder_create(const struct fov_model *model, const fov_encoder_settings *settings, fov_encoder **encoder,
                              fov_error *error);
void fov_encoder_free(fov_encoder *encoder);

/* Have the inputs x [rows, C] of every layer, the contexts that its attention makes, and then the inputs of its feed-forward shown
 * to `observe` (NULL: no longer), from the thread that runs the encoder. Rows are the batch's tokens, but in the last layer's
 * contexts and feed-forward those that are computed. */
typedef enum fov_seam { FOV_SEAM_LAYER, FOV_SEAM_CONTEXT, FOV_SEAM_FFN } fov_seam;
typedef void (*fov_observe)(void *context, fov_seam seam, size_t layer, const fov_batch *batch, const float *x, size_t rows);
void fov_encoder_observe(fov_encoder *encoder, fov_observe observe, void *context);

/* Have the sums over tokens of importance and of the share of the value projection of every head added to [L, H] each (NULL: no
 * longer). Importance is there with `trace`. */
void fov_encoder_trace_heads(fov_encoder *encoder, float *importance, float *work);

/* Most texts a batch may hold. */
size_t fov_encoder_max_texts(const fov_encoder *encoder);

/* Attention of the path that the stats call exact. */
const fov_setting *fov_encoder_baseline(const fov_encoder *encoder);

/* Last hidden states of the rows read, [rows, C], text by text, in the encoder's own memory until its next call. `stats` is added
 * to. When not NULL, importance and work are [L, N]: mean over heads of the column maximum, and of the share of the value
 * projection. */
fov_status fov_encoder_run(fov_encoder *encoder, const fov_batch *batch, const float **hidden, fov_stats *stats, float *importance,
                           float *work, fov_error *error);

/* heads.c: from hidden states to outputs, with the encoder's scratch. */
/* hidden [texts, C] of first tokens -> logits [texts, labels]. */
void fov_encoder_classify(fov_encoder *encoder, const float *hidden, size_t texts, float *logits, fov_stats *stats);
/* hidden [rows, C] of any tokens -> logits [rows, labels] of a token classifier. */
void fov_encoder_tag(fov_encoder *encoder, const float *hidden, size_t rows, float *logits, fov_stats *stats);
/* hidden of all tokens (MEAN) or first tokens (CLS) -> vectors [texts, C]. */
void fov_encoder_pool(const struct fov_model *model, const float *hidden, const size_t *offsets, size_t texts, fov_pooling pooling,
                      bool normalize, float *vectors);
/* hidden [rows, C] -> the `top` likeliest tokens of each row, [rows, top]. */
void fov_encoder_fill(fov_encoder *encoder, const float *hidden, size_t rows, size_t top, fov_candidate *candidates,
                      fov_stats *stats);

/* For heads.c. */
enum { FOV_FILL_ROWS = 16 }; /* masks whose logits are made in one walk over the vocabulary */
typedef struct fov_encoder_scratch {
    float *a, *b; /* each [batch_tokens, C]; neither holds the hidden states */
    float *gemm;
    unsigned threads;
} fov_encoder_scratch;
fov_encoder_scratch fov_encoder_borrow(fov_encoder *encoder);
const struct fov_model *fov_encoder_model(const fov_encoder *encoder);

#endif
