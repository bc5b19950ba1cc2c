/* arch.h: what tells one architecture from another, as data: weight names, position scheme, pooler, heads. */
#ifndef FOV_MODEL_ARCH_H
#define FOV_MODEL_ARCH_H

#include "model/config.h"

/* A model class of Hugging Face and what its head is. problem_type decides among labels, so SINGLE_LABEL stands for all three. */
typedef struct fov_arch_class {
    const char *name;
    fov_head head;
} fov_arch_class;

/* Names are without ".weight" / ".bias"; layer names hold one %zu and come after prefix. A checkpoint may omit the prefix. */
typedef struct fov_arch {
    const char *model_type;
    const char *prefix;
    const char *word, *position, *type, *embedding_norm; /* type NULL: no segment embedding */
    const char *q, *k, *v, *o, *norm1, *up, *down, *norm2;
    const char *q_global, *k_global, *v_global, *score_scale, *conv; /* layer names that a checkpoint may have; NULL: never */
    const char *pooler;                                              /* full name, before the classifier */
    fov_activation pooler_activation, lm_activation; /* behind pooler and lm_dense; NONE: the configuration's hidden_act */
    const char *classifier, *token_classifier;
    const char *lm_dense, *lm_norm, *lm_decoder, *lm_bias; /* full names; the decoder is tied to the word embeddings when absent */
    size_t position_offset;                                /* rows of positions before the first token's */
    bool positions_after_pad; /* token i has position row i + pad_token_id + 1, a padding token row pad_token_id; else row i */
    size_t label_globals;     /* leading tokens with global attention where there are labels */
    fov_arch_class classes[8];
} fov_arch;

/* The row of config->model_type, and the head of config->architecture and problem_type; FOV_ERR_UNSUPPORTED with what there is. */
fov_status fov_arch_find(const fov_config *config, const char *where, const fov_arch **arch, fov_head *head, fov_error *error);

#endif
