/* profile_parts.h: the tensors of a profile that is being written. */
#ifndef FOV_MODEL_PROFILE_PARTS_H
#define FOV_MODEL_PROFILE_PARTS_H

#include <stdbool.h>

#include "core/json.h"
#include "model/ffn_fit.h"
#include "model/profile.h"

typedef struct fov_profile_part {
    const char *name, *dtype;
    size_t shape[3]; /* dims of 0 are absent */
    const void *data;
} fov_profile_part;

/* Add a tensor to the header; false when out of memory. */
bool fov_profile_declare(json_t *header, const char *name, const fov_profile_part *part, size_t *offset);
/* Write its data, f32 becoming F16 where the part says so. FOV_ERR_UNSUPPORTED: a value is beyond F16. */
fov_status fov_profile_put(const struct fov_model *model, const fov_profile_part *part, fov_writer write, void *context,
                           fov_error *error);

/* profile_attention.c: the tensors of narrow queries and keys: declared layer by layer, then fitted and written. */
typedef struct fov_attention_fit fov_attention_fit;
/* Moments of a layer's inputs: mean and covariance, and the mean and second moment, both about that mean, of those held out. */
typedef struct fov_attention_moments {
    const float *mean;
    const double *covariance, *held_mean, *held;
    const fov_moments *const *contexts; /* [2] */
    double tokens[2];                   /* of the fits, held out */
} fov_attention_moments;
/* NULL and FOV_OK: nothing to fit, its attention is not dense or its heads are small. */
fov_status fov_attention_fit_create(const struct fov_model *model, bool compact, unsigned threads, fov_attention_fit **fit,
                                    fov_error *error);
void fov_attention_fit_free(fov_attention_fit *fit); /* NULL is allowed */
bool fov_profile_attention_declare(const fov_attention_fit *fit, size_t layer, json_t *header, size_t *offset);
fov_status fov_profile_attention_write(fov_attention_fit *fit, size_t layer, const fov_attention_moments *moments, fov_writer write,
                                       void *context, fov_error *error);

/* profile_ffn.c: the feed-forward's tensors: declared, then fitted and written. */
bool fov_profile_ffn_declare(const struct fov_model *model, bool compact, json_t *header, size_t *offset);
fov_status fov_profile_ffn_write(const struct fov_model *model, const fov_profile_options *options, fov_ffn_fit *fit,
                                 fov_writer write, void *context, fov_error *error);
/* A fit of each layer's values, then one of each feed-forward: `done` of them are made. FOV_ERR_ARGUMENT: the caller stops here. */
fov_status fov_profile_tell(const struct fov_model *model, const fov_profile_options *options, size_t done, fov_error *error);

#endif
