/* profile_parts.h: the tensors of a profile that is being written. */
#ifndef FOV_MODEL_PROFILE_PARTS_H
#define FOV_MODEL_PROFILE_PARTS_H

#include <stdbool.h>

#include "core/json.h"
#include "model/ffn_fit.h"

typedef struct fov_profile_part {
    const char *name, *dtype;
    size_t shape[3]; /* dims of 0 are absent */
    const void *data;
} fov_profile_part;

size_t fov_profile_elements(const fov_profile_part *part);
/* Add a tensor of elements of `size` bytes to the header; false when out of memory. */
bool fov_profile_declare(json_t *header, const char *name, const fov_profile_part *part, size_t size, size_t *offset);

/* profile_ffn.c: the feed-forward's tensors: declared, then fitted and written. */
bool fov_profile_ffn_declare(const struct fov_model *model, json_t *header, size_t *offset);
fov_status fov_profile_ffn_write(const struct fov_model *model, fov_ffn_fit *fit, fov_writer write, void *context,
                                 fov_error *error);

#endif
