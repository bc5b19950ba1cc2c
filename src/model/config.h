/* config.h: what config.json, tokenizer_config.json and sentence-transformers' modules.json say about a checkpoint. */
#ifndef FOV_MODEL_CONFIG_H
#define FOV_MODEL_CONFIG_H

#include "core/memory.h"
#include "kernels/kernels.h"

typedef struct fov_config {
    char model_type[32];                                                          /* "bert", "distilbert", ... as written */
    char architecture[64];                                                        /* first of "architectures", or "" */
    char activation[32];                                                          /* hidden_act / activation; default "gelu" */
    char position_type[32];                                                       /* position_embedding_type; default "absolute" */
    char problem_type[40];                                                        /* "" when absent */
    size_t width, layers, heads, ffn_width, vocabulary, positions, types, labels; /* 0 when absent; labels: id2label, else
                                                                                     num_labels, else 2 */
    size_t pad_id;                                                                /* default 0; of roberta 1 */
    double norm_eps;                                                              /* default 1e-12 */
    char **label_names; /* [labels], by id; "LABEL_i" when there is no id2label */
    char attention[96]; /* method string made from the `attention` object or Longformer's attention_window; "" = dense */
    const fov_allocator *allocator;
} fov_config;

/* Parse config.json (size bytes, need not be NUL-terminated). `where` names the file in errors. Reads both the BERT names
 * (hidden_size, num_hidden_layers, ...) and DistilBERT's (dim, n_layers, n_heads, hidden_dim). Does not judge whether the
 * architecture is supported. Missing required numbers (width, layers, heads, ffn width, vocabulary, positions), wrong types, zero,
 * negative, fractional or absurd values (above 2^31), heads that do not divide the width, id2label with gaps or more than 2^20
 * labels: FOV_ERR_FORMAT. */
fov_status fov_config_parse(fov_config *config, const char *text, size_t size, const char *where, const fov_allocator *allocator,
                            fov_error *error);
void fov_config_free(fov_config *config);

/* tokenizer_config.json and special tokens. Strings are "" when absent. */
typedef struct fov_tokenizer_config {
    int lower_case;       /* do_lower_case; -1 when absent */
    int strip_accents;    /* -1 when absent (then: as lower_case) */
    int chinese_chars;    /* tokenize_chinese_chars; default 1 */
    int add_prefix_space; /* default 0 */
    size_t max_length;    /* model_max_length; 0 when absent or absurd (1e30) */
    char unk[64], cls[64], sep[64], pad[64], mask[64];
} fov_tokenizer_config;
fov_status fov_tokenizer_config_parse(fov_tokenizer_config *config, const char *text, size_t size, const char *where,
                                      fov_error *error);
/* Defaults of BERT: "[UNK]", "[CLS]", ...; lower_case -1. */
void fov_tokenizer_config_default(fov_tokenizer_config *config);

/* A sentence-transformers folder: modules.json lists Transformer, Pooling and perhaps Normalize. */
typedef struct fov_modules {
    char transformer[256]; /* folder of the transformer relative to the model folder, "" = the folder itself */
    fov_pooling pooling;   /* from 1_Pooling/config.json: mean or cls */
    int normalize;
    size_t max_length; /* sentence_bert_config.json's max_seq_length, 0 when absent */
    int lower_case;    /* sentence_bert_config.json's do_lower_case, usually false: -1 when absent */
} fov_modules;
/* FOV_OK with *found = 0 when FOLDER has no modules.json. Unknown modules (Dense, ...) and poolings (max, weighted, several at
 * once): FOV_ERR_UNSUPPORTED, named. */
fov_status fov_modules_read(fov_modules *modules, const char *folder, int *found, fov_error *error);

#endif
