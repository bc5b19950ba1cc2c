/* dataset.h: what the readers of task files share: examples are appended to a builder, labels looked up. dataset.c holds what they
 * share, dataset_rows.c reads rows and JSON lines, dataset_lines.c a file of texts beside one of labels, dataset_articles.c
 * SemEval's articles. */
#ifndef FOVEATE_CLI_DATASET_H
#define FOVEATE_CLI_DATASET_H

#include "tasks.h"

typedef struct slice {
    const char *text;
    size_t size;
} slice;

typedef struct builder {
    dataset *data;
    const task *task;
    label_names label;
    const void *context; /* of label */
    const char *path, *ids;
    size_t line, limit;
    size_t room, used, bytes_room;
    size_t *ends;     /* per example: end of a, end of b */
    size_t halves[2]; /* of a balanced choice: examples of class 0 and 1 taken */
    int column_a, column_b, column_label, columns;
} builder;

/* All: 0 or an exit code (message printed). */
/* One more example; gold holds data->columns values. */
int dataset_append(builder *b, slice first, slice second, const double *gold);
/* A label's class: by the model's names (letter case apart), else as a number. */
int dataset_class(const builder *b, slice field, double *gold);
int dataset_read_rows(builder *b);
int dataset_read_lines(builder *b);
int dataset_read_articles(builder *b);

#endif
