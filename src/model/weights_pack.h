/* weights_pack.h: the values of all tensors of a model, as the engine holds them. */
#ifndef FOV_MODEL_WEIGHTS_PACK_H
#define FOV_MODEL_WEIGHTS_PACK_H

#include "model/model.h"

/* Fill model->items[0 .. count - 1]: of each, whose tensor, kind, shape and places the caller has set, the values at out, scale and
 * sum, and hash. Then the model's files must not have changed. threads >= 1. FOV_ERR_MEMORY leaves *error to the caller, who knows
 * what all needs; the other errors (values that are not finite, files that cannot be read or that changed) are told in it. After an
 * error what was filled is void. */
fov_status fov_weights_pack(struct fov_model *model, size_t count, unsigned threads, fov_error *error);

#endif
