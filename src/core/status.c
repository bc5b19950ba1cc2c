/* status.c: error texts. */
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

static void one_line(char *text) {
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f) *c = '?';
}

fov_status fov_fail(fov_error *error, fov_status status, const char *where, const char *format, ...) {
    if (!error) return status;
    error->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    snprintf(error->where, sizeof error->where, "%s", where ? where : "");
    one_line(error->message);
    one_line(error->where);
    return status;
}

const char *fov_status_name(fov_status status) {
    static const char *const names[] = {"ok", "argument", "memory", "io", "format", "mismatch", "unsupported", "internal"};
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "unknown";
}

#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

const char *fov_version(void) {
    return VERSION(FOV_VERSION_MAJOR, FOV_VERSION_MINOR, FOV_VERSION_PATCH);
}
