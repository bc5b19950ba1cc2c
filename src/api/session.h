/* session.h: the session behind the public calls. */
#ifndef FOV_API_SESSION_H
#define FOV_API_SESSION_H

#include "model/encoder.h"
#include "model/profile.h"

struct fov_session {
    const struct fov_model *model;
    fov_encoder *encoder;
    fov_encoder_settings settings;
    fov_profile *profile;
    size_t max_length;
    fov_pooling pooling;
    bool normalize;
    char methods[3][FOV_SETTING_TEXT], baseline[FOV_SETTING_TEXT];
    fov_stats stats;
    fov_progress progress;
    void *progress_context;

    fov_token_scratch tokens;
    fov_buffer ids, types; /* of all texts of a call, in the order given */
    fov_buffer spans;      /* fov_text_span [count] */
    fov_buffer order;      /* uint32 [count]: texts by length */
    fov_buffer batch;      /* one batch: ids, types, offsets, hashes, output */
    fov_buffer trace;      /* explain's arrays */
};

/* A text's ids in the call's buffers. */
typedef struct fov_text_span {
    size_t first;
    uint32_t count;
} fov_text_span;

/* Tokenise all texts into session->ids/types/spans; info may be NULL. */
fov_status fov_session_tokenize(fov_session *session, const fov_text *texts, size_t count, fov_text_info *info, fov_error *error);

/* Batches of texts sorted by length: `make` gets the hidden states of each and fills its out [texts of the batch][outputs], which
 * goes to fov_session_run's `out` [count][outputs] in input order. */
typedef struct fov_emit {
    fov_rows rows;
    size_t outputs; /* floats of output per text */
    void (*make)(fov_session *session, const fov_batch *batch, const float *hidden, float *out);
} fov_emit;
fov_status fov_session_run(fov_session *session, size_t count, const fov_emit *emit, float *out, fov_error *error);

#endif
