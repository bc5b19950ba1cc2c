/* dataset.c: reads a task's file into texts and gold labels: the builder that the readers of the formats share. */
#include "dataset.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int grow(builder *b, size_t extra) {
    dataset *d = b->data;
    if (d->count == b->room) {
        size_t room = b->room ? 2 * b->room : 1024;
        double *gold = realloc(d->gold, room * d->columns * sizeof *gold);
        if (gold) d->gold = gold;
        size_t *ends = realloc(b->ends, 2 * room * sizeof *ends);
        if (ends) b->ends = ends;
        if (!gold || !ends) return complain_memory();
        b->room = room;
    }
    if (!d->bytes || extra > b->bytes_room - b->used) {
        size_t room = 2 * b->bytes_room + extra + 65536;
        char *bytes = realloc(d->bytes, room);
        if (!bytes) return complain_memory();
        d->bytes = bytes;
        b->bytes_room = room;
    }
    return 0;
}

int dataset_append(builder *b, slice first, slice second, const double *gold) {
    dataset *d = b->data;
    if (grow(b, first.size + second.size)) return EXIT_FAILED;
    if (first.size) memcpy(d->bytes + b->used, first.text, first.size);
    b->used += first.size;
    b->ends[2 * d->count] = b->used;
    if (second.size) memcpy(d->bytes + b->used, second.text, second.size);
    b->used += second.size;
    b->ends[2 * d->count + 1] = b->used;
    memcpy(d->gold + d->count * d->columns, gold, d->columns * sizeof *gold);
    d->count++;
    return 0;
}

/* "negative, positive" */
static void label_list(const builder *b, char *text, size_t size) {
    const char *name;
    text[0] = '\0';
    for (size_t i = 0; (name = b->label(b->context, i)); i++) {
        size_t used = strlen(text);
        if (used + strlen(name) + 8 > size) {
            snprintf(text + used, size - used, ", ...");
            return;
        }
        snprintf(text + used, size - used, "%s%s", i ? ", " : "", name);
    }
}

int dataset_class(const builder *b, slice field, double *gold) {
    char word[100], known[200];
    snprintf(word, sizeof word, "%.*s", field.size < 99 ? (int)field.size : 99, field.text);
    const char *name;
    for (size_t i = 0; (name = b->label(b->context, i)); i++)
        if (!strcasecmp(name, word)) {
            *gold = (double)i;
            return 0;
        }
    char *end;
    unsigned long number = strtoul(word, &end, 10);
    if (word[0] >= '0' && word[0] <= '9' && !*end && b->label(b->context, number)) {
        *gold = (double)number;
        return 0;
    }
    label_list(b, known, sizeof known);
    return complain(EXIT_FAILED,
                    "%s: line %zu, column '%s': the model has no label '%s': it has %s; mend id2label in its config.json", b->path,
                    b->line, b->task->label, word, known);
}

static int finish(builder *b) {
    dataset *d = b->data;
    if (!d->count) return complain(EXIT_FAILED, "%s: no examples: give the official file of task %s", b->path, b->task->name);
    d->texts = calloc(d->count, sizeof *d->texts);
    if (!d->texts) return complain_memory();
    size_t at = 0;
    for (size_t i = 0; i < d->count; i++) {
        d->texts[i] = (fov_text){.a = d->bytes + at, .a_size = b->ends[2 * i] - at};
        if (b->task->b) {
            d->texts[i].b = d->bytes + b->ends[2 * i];
            d->texts[i].b_size = b->ends[2 * i + 1] - b->ends[2 * i];
        }
        at = b->ends[2 * i + 1];
    }
    return 0;
}

int dataset_read(dataset *data, const task *t, const char *path, const char *ids, label_names label, const void *context,
                 size_t limit) {
    *data = (dataset){.columns = 1};
    builder b = {.data = data, .task = t, .label = label, .context = context, .path = path, .ids = ids, .limit = limit};
    if (ids && t->format != FORMAT_ARTICLES)
        return complain(EXIT_USAGE, "--ids: the examples of task %s have no ids: leave it out", t->name);
    if (t->multi_label) data->columns = 0;
    while (t->multi_label && label(context, data->columns)) data->columns++;
    int code = t->format == FORMAT_LINES      ? dataset_read_lines(&b)
               : t->format == FORMAT_ARTICLES ? dataset_read_articles(&b)
                                              : dataset_read_rows(&b);
    if (!code) code = finish(&b);
    free(b.ends);
    if (code) dataset_free(data);
    return code;
}

void dataset_free(dataset *data) {
    free(data->texts);
    free(data->gold);
    free(data->bytes);
    *data = (dataset){0};
}
