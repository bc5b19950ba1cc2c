/* tasks.c: the table of evaluation tasks. GLUE: Wang et al. 2019; IMDB: Maas et al. 2011; HND: Kiesel et al. 2019; AAPD: Yang et
 * al. 2018. A task is one row; readers and metrics are shared. */
#include "tasks.h"
#include "names.h"

#include <string.h>

#define ACCURACY                                                                                                                   \
    { "accuracy", metric_accuracy }
#define F1                                                                                                                         \
    { "f1", metric_f1 }
#define MICRO_F1                                                                                                                   \
    { "micro_f1", metric_micro_f1 }
#define MCC                                                                                                                        \
    { "mcc", metric_mcc }
#define PEARSON                                                                                                                    \
    { "pearson", metric_pearson }
#define SPEARMAN                                                                                                                   \
    { "spearman", metric_spearman }

enum { GLUE_LENGTH = 128 }; /* the customary truncation of GLUE, that of the published figures */

/* Two columns of text, a header, GLUE's length. */
#define PAIRS(first, second, gold) .a = first, .b = second, .label = gold, .max_length = GLUE_LENGTH
#define METRICS(...) .metrics = {__VA_ARGS__}, .metric_count = sizeof((metric[]){__VA_ARGS__}) / sizeof(metric)

static const task tasks[] = {
    {.name = "cola",
     .title = "CoLA: acceptable or not",
     .a = "sentence",
     .label = "label",
     .bare_columns = 4,
     .bare_a = 3,
     .bare_label = 1,
     .max_length = GLUE_LENGTH,
     METRICS(MCC, ACCURACY, F1)},
    {.name = "sst2",
     .title = "SST-2: sentiment of a phrase",
     .a = "sentence",
     .label = "label",
     .max_length = GLUE_LENGTH,
     METRICS(ACCURACY, F1)},
    {.name = "mrpc", .title = "MRPC: paraphrase or not", PAIRS("#1 String", "#2 String", "Quality"), METRICS(ACCURACY, F1)},
    {.name = "stsb",
     .title = "STS-B: similarity, 0 to 5",
     PAIRS("sentence1", "sentence2", "score"),
     .regression = true,
     .bare_columns = 7,
     .bare_a = 5,
     .bare_b = 6,
     .bare_label = 4,
     METRICS(PEARSON, SPEARMAN)},
    {.name = "rte", .title = "RTE: entailment or not", PAIRS("sentence1", "sentence2", "label"), METRICS(ACCURACY, F1)},
    {.name = "wnli", .title = "WNLI: what the pronoun stands for", PAIRS("sentence1", "sentence2", "label"), METRICS(ACCURACY)},
    {.name = "qqp",
     .title = "QQP: the same question or not",
     PAIRS("question1", "question2", "is_duplicate"),
     METRICS(ACCURACY, F1)},
    {.name = "mnli",
     .title = "MNLI: entailment, neutral, contradiction",
     PAIRS("sentence1", "sentence2", "gold_label"),
     .dropped = "-",
     METRICS(ACCURACY)},
    {.name = "qnli", .title = "QNLI: does the sentence answer", PAIRS("question", "sentence", "label"), METRICS(ACCURACY)},
    {.name = "imdb",
     .title = "IMDB: sentiment of a review",
     .a = "text",
     .label = "label",
     .format = FORMAT_JSON,
     METRICS(ACCURACY, F1)},
    {.name = "hnd", .title = "Hyperpartisan news, by article", .format = FORMAT_ARTICLES, METRICS(ACCURACY, F1)},
    {.name = "aapd",
     .title = "AAPD: subjects of a paper, from its abstract",
     .format = FORMAT_LINES,
     .multi_label = true,
     METRICS(MICRO_F1)},
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
