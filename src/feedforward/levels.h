/* levels.h: what narrow and guided share: a layer's narrow feed-forwards, and running every token at a level of its own. */
#ifndef FOV_FEEDFORWARD_LEVELS_H
#define FOV_FEEDFORWARD_LEVELS_H

#include "feedforward/feedforward.h"

typedef struct fov_ffn_levels {
    size_t levels;                    /* narrow ones; number `levels` is the layer itself */
    size_t level[FOV_FFN_LEVELS + 1]; /* units; the last: all */
    float loss[FOV_FFN_LEVELS + 1];   /* error over energy; the last: 0 */
    fov_linear up;                    /* units in order: level m is the first m of them */
    fov_linear down[FOV_FFN_LEVELS];  /* refitted, level by level */
} fov_ffn_levels;

/* Tables of one layer in the type of its weights: of every level, or (only < levels) of one. */
fov_status fov_ffn_levels_bind(const fov_setting *setting, const fov_ffn_weights *weights, const fov_ffn_profile *profile,
                               size_t only, const fov_allocator *allocator, void **bound, fov_error *error);
/* FOV_ERR_UNSUPPORTED where there is no profile. */
fov_status fov_ffn_need_profile(const fov_setting *setting, const fov_ffn_profile *profile, fov_error *error);

bool fov_ffn_levels_certify(const fov_ffn_profile *profile, size_t level, fov_certificate *certificate);

size_t fov_ffn_levels_workspace(size_t rows, size_t hidden);
/* [n] of the workspace, for the level of every row. */
uint8_t *fov_ffn_levels_choice(const fov_ffn_run *run, const fov_ffn *problem);
void fov_ffn_levels_run(const fov_ffn_run *run, const fov_ffn *problem, const fov_ffn_levels *levels);

#endif
