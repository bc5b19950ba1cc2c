/* output.h: where results go: standard output, or a file that appears only when it is complete. */
#ifndef FOVEATE_CLI_OUTPUT_H
#define FOVEATE_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct output {
    FILE *file;
    const char *path; /* NULL: standard output */
    char *partial;    /* the file being written, beside path */
    int slot;         /* in the list of files removed on a signal, or -1 */
} output;

/* Make closed standard streams fail, ignore SIGPIPE and SIGXFSZ (writes report them), and remove unfinished files on SIGINT,
 * SIGTERM and SIGHUP. */
void output_prepare(void);
/* Whether a file could be put at path: an exit code (message printed) when its folder is missing or not writable, or a folder or
 * a read-only file is there. */
int output_probe(const char *path);
/* Whether an output at path would take the place of the file `other` (may be NULL). */
bool output_replaces(const char *path, const char *other);
/* path NULL: standard output. Otherwise a temporary file in the same folder. 0 or an exit code (message printed). */
int output_open(output *out, const char *path);
/* Flush and check. `keep`: sync and rename over path; otherwise, or on failure, remove. Returns 0 or an exit code. A closed
 * pipe gives EXIT_FAILED without a message. Safe on a zeroed or closed output. */
int output_close(output *out, bool keep);
/* Flush what is written so far. An exit code when writing has failed (so that work stops early), else 0. */
int output_check(output *out);
/* Write error of standard output or a named file, in one line; quiet for a closed pipe. */
int output_failed(const char *path, int error);

/* Have `path` (borrowed) removed on a signal; returns a slot for output_unguard, or -1. */
int output_guard(char *path);
void output_unguard(int slot);
/* Sync the folder of path, so that a rename survives a power cut. */
void output_sync_folder(const char *path);

/* JSON numbers: NaN and infinities, which JSON lacks, become null. */
json_t *json_number(double number);
/* A count held in a double: an integer wherever a double holds one exactly. */
json_t *json_count(double count);
/* A string of any bytes: what is not UTF-8 becomes '?'. */
json_t *json_text(const char *text);
enum { JSON_LINE, JSON_PAGES };
/* Write and release `value` (NULL: out of memory); a line, or indented. 0 or an exit code. */
int output_json(output *out, json_t *value, int form);
/* Text for a table cell or TSV field: control characters become blanks, at most `columns` code points ("..." when cut). */
void output_cell(FILE *file, const char *text, size_t size, size_t columns);

#endif
