/* ffn_fit.h: narrow feed-forward layers, fitted to a sample of tokens when a model is calibrated. */
#ifndef FOV_MODEL_FFN_FIT_H
#define FOV_MODEL_FFN_FIT_H

#include "model/model.h"
#include "model/sample.h"

/* Levels of a layer of `hidden` units: ascending, from 0, at most a third of them; compact: few, at most a sixth. */
size_t fov_ffn_fit_levels(size_t hidden, bool compact, uint32_t levels[FOV_FFN_LEVELS]);

/* What is found for one layer; the arrays of fov_ffn_profile. */
typedef struct fov_ffn_fit_data {
    uint32_t *order;
    float *weight, *bias, *error, *energy;
} fov_ffn_fit_data;

typedef struct fov_ffn_fit fov_ffn_fit;

/* Sorts the sample. compact: weights are rounded to f16. FOV_ERR_ARGUMENT: too few tokens to fit, or none held out. */
fov_status fov_ffn_fit_create(const struct fov_model *model, fov_sample *sample, bool compact, unsigned threads, fov_ffn_fit **fit,
                              fov_error *error);
void fov_ffn_fit_free(fov_ffn_fit *fit); /* NULL is allowed */
/* Fit a layer; the arrays are owned by the fit, until its next call. */
fov_ffn_fit_data fov_ffn_fit_run(fov_ffn_fit *fit, size_t layer);

#endif
