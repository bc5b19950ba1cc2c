/* engine.h: a model and a session from the shared options. */
#ifndef FOVEATE_CLI_ENGINE_H
#define FOVEATE_CLI_ENGINE_H

#include "foveate/foveate.h"
#include "options.h"
#include "output.h"
#include "tuned.h"

typedef struct engine {
    fov_model *model;
    fov_session *session;
    const fov_model_info *info;
    double seconds_load;
    tuned tuned; /* with --tuned */
} engine;

/* Load the model named by settings (NULL: the embedded one). 0 or an exit code (message printed). */
int engine_load(engine *e, const shared_settings *settings);
/* Replace the session. `extra` (or NULL) gives the fields that the shared settings do not: pooling, normalize, all_rows,
 * batch_tokens. A setting that cannot be is wrong usage. */
int engine_session(engine *e, const shared_settings *settings, const fov_session_options *extra);
/* Both, for a command that asks nothing of the model. */
int engine_open(engine *e, const shared_settings *settings);
void engine_close(engine *e);
/* The piece of an id as the vocabulary has it; "" where there is none. */
const char *engine_piece(const engine *e, int32_t id);

/* Model from memory, embedded in the program: embedded.c. */
fov_status embedded_load(const fov_model_options *options, fov_model **model, fov_error *error);

/* Whether the session's methods are other than exact ones, and whether any of them draws. */
bool engine_is_approximate(const engine *e);
bool engine_is_random(const engine *e);
/* The row of the method in force at a place, or NULL. */
const fov_method_info *engine_method(const fov_session *session, fov_place place);
/* Label `index` of a model, as a label_names function. */
const char *engine_label(const void *model, size_t index);
const char *head_name(fov_head head);

/* The summary of a stream on stderr: texts, tokens, what was cut, and what an approximate method really cost. */
void engine_summary(const engine *e, size_t empty, double seconds);

#endif
