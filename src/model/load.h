/* load.h: a model from a folder or from memory; arguments are checked by the api room. */
#ifndef FOV_MODEL_LOAD_H
#define FOV_MODEL_LOAD_H

#include "model/model.h"
#include "model/sources.h"

fov_status fov_model_load_folder(const char *folder, const fov_model_options *options, fov_model **model, fov_error *error);
fov_status fov_model_load_blocks(const fov_model_files *files, const fov_model_options *options, fov_model **model,
                                 fov_error *error);

/* What a folder holds: the headers of its weights, and the small files; both are the caller's to release. */
fov_status fov_model_open_folder(const char *folder, const fov_allocator *allocator, fov_sources *sources, fov_tensors **tensors,
                                 fov_error *error);
/* Everything after the files are open; takes over `tensors`. */
fov_status fov_model_build(const fov_sources *sources, fov_tensors *tensors, const fov_model_options *options, fov_model **model,
                           fov_error *error);

#endif
