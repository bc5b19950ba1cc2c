/* sample.h: a bounded sample of the tokens of all texts, with the input of every feed-forward layer at each: those of least key, a
 * hash of the text and the place in it. So neither the order of the texts nor the cut into batches changes it. */
#ifndef FOV_MODEL_SAMPLE_H
#define FOV_MODEL_SAMPLE_H

#include <stdbool.h>

#include "core/memory.h"

typedef struct fov_sample_entry {
    uint64_t key; /* the lowest bit: of a text that is held out */
    uint32_t slot;
} fov_sample_entry;

typedef struct fov_sample {
    fov_allocator allocator;
    size_t layers, width, room, count;
    fov_sample_entry *heap; /* [room] the largest key first */
    uint32_t *row;          /* [room] by slot: row of the batch that is to be copied, or none */
    uint32_t *slots;        /* [room] by fov_sample_sort: tokens to fit, then held-out ones, each by key */
    float *x;               /* [L][room][width] by slot */
} fov_sample;

/* Whether a text of this hash is held out of all fits, to measure them: one of eight is. */
bool fov_sample_held(uint64_t hash);

/* Room for `room` tokens: layers * room * width floats. */
fov_status fov_sample_create(size_t layers, size_t width, size_t room, const fov_allocator *allocator, fov_sample **sample);
void fov_sample_free(fov_sample *sample); /* NULL is allowed */
/* Which tokens of a batch are kept; then their rows of x [N, width] in each layer. */
void fov_sample_choose(fov_sample *sample, size_t texts, const size_t *offsets, const uint64_t *hashes);
void fov_sample_add(fov_sample *sample, size_t layer, const float *x);
/* Fill slots, in the order of keys; returns how many are to be fitted, the others are held out. */
size_t fov_sample_sort(fov_sample *sample);

#endif
