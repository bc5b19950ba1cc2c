/* tasks.c: the table of evaluation tasks. GLUE: Wang et al. 2019; IMDB: Maas et al. 2011. A task is one row; readers and
 * metrics are shared. */
#include "tasks.h"
#include "names.h"

#include <string.h>

#define ACCURACY                                                                                                                   \
    { "accuracy", metric_accuracy }
#define F1                                                                                                                         \
    { "f1", metric_f1 }
#define MCC                                                                                                                        \
    { "mcc", metric_mcc }
#define PEARSON                                                                                                                    \
    { "pearson", metric_pearson }
#define SPEARMAN                                                                                                                   \
    { "spearman", metric_spearman }

enum { GLUE_LENGTH = 128 }; /* the customary truncation of GLUE, that of the published figures */

static const task tasks[] = {
    {"cola",
     "CoLA: acceptable or not",
     "sentence",
     NULL,
     "label",
     3,
     -1,
     1,
     4,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     3,
     {MCC, ACCURACY, F1}},
    {"sst2",
     "SST-2: sentiment of a phrase",
     "sentence",
     NULL,
     "label",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     2,
     {ACCURACY, F1}},
    {"mrpc",
     "MRPC: paraphrase or not",
     "#1 String",
     "#2 String",
     "Quality",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     2,
     {ACCURACY, F1}},
    {"stsb",
     "STS-B: similarity, 0 to 5",
     "sentence1",
     "sentence2",
     "score",
     5,
     6,
     4,
     7,
     true,
     false,
     NULL,
     GLUE_LENGTH,
     2,
     {PEARSON, SPEARMAN}},
    {"rte",
     "RTE: entailment",
     "sentence1",
     "sentence2",
     "label",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     2,
     {ACCURACY, F1}},
    {"wnli",
     "WNLI: what the pronoun stands for",
     "sentence1",
     "sentence2",
     "label",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     1,
     {ACCURACY}},
    {"qqp",
     "QQP: the same question or not",
     "question1",
     "question2",
     "is_duplicate",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     2,
     {ACCURACY, F1}},
    {"mnli",
     "MNLI: entailment, neutral, contradiction",
     "sentence1",
     "sentence2",
     "gold_label",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     "-",
     GLUE_LENGTH,
     1,
     {ACCURACY}},
    {"qnli",
     "QNLI: does the sentence answer",
     "question",
     "sentence",
     "label",
     -1,
     -1,
     -1,
     0,
     false,
     false,
     NULL,
     GLUE_LENGTH,
     1,
     {ACCURACY}},
    {"imdb", "IMDB: sentiment of a review", "text", NULL, "label", -1, -1, -1, 0, false, true, NULL, 0, 2, {ACCURACY, F1}},
};

const task *task_at(size_t index) {
    return index < sizeof tasks / sizeof *tasks ? &tasks[index] : NULL;
}

const task *task_find(const char *name) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (!strcmp(tasks[i].name, name)) return &tasks[i];
    return NULL;
}

const char *name_task(size_t index) {
    const task *t = task_at(index);
    return t ? t->name : NULL;
}
