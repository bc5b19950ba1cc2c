/* texts.h: commands that look at single texts take them as arguments, or line by line from standard input. */
#ifndef FOVEATE_CLI_TEXTS_H
#define FOVEATE_CLI_TEXTS_H

#include "options.h"

#include "foveate/foveate.h"

/* Called for each text; `index` from 0. Returns 0 to go on, or an exit code. */
typedef int (*text_visitor)(void *context, const fov_text *text, size_t index);

/* The arguments, or when there is none the lines of standard input; at most `most` texts. 0 or an exit code. */
int texts_visit(const shared_settings *settings, size_t most, text_visitor visit, void *context);

#endif
