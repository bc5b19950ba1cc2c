/* embeddings.c: ids to the first hidden states. Word rows are as the checkpoint stores them, and converted on the way. */
#include <stdatomic.h>

#include "core/status.h"
#include "core/threads.h"
#include "model/encoder_state.h"

typedef struct embed_job {
    const fov_encoder *e;
    const fov_batch *batch;
    atomic_size_t bad; /* 1 + token whose embedding is not finite */
} embed_job;

/* x[i] = word[id] + type + position, then the norm, for one text. */
static void embed_task(void *context, size_t text, unsigned thread) {
    (void)thread;
    embed_job *j = context;
    const struct fov_model *m = j->e->model;
    size_t c = m->config.width, first = j->batch->offsets[text], n = j->batch->offsets[text + 1] - first;
    const bool after_pad = m->arch->positions_after_pad;
    size_t row = m->position_offset; /* of the next token */
    for (size_t t = 0; t < n; t++) {
        float *x = j->e->x + (first + t) * c, zero = 0;
        fov_tensor_read(m->kernels, &m->words, (size_t)j->batch->ids[first + t] * c, c, x);
        const float *type = m->types ? m->types + (m->config.types > 1 ? j->batch->types[first + t] : 0) * c : NULL;
        const bool pad = after_pad && (size_t)j->batch->ids[first + t] == m->config.pad_id;
        const float *position = m->positions + (pad ? m->config.pad_id : row++) * c;
        for (size_t i = 0; i < c; i++) {
            zero += 0 * x[i];
            x[i] = (type ? x[i] + type[i] : x[i]) + position[i];
        }
        if (!(zero == 0)) atomic_store(&j->bad, first + t + 1);
    }
    m->kernels->layernorm(j->e->x + first * c, c, n, c, m->embedding_norm.gamma, m->embedding_norm.beta, (float)m->config.norm_eps,
                          j->e->x + first * c, c);
}

fov_status fov_encoder_embed(const fov_encoder *e, const fov_batch *batch, fov_error *error) {
    const struct fov_model *m = e->model;
    size_t n = batch->offsets[batch->texts];
    for (size_t i = 0; i < n; i++)
        if (batch->ids[i] < 0 || (size_t)batch->ids[i] >= m->config.vocabulary)
            return fov_fail(error, FOV_ERR_ARGUMENT, m->name,
                            "token id %d is outside the vocabulary of %zu; tokenize with this model", (int)batch->ids[i],
                            m->config.vocabulary);
    embed_job j = {.e = e, .batch = batch};
    fov_parallel(e->s.threads, batch->texts, embed_task, &j);
    size_t bad = atomic_load(&j.bad);
    if (bad)
        return fov_fail(error, FOV_ERR_FORMAT, m->words.file,
                        "the embedding of token id %d holds values that are not finite (NaN or infinity); save or download the "
                        "checkpoint again",
                        (int)batch->ids[bad - 1]);
    return FOV_OK;
}
