/* packed.h: writing and opening a packed model, whose file packed_form.h tells. */
#ifndef FOV_MODEL_PACKED_H
#define FOV_MODEL_PACKED_H

#include "model/load.h"
#include "model/packed_form.h"
#include "model/sources.h"

/* A loaded model and the files it was made from, through `write`. */
fov_status fov_packed_write(const struct fov_model *model, const fov_sources *sources, fov_writer write, void *context,
                            fov_error *error);

/* Load a checkpoint and write it. */
fov_status fov_packed_make(const char *folder, const fov_model_options *options, fov_writer write, void *context, fov_error *error);
/* A model from a packed file, or from such bytes, 64-byte aligned, that outlive it. */
fov_status fov_packed_open(const char *path, const fov_model_options *options, fov_model **model, fov_error *error);
fov_status fov_packed_open_memory(const void *bytes, size_t size, const char *label, const fov_model_options *options,
                                  fov_model **model, fov_error *error);
/* Read every byte: FOV_ERR_FORMAT where they are not those that were written. */
fov_status fov_packed_verify(const struct fov_model *model, fov_error *error);

#endif
