/* certificates.h: what a calibration profile says about the errors of the methods in force. */
#ifndef FOVEATE_CLI_CERTIFICATES_H
#define FOVEATE_CLI_CERTIFICATES_H

#include "foveate/foveate.h"

#include <jansson.h>

/* session: NULL or without a profile: nothing, NULL. */
void certificates_print(const fov_session *session, size_t layers);
json_t *certificates_pack(const fov_session *session, size_t layers);

#endif
