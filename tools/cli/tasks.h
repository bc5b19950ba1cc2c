/* tasks.h: the evaluation tasks as rows of data, and reading their files. */
#ifndef FOVEATE_CLI_TASKS_H
#define FOVEATE_CLI_TASKS_H

#include "foveate/foveate.h"
#include "metrics.h"

#include <stdbool.h>

typedef enum task_format {
    FORMAT_ROWS,    /* tab-separated columns */
    FORMAT_JSON,    /* {"text", "label"} per line, perhaps .xz */
    FORMAT_LINES,   /* text_NAME and label_NAME, line by line */
    FORMAT_ARTICLES /* SemEval-2019 task 4's XML */
} task_format;

typedef struct task {
    const char *name, *title;
    /* Column names of a file with a header (or keys of JSON lines); b is NULL for single texts. */
    const char *a, *b, *label;
    /* A file without a header: its columns at least, 0 where the format always has one; and which they are, from 0. */
    int bare_columns, bare_a, bare_b, bare_label;
    bool regression;  /* the label is a score */
    bool multi_label; /* a set of classes */
    task_format format;
    const char *dropped; /* rows with this label are no examples */
    size_t max_length;   /* default; 0: the model's limit */
    size_t metric_count;
    metric metrics[3]; /* the first is the task's figure */
} task;

const task *task_at(size_t index); /* NULL past the end */
const task *task_find(const char *name);

typedef struct dataset {
    fov_text *texts;
    double *gold;   /* [count, columns] class id, or score; multi-label: 0 or 1 for each class */
    size_t columns; /* 1, or the number of classes */
    size_t count;
    size_t dropped;
    char *bytes;
} dataset;

/* Names of the classes, NULL past the end: engine_label with a model as context. */
typedef const char *(*label_names)(const void *context, size_t index);

/* Read the first `limit` examples (0: all) of a task file; for IMDB the first half of them negative and the rest positive. Labels
 * are looked up by name, letter case apart, then as numbers. ids: a JSON list of the articles to take, or NULL. 0 or an exit code
 * (message printed, with line and column). */
int dataset_read(dataset *data, const task *t, const char *path, const char *ids, label_names label, const void *context,
                 size_t limit);
void dataset_free(dataset *data);
/* The file of labels beside the task file `path`, in beside; "" when the task has none. 0 or an exit code (message printed). */
int dataset_beside(const task *t, const char *path, char *beside, size_t size);

#endif
