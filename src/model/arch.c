/* arch.c: the architectures there are: one row each. */
#include "model/arch.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"

/* What BERT and its descendants call their tensors. */
#define BERT_NAMES                                                                                                                 \
    .word = "embeddings.word_embeddings", .position = "embeddings.position_embeddings",                                            \
    .type = "embeddings.token_type_embeddings", .embedding_norm = "embeddings.LayerNorm",                                          \
    .q = "encoder.layer.%zu.attention.self.query", .k = "encoder.layer.%zu.attention.self.key",                                    \
    .v = "encoder.layer.%zu.attention.self.value", .o = "encoder.layer.%zu.attention.output.dense",                                \
    .norm1 = "encoder.layer.%zu.attention.output.LayerNorm", .up = "encoder.layer.%zu.intermediate.dense",                         \
    .down = "encoder.layer.%zu.output.dense", .norm2 = "encoder.layer.%zu.output.LayerNorm"

static const fov_arch archs[] = {
    {.model_type = "bert",
     .prefix = "bert.",
     BERT_NAMES,
     .score_scale = "encoder.layer.%zu.attention.self.score_scale",
     .pooler = "bert.pooler.dense",
     .pooler_activation = FOV_ACT_TANH,
     .classifier = "classifier",
     .token_classifier = "classifier",
     .lm_dense = "cls.predictions.transform.dense",
     .lm_norm = "cls.predictions.transform.LayerNorm",
     .lm_decoder = "cls.predictions.decoder",
     .lm_bias = "cls.predictions.bias",
     .classes = {{"BertModel", FOV_HEAD_NONE},
                 {"BertForSequenceClassification", FOV_HEAD_SINGLE_LABEL},
                 {"BertForTokenClassification", FOV_HEAD_TOKENS},
                 {"BertForMaskedLM", FOV_HEAD_MASKED_LM},
                 {"BertForPreTraining", FOV_HEAD_MASKED_LM}}},
    {.model_type = "distilbert",
     .prefix = "distilbert.",
     .word = "embeddings.word_embeddings",
     .position = "embeddings.position_embeddings",
     .embedding_norm = "embeddings.LayerNorm",
     .q = "transformer.layer.%zu.attention.q_lin",
     .k = "transformer.layer.%zu.attention.k_lin",
     .v = "transformer.layer.%zu.attention.v_lin",
     .o = "transformer.layer.%zu.attention.out_lin",
     .norm1 = "transformer.layer.%zu.sa_layer_norm",
     .up = "transformer.layer.%zu.ffn.lin1",
     .down = "transformer.layer.%zu.ffn.lin2",
     .norm2 = "transformer.layer.%zu.output_layer_norm",
     .pooler = "pre_classifier",
     .pooler_activation = FOV_ACT_RELU,
     .classifier = "classifier",
     .token_classifier = "classifier",
     .lm_dense = "vocab_transform",
     .lm_norm = "vocab_layer_norm",
     .lm_decoder = "vocab_projector",
     .lm_bias = "vocab_projector.bias",
     .classes = {{"DistilBertModel", FOV_HEAD_NONE},
                 {"DistilBertForSequenceClassification", FOV_HEAD_SINGLE_LABEL},
                 {"DistilBertForTokenClassification", FOV_HEAD_TOKENS},
                 {"DistilBertForMaskedLM", FOV_HEAD_MASKED_LM}}},
    {.model_type = "longformer",
     .prefix = "longformer.",
     BERT_NAMES,
     .q_global = "encoder.layer.%zu.attention.self.query_global",
     .k_global = "encoder.layer.%zu.attention.self.key_global",
     .v_global = "encoder.layer.%zu.attention.self.value_global",
     .pooler = "classifier.dense",
     .pooler_activation = FOV_ACT_TANH,
     .classifier = "classifier.out_proj",
     .positions_after_pad = true,
     .label_globals = 1, /* [CLS] */
     .classes = {{"LongformerModel", FOV_HEAD_NONE}, {"LongformerForSequenceClassification", FOV_HEAD_SINGLE_LABEL}}},
    {.model_type = "roberta",
     .prefix = "roberta.",
     BERT_NAMES,
     .pooler = "classifier.dense",
     .pooler_activation = FOV_ACT_TANH,
     .classifier = "classifier.out_proj",
     .token_classifier = "classifier",
     .lm_dense = "lm_head.dense",
     .lm_activation = FOV_ACT_GELU,
     .lm_norm = "lm_head.layer_norm",
     .lm_decoder = "lm_head.decoder",
     .lm_bias = "lm_head.bias",
     .positions_after_pad = true,
     .classes = {{"RobertaModel", FOV_HEAD_NONE},
                 {"RobertaForSequenceClassification", FOV_HEAD_SINGLE_LABEL},
                 {"RobertaForTokenClassification", FOV_HEAD_TOKENS},
                 {"RobertaForMaskedLM", FOV_HEAD_MASKED_LM}}},
    {.model_type = "yoso",
     .prefix = "yoso.",
     BERT_NAMES,
     .conv = "encoder.layer.%zu.attention.self.conv.weight",
     .pooler = "classifier.dense",
     .classifier = "classifier.out_proj",
     .lm_dense = "cls.predictions.transform.dense",
     .lm_norm = "cls.predictions.transform.LayerNorm",
     .lm_decoder = "cls.predictions.decoder",
     .lm_bias = "cls.predictions.bias",
     .position_offset = 2,
     .classes = {{"YosoModel", FOV_HEAD_NONE},
                 {"YosoForSequenceClassification", FOV_HEAD_SINGLE_LABEL},
                 {"YosoForMaskedLM", FOV_HEAD_MASKED_LM}}},
};

enum { ARCHS = sizeof archs / sizeof *archs };

static fov_status problem_head(const fov_config *config, const char *where, fov_head *head, fov_error *error) {
    static const struct {
        const char *name;
        fov_head head;
    } problems[] = {{"single_label_classification", FOV_HEAD_SINGLE_LABEL},
                    {"multi_label_classification", FOV_HEAD_MULTI_LABEL},
                    {"regression", FOV_HEAD_REGRESSION}};
    if (!*config->problem_type) {
        *head = config->labels == 1 ? FOV_HEAD_REGRESSION : FOV_HEAD_SINGLE_LABEL; /* as transformers decides */
        return FOV_OK;
    }
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        if (strcmp(config->problem_type, problems[i].name)) continue;
        *head = problems[i].head;
        if (*head == FOV_HEAD_REGRESSION && config->labels != 1)
            return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                            "regression with %zu outputs is not supported, only with one; give another checkpoint", config->labels);
        return FOV_OK;
    }
    return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                    "problem_type '%s' is not known; make it single_label_classification, multi_label_classification or regression",
                    config->problem_type);
}

fov_status fov_arch_find(const fov_config *config, const char *where, const fov_arch **arch, fov_head *head, fov_error *error) {
    char known[300];
    size_t used = 0;
    for (size_t i = 0; i < ARCHS; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", archs[i].model_type);
        if (strcmp(config->model_type, archs[i].model_type)) continue;
        *arch = &archs[i];
        if (!*config->architecture) {
            *head = FOV_HEAD_NONE;
            return FOV_OK;
        }
        for (const fov_arch_class *c = archs[i].classes; c->name; c++) {
            if (strcmp(c->name, config->architecture)) continue;
            *head = c->head;
            return c->head == FOV_HEAD_SINGLE_LABEL ? problem_head(config, where, head, error) : FOV_OK;
        }
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                        "model class '%s' is not supported for %s; give a classifier, tagger, masked LM or plain encoder",
                        config->architecture, config->model_type);
    }
    static const char *const sentencepiece[] = {"xlm-roberta", "xlm-roberta-xl", "camembert", "albert", "xlnet"};
    for (size_t i = 0; i < sizeof sentencepiece / sizeof *sentencepiece; i++)
        if (!strcmp(config->model_type, sentencepiece[i]))
            return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                            "model_type '%s' is not supported: it needs a SentencePiece tokenizer; give a checkpoint of %s",
                            config->model_type, known);
    return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "model_type '%s' is not supported; give a checkpoint of %s",
                    config->model_type, known);
}
