/* load.h: a model from a folder or from memory; arguments are checked by the api room. */
#ifndef FOV_MODEL_LOAD_H
#define FOV_MODEL_LOAD_H

#include "model/model.h"

enum { PATH_SIZE = 1024 };

fov_status fov_model_load_folder(const char *folder, const fov_model_options *options, fov_model **model, fov_error *error);
fov_status fov_model_load_blocks(const fov_model_files *files, const fov_model_options *options, fov_model **model,
                                 fov_error *error);

#endif
