/* tune_journal.c: JSON lines: a header that names model, data, machine and settings, then one line per setting and half that is
 * finished. A last line that was cut off is dropped. */
#include "report.h"
#include "tune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int differs(const char *path, const json_t *found, const json_t *wanted) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)wanted, name, value) {
        if (json_equal(json_object_get(found, name), value)) continue;
        return complain(EXIT_FAILED, "%s: it is the journal of a run with another %s: give --restart to begin anew, or remove it",
                        path, name);
    }
    return 0;
}

/* Lines up to the first that is not whole; *end: bytes of those. */
static int read_lines(journal *j, const json_t *header, long *end) {
    char *line = NULL;
    size_t room = 0;
    int code = 0;
    bool empty = true;
    *end = 0;
    for (ssize_t size; !code && (size = getline(&line, &room, j->file)) > 0;) {
        empty = false;
        json_t *value = line[size - 1] == '\n' ? json_loads(line, 0, NULL) : NULL;
        if (!value) break;
        if (*end || json_object_get(value, "foveate-tune")) *end += (long)size;
        if (*end == (long)size)
            code = differs(j->path, value, header);
        else if (*end)
            json_array_append(j->lines, value);
        json_decref(value);
        if (!*end) break;
    }
    free(line);
    if (!code && !*end && !empty)
        code = complain(EXIT_FAILED, "%s: not a journal of 'foveate tune': give --restart to replace it, or another --journal",
                        j->path);
    return code;
}

int journal_open(journal *j, const char *path, json_t *header, bool restart) {
    *j = (journal){.path = path, .lines = json_array()};
    if (!header || !j->lines) {
        json_decref(header);
        return complain_memory();
    }
    long end = 0;
    int code = 0;
    j->file = restart ? NULL : fopen(path, "r+");
    if (j->file) {
        code = read_lines(j, header, &end);
        if (!code && (fseek(j->file, end, SEEK_SET) || ftruncate(fileno(j->file), end))) code = output_failed(path, errno);
    } else {
        j->file = fopen(path, "w");
        if (!j->file) code = output_failed(path, errno);
    }
    if (!code && !end) code = journal_add(j, json_incref(header));
    json_decref(header);
    j->ours = !code;
    return code;
}

/* A line without an attention is of a version that tried none. */
static bool is_of(const json_t *line, const trial *one) {
    const char *attention = json_string_value(json_object_get(line, "attention")),
               *values = json_string_value(json_object_get(line, "values")), *ffn = json_string_value(json_object_get(line, "ffn"));
    return values && ffn && !strcmp(values, one->values) && !strcmp(ffn, one->ffn) &&
           !strcmp(attention ? attention : "", one->attention);
}

const json_t *journal_find(const journal *j, const trial *one, int half) {
    size_t i;
    json_t *line;
    json_array_foreach(j->lines, i, line) {
        if (is_of(line, one) && json_integer_value(json_object_get(line, "half")) == half) return line;
    }
    return NULL;
}

size_t journal_others(const tune *t) {
    size_t i, count = 0;
    json_t *line;
    json_array_foreach(t->journal.lines, i, line) {
        if (!json_object_get(line, "values") || json_integer_value(json_object_get(line, "half")) != 1) continue;
        bool counted = is_of(line, &t->trials[0]); /* exact */
        for (size_t k = 0; k < t->tested_count; k++) counted = counted || is_of(line, &t->trials[t->tested[k]]);
        count += !counted;
    }
    return count;
}

int journal_add(journal *j, json_t *line) {
    if (!line) return complain_memory();
    if (!j->file) {
        json_decref(line);
        return 0;
    }
    const bool failed =
        json_dumpf(line, j->file, JSON_REAL_PRECISION(17) | JSON_COMPACT) || putc('\n', j->file) == EOF || fflush(j->file);
    const int error = errno;
    json_decref(line);
    j->added += !failed;
    return failed ? output_failed(j->path, error) : 0;
}

void journal_close(journal *j, bool finished) {
    if (j->file) fclose(j->file);
    enum { HEADER_AND_EXACT = 3 };
    if (j->ours && (finished || json_array_size(j->lines) + j->added <= HEADER_AND_EXACT)) unlink(j->path);
    json_decref(j->lines);
    *j = (journal){0};
}
