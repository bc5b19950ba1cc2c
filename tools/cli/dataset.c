/* dataset.c: reads a task's file into texts and gold labels. Tab-separated files are read with quoting off, as GLUE's are meant
 * to be; columns are found by the header's names where there is a header. */
#include "dataset.h"
#include "input.h"
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
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

static int score_of(const builder *b, slice field, double *gold) {
    char word[64], *end;
    snprintf(word, sizeof word, "%.*s", field.size < 63 ? (int)field.size : 63, field.text);
    *gold = strtod(word, &end);
    if (end != word && !*end && isfinite(*gold)) return 0;
    return complain(EXIT_FAILED, "%s: line %zu, column '%s': '%s' is not a number: mend the line", b->path, b->line, b->task->label,
                    word);
}

/* Field `index` of a tab-separated line; text NULL when there are fewer. */
static slice field_at(slice line, int index) {
    const char *at = line.text, *end = line.text + line.size;
    for (; index > 0 && at; index--) {
        at = at < end ? memchr(at, '\t', (size_t)(end - at)) : NULL;
        if (at) at++;
    }
    if (!at) return (slice){NULL, 0};
    const char *tab = at < end ? memchr(at, '\t', (size_t)(end - at)) : NULL;
    return (slice){at, (size_t)((tab ? tab : end) - at)};
}

static int column_named(slice header, const char *name) {
    slice field;
    for (int i = 0; (field = field_at(header, i)).text; i++)
        if (field.size == strlen(name) && !memcmp(field.text, name, field.size)) return i;
    return -1;
}

/* Where the columns are, from the first line; *is_header says whether it is spent. */
static int find_columns(builder *b, slice line, bool *is_header) {
    const task *t = b->task;
    b->column_a = column_named(line, t->a);
    b->column_b = t->b ? column_named(line, t->b) : -1;
    b->column_label = column_named(line, t->label);
    *is_header = b->column_a >= 0 && b->column_label >= 0 && (!t->b || b->column_b >= 0);
    if (*is_header) return 0;
    if (t->bare_columns && field_at(line, t->bare_columns - 1).text) {
        b->column_a = t->bare_a;
        b->column_b = t->bare_b;
        b->column_label = t->bare_label;
        return 0;
    }
    const char *missing = b->column_a < 0 ? t->a : t->b && b->column_b < 0 ? t->b : t->label;
    return complain(EXIT_FAILED, "%s: line 1: no column '%s': give the official file of task %s (dev.tsv or train.tsv)", b->path,
                    missing, t->name);
}

static int read_row(builder *b, slice line) {
    const task *t = b->task;
    slice a = field_at(line, b->column_a), second = {NULL, 0}, label = field_at(line, b->column_label);
    if (t->b) second = field_at(line, b->column_b);
    const char *missing = !a.text ? t->a : t->b && !second.text ? t->b : !label.text ? t->label : NULL;
    if (missing)
        return complain(EXIT_FAILED, "%s: line %zu: column '%s' is missing: the line is cut or has too few tabs: mend it", b->path,
                        b->line, missing);
    if (t->dropped && label.size == strlen(t->dropped) && !memcmp(label.text, t->dropped, label.size)) {
        b->data->dropped++;
        return 0;
    }
    double gold;
    int code = t->regression ? score_of(b, label, &gold) : dataset_class(b, label, &gold);
    return code ? code : dataset_append(b, a, second, &gold);
}

/* "<br />" becomes one blank, in place; returns the new size. */
static size_t unbreak(char *text, size_t size) {
    static const char mark[] = "<br />";
    size_t out = 0;
    for (size_t i = 0; i < size;) {
        if (size - i >= sizeof mark - 1 && !memcmp(text + i, mark, sizeof mark - 1)) {
            text[out++] = ' ';
            i += sizeof mark - 1;
        } else {
            text[out++] = text[i++];
        }
    }
    return out;
}

/* One {"text", "label"} line. With a limit, half of the examples are of class 0 and the rest of class 1. */
static int read_json(builder *b, slice line) {
    json_error_t error;
    json_t *root = json_loadb(line.text, line.size, 0, &error);
    if (!root) return complain(EXIT_FAILED, "%s: line %zu: not JSON: %s: mend the line", b->path, b->line, error.text);
    json_t *text = json_object_get(root, b->task->a), *label = json_object_get(root, b->task->label);
    int code = 0;
    double gold = 0;
    char number[32];
    if (!json_is_string(text) || !(json_is_string(label) || json_is_integer(label))) {
        code = complain(EXIT_FAILED, "%s: line %zu: no \"%s\" and \"%s\": give lines of {\"text\": ..., \"label\": ...}", b->path,
                        b->line, b->task->a, b->task->label);
    } else {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(label));
        const char *word = json_is_string(label) ? json_string_value(label) : number;
        code = dataset_class(b, (slice){word, strlen(word)}, &gold);
    }
    int side = gold == 1;
    size_t most = b->limit ? (b->limit + !side) / 2 : SIZE_MAX;
    if (!code && b->halves[side] < most) {
        size_t before = b->used;
        code = dataset_append(b, (slice){json_string_value(text), json_string_length(text)}, (slice){NULL, 0}, &gold);
        if (!code) {
            b->used = before + unbreak(b->data->bytes + before, b->used - before);
            b->ends[2 * b->data->count - 2] = b->ends[2 * b->data->count - 1] = b->used;
            b->halves[side]++;
        }
    }
    json_decref(root);
    return code;
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

static int read_rows(builder *b) {
    const task *t = b->task;
    reader *r = NULL;
    int code = reader_open(&r, b->path, NULL), got = 1;
    while (!code && !(b->limit && b->data->count >= b->limit)) {
        slice line;
        got = reader_line(r, &line.text, &line.size);
        if (got <= 0) break;
        b->line = reader_number(r);
        bool is_header = false;
        if (t->format == FORMAT_ROWS && b->line == 1) code = find_columns(b, line, &is_header);
        if (code || is_header || !line.size) continue; /* GLUE files may end in an empty line */
        code = t->format == FORMAT_JSON ? read_json(b, line) : read_row(b, line);
    }
    if (!code && got < 0) code = EXIT_FAILED;
    reader_close(r);
    return code;
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
                                              : read_rows(&b);
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
