/* fastmax_stream.h: causal Fastmax one position at a time, for src/api: a state of fixed size takes the place of the keys. */
#ifndef FOV_ATTENTION_FASTMAX_STREAM_H
#define FOV_ATTENTION_FASTMAX_STREAM_H

#include "attention/attention.h"

typedef struct fov_fastmax_state fov_fastmax_state;

/* Whether the setting, one of fastmax, can be streamed: l2max needs the largest norm of all positions. */
bool fov_fastmax_streams(const fov_setting *setting);
/* Bytes of a state; SIZE_MAX when they overflow. */
size_t fov_fastmax_state_bytes(const fov_setting *setting, size_t heads, size_t head_size);
/* The state, empty, in a 64-byte aligned block of that size. */
fov_fastmax_state *fov_fastmax_state_make(const fov_setting *setting, const fov_kernels *kernels, size_t heads, size_t head_size,
                                          float scale, void *block, size_t bytes);
void fov_fastmax_state_clear(fov_fastmax_state *state);
/* Add a position's k and v, and let its q see all so far: [heads * D] each. q NULL: y is not made. y may be q. */
void fov_fastmax_state_step(fov_fastmax_state *state, const float *q, const float *k, const float *v, float *y);

#endif
