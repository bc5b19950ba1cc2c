/* dataset_lines.c: texts line by line in text_NAME, their labels in the same lines of label_NAME, separated by blanks (AAPD, Yang
 * et al. 2018). */
#include "dataset.h"
#include "input.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dataset_beside(const task *t, const char *path, char *beside, size_t size) {
    const bool lines = t->format == FORMAT_LINES;
    const char *from = lines ? "text" : "articles", *to = lines ? "label" : "ground-truth";
    *beside = '\0';
    if (!lines && t->format != FORMAT_ARTICLES) return 0;
    const char *name = strrchr(path, '/'), *at = strstr(name ? name : path, from);
    if (at && snprintf(beside, size, "%.*s%s%s", (int)(at - path), path, to, at + strlen(from)) < (int)size) return 0;
    return complain(EXIT_FAILED, "%s: the name has no '%s': the labels are looked for in the file '%s...' beside it: rename both",
                    path, from, to);
}

/* The classes of a line of labels, as ones in gold. */
static int read_labels(builder *b, slice line, double *gold) {
    for (size_t i = 0; i < b->data->columns; i++) gold[i] = 0;
    for (size_t at = 0, end; at < line.size; at = end + 1) {
        end = at;
        while (end < line.size && line.text[end] != ' ') end++;
        double class = 0;
        if (end == at) continue;
        int code = dataset_class(b, (slice){line.text + at, end - at}, &class);
        if (code) return code;
        gold[(size_t) class] = 1;
    }
    return 0;
}

int dataset_read_lines(builder *b) {
    char path[4096];
    reader *texts = NULL, *labels = NULL;
    double *gold = calloc(b->data->columns + 1, sizeof *gold);
    int code = gold ? dataset_beside(b->task, b->path, path, sizeof path) : complain_memory();
    if (!code) code = reader_open(&texts, b->path, NULL);
    if (!code) code = reader_open(&labels, path, NULL);
    while (!code && !(b->limit && b->data->count >= b->limit)) {
        slice text, label;
        int got = reader_line(texts, &text.text, &text.size), other = reader_line(labels, &label.text, &label.size);
        b->line = reader_number(texts);
        if (got < 0 || other < 0)
            code = EXIT_FAILED;
        else if (got != other)
            code = complain(EXIT_FAILED, "%s: line %zu: %s ends there: the two files must have a line for each text", b->path,
                            b->line, got ? path : b->path);
        if (code || !got) break;
        code = read_labels(b, label, gold);
        if (!code) code = dataset_append(b, text, (slice){NULL, 0}, gold);
    }
    reader_close(texts);
    reader_close(labels);
    free(gold);
    return code;
}
