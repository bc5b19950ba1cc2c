/* tuned.h: foveate-tuned.json, the setting that `foveate tune` chose for a model, beside it. */
#ifndef FOVEATE_CLI_TUNED_H
#define FOVEATE_CLI_TUNED_H

#include "foveate/foveate.h"
#include "ladders.h"
#include "options.h"

#include <jansson.h>

#define TUNED_NAME "foveate-tuned.json"

enum { HASH_SIZE = 17 }; /* of the text of a hash */

typedef struct tuned {
    bool used;
    char attention[SETTING_SIZE]; /* "": the checkpoint's own */
    char values[SETTING_SIZE], ffn[SETTING_SIZE];
    char profile[HASH_SIZE]; /* hash of the calibration it was tuned with; "": it reads none */
} tuned;

/* DIR/name; of a packed file in the folder that it lies in. 0 or an exit code. */
int path_beside(const char *model, const char *name, char *path, size_t size);
/* Read the setting beside the model and check that it is this model's and agrees with the command line. 0 or an exit code. */
int tuned_read(tuned *t, const fov_model *model, const shared_settings *settings);
/* Fill in the profile of a session with the setting. */
void tuned_profile(tuned *t, const fov_session *session);
/* Whether a session with the setting reads the profile that it was tuned with. 0 or an exit code. */
int tuned_check_profile(const tuned *t, const fov_session *session);
/* The part of the file that tuned_read reads; the caller adds what else it knows. NULL: out of memory. */
json_t *tuned_pack(const tuned *t, const fov_model *model, const char *dtype);
/* "0123456789abcdef" */
json_t *tuned_hash(uint64_t hash);

#endif
