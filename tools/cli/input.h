/* input.h: lines of text from a file or standard input, plain or .xz (known by its first bytes), in flat memory. */
#ifndef FOVEATE_CLI_INPUT_H
#define FOVEATE_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct reader reader;

/* path NULL or "-": standard input; on a terminal, `hint` is printed first. 0 or an exit code (message printed): also when standard
 * output goes to the same file. */
int reader_open(reader **r, const char *path, const char *hint);
void reader_close(reader *r);
const char *reader_name(const reader *r);
bool reader_is_terminal(const reader *r);
/* The next line without its end (LF or CRLF) and without a byte-order mark at the start of the file; valid until the next
 * call. 1: a line; 0: the end; -1: failed (message printed). A last line without LF counts. */
int reader_line(reader *r, const char **line, size_t *size);
size_t reader_number(const reader *r); /* of the last line, from 1 */
/* 0, or wrong usage (message printed) when an output at path (NULL: none) would take the place of the file being read. */
int reader_spare(const reader *r, const char *path);
/* The share of the file's bytes that the lines so far took (of an .xz file's, about); 0 when it is no plain file. */
double reader_share(const reader *r);

#endif
