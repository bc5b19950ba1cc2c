/* weights_pack.h: the values of all tensors of a model, as the engine holds them. */
#ifndef FOV_MODEL_WEIGHTS_PACK_H
#define FOV_MODEL_WEIGHTS_PACK_H

#include "model/model.h"

/* Fill model->items[0 .. count - 1]. */
fov_status fov_weights_pack(struct fov_model *model, size_t count, unsigned threads, fov_error *error);

#endif
