/* report.c: one-line messages on stderr. */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names of files and labels come from outside: control characters in them must not break the line or drive the terminal. */
static void say(const char *format, va_list arguments) {
    char line[1200];
    vsnprintf(line, sizeof line, format, arguments);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    fflush(stdout); /* so that a message never overtakes the results it follows */
    fprintf(stderr, "foveate: %s\n", line);
}

int complain(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return code;
}

void remark(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

int complain_memory(void) {
    return complain(EXIT_FAILED, "out of memory: free some, or give fewer or shorter texts");
}

int complain_api(int code, const fov_error *error) {
    if (error->where[0]) return complain(code, "%s: %s", error->where, error->message);
    return complain(code, "%s", error->message);
}
