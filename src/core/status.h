/* status.h: filling a fov_error. */
#ifndef FOV_CORE_STATUS_H
#define FOV_CORE_STATUS_H

#include "foveate/foveate.h"

/* Fill `error` (when not NULL) and return `status`, so that a failure is one line:
 *     return fov_fail(error, FOV_ERR_FORMAT, path, "header of %zu bytes is longer than the file", size);
 * `where` may be NULL. Long texts are cut, control characters become '?', so that the message stays one line. */
fov_status fov_fail(fov_error *error, fov_status status, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Ends of messages: how to mend what has the same remedy everywhere. */
#define FOV_MEND_FILE "; mend it, or download the file again"
#define FOV_MEND_MEMORY "; free some memory"

#endif
