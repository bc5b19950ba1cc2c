/* profile.h: a model's calibration profile: statistics of its layers' inputs and the fits made from them, in one safetensors file.
 *
 * "provenance" U64 [6]: format (1), hash of the model's tensors, hash of the texts, texts, tokens, token limit of a text.
 * "levels" U32 [n]. Then for layer L, with d inputs, H heads of size e, r = the last level, s = the sum of levels:
 *     layers.L.value.mean            F32 [d]         layers.L.value.covariance      F32 [d, d], or its diagonal:
 *                                                    layers.L.value.variance        F32 [d]
 *     layers.L.value.share           F32 [H]         layers.L.value.regress.order   U32 [H, r]
 *     layers.L.value.regress.weight  F32 [H, s, e]   layers.L.value.regress.error   F32 [H, n]
 *     layers.L.value.regress.held    F32 [H, n]      layers.L.value.lowrank.held    F32 [n]      errors on texts held out, and
 *     "held" U64 [2]: how many texts, tokens. A profile may lack these.
 *     layers.L.value.lowrank.basis   F32 [r / 2, H e]  layers.L.value.lowrank.error  F32 [n]     both or none
 *     layers.L.attention.query       F32 [H, k, e]   layers.L.attention.key         F32 [H, k, e]   for narrow attention, k the
 * widest layers.L.attention.key_mean    F32 [H, e]      layers.L.attention.error       F32 [H, k / 8 + 1]        rank; with k 8 or
 *     layers.L.attention.held        F32 [H, k / 8 + 1]                                             more. A profile may lack these.
 *     layers.L.attention.value       F32 [H, k, e]   layers.L.attention.output      F32 [H, k, e]   and of its values and outputs
 *     layers.L.attention.value_mean  F32 [H, e]      layers.L.attention.value_held  F32 [H, k / 8 + 1]
 * Then, with m hidden units at the last of n' levels and s' the sum of levels ("ffn.levels" U32 [n']), for narrow feed-forwards:
 *     layers.L.ffn.order   U32 [m]         layers.L.ffn.weight  F32 [s' d], level by level [d, level]
 *     layers.L.ffn.bias    F32 [n', d]     layers.L.ffn.error   F32 [n']     layers.L.ffn.energy  F32 [1]
 * A profile may lack these. Weights and basis may be F16. Other tensors are passed over. */
#ifndef FOV_MODEL_PROFILE_H
#define FOV_MODEL_PROFILE_H

#include "model/model.h"
#include "model/moments.h"
#include "model/sample.h"

typedef struct fov_provenance {
    uint64_t format, model, texts_hash, texts, tokens, max_length;
} fov_provenance;

typedef struct fov_profile {
    fov_allocator allocator;
    char *bytes;    /* of the file */
    float *widened; /* its F16 tensors as f32 */
    fov_tensors *tensors;
    fov_provenance provenance;
    uint64_t held_out[2];             /* texts, tokens of them; 0: not told */
    fov_value_profile *layers;        /* [L], into bytes or widened */
    fov_ffn_profile *ffn;             /* the same; NULL: the file has none */
    fov_attention_profile *attention; /* the same */
} fov_profile;

/* Read and check a profile: FOV_ERR_FORMAT when it is malformed, FOV_ERR_MISMATCH when it is of another model or other weights. */
fov_status fov_profile_open(const struct fov_model *model, const char *path, fov_profile **profile, fov_error *error);
/* The same on a borrowed block; `label` stands for the file in messages and lives as long as the profile. */
fov_status fov_profile_open_memory(const struct fov_model *model, const void *bytes, size_t size, const char *label,
                                   fov_profile **profile, fov_error *error);
void fov_profile_close(fov_profile *profile); /* NULL is allowed */
/* Of its provenance, its levels, and whether it is compact. */
uint64_t fov_profile_hash(const fov_profile *profile);

/* Fit and write. Levels used for inputs of width d: ascending, from 0, below d. */
size_t fov_profile_levels(size_t d, bool compact, uint32_t levels[FOV_PROFILE_LEVELS]);
/* Whether a profile of this model has fits of its attention. */
bool fov_attention_fit_wanted(const struct fov_model *model);
/* Tokens that a fit needs at least. */
size_t fov_profile_tokens(const struct fov_model *model);
/* Tokens kept of the inputs of the feed-forward layers, for their fits. */
size_t fov_profile_sample(const struct fov_model *model);
typedef struct fov_profile_options {
    unsigned threads;
    bool compact;          /* fewer levels, weights in f16 */
    fov_progress progress; /* fits done of all; NULL: none */
    void *progress_context;
} fov_profile_options;
/* What was gathered. Texts held out are part of the provenance's counts. */
typedef struct fov_profile_sums {
    const fov_moments *fitted, *held;
    const fov_moments *contexts[2]; /* [L H] of each head's contexts, of the same tokens; where fov_attention_fit_wanted */
    fov_sample *sample;
    uint64_t held_out[2]; /* texts, tokens */
} fov_profile_sums;
fov_status fov_profile_write(const struct fov_model *model, const fov_profile_sums *sums, const fov_provenance *provenance,
                             const fov_profile_options *options, fov_writer write, void *context, fov_error *error);

#endif
