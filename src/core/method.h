/* method.h: method strings, NAME[:key=value[,key=value]...], read against a method's row of parameters. */
#ifndef FOV_CORE_METHOD_H
#define FOV_CORE_METHOD_H

#include <stdbool.h>

#include "foveate/foveate.h"

enum { FOV_MAX_PARAMS = 12, FOV_SETTING_TEXT = 256 };

/* A method with a value for each of its parameters. */
typedef struct fov_setting {
    const fov_method_info *info;
    double values[FOV_MAX_PARAMS];
} fov_setting;

/* Parse `text` against the `count` rows of a room. Unknown names get the nearest known one; values are checked against type and
 * bounds; a parameter given twice is refused. FOV_ERR_ARGUMENT. */
fov_status fov_setting_parse(fov_setting *setting, const fov_method_info *const *rows, size_t count, const char *text,
                             fov_error *error);

/* Canonical text with every parameter written out; parses back to the same setting. */
void fov_setting_format(const fov_setting *setting, char *text, size_t size);

/* Value of a parameter by name. The name must exist. */
double fov_setting_get(const fov_setting *setting, const char *name);

/* For the rows of methods: what is so with every setting. */
bool fov_setting_always(const fov_setting *setting);

#endif
