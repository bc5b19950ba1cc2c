/* report.h: what the program says when something is wrong. One line on stderr: what, where, how to mend. */
#ifndef FOVEATE_CLI_REPORT_H
#define FOVEATE_CLI_REPORT_H

#include "foveate/foveate.h"

#include <stdbool.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Print "foveate: ..." as one line on stderr and return `code`, so that a failure is one line at the caller. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int complain_memory(void);
int complain_api(int code, const fov_error *error);
/* Remarks that are not errors (summaries, hints); the same form. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
