/* dataset_rows.c: examples line by line. Tab-separated files are read with quoting off, as GLUE's are meant to be; columns are
 * found by the header's names where there is a header. JSON lines hold a text and a label. */
#include "dataset.h"
#include "input.h"
#include "report.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

int dataset_read_rows(builder *b) {
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
