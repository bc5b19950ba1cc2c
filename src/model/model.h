/* model.h: a loaded checkpoint: packed weights, vocabulary, facts. Immutable after loading. */
#ifndef FOV_MODEL_H
#define FOV_MODEL_H

#include "attention/attention.h"
#include "feedforward/feedforward.h"
#include "kernels/gemm.h"
#include "model/arch.h"
#include "model/safetensors.h"
#include "token/token.h"
#include "values/values.h"

typedef struct fov_norm {
    float *gamma, *beta; /* [C] */
} fov_norm;

typedef struct fov_layer {
    fov_linear q, k, v, o, up, down; /* of the model's type; v: packed head by head */
    fov_norm norm1, norm2;
    /* Of some methods; w or pointer NULL when the checkpoint has none. */
    fov_linear q_global, k_global, v_global; /* Longformer; v_global head by head */
    float *score_scale;                      /* [heads], Fastmax */
    float *conv;                             /* [heads][conv_width], YOSO */
    size_t conv_width;
} fov_layer;

typedef enum fov_load_kind { FOV_LOAD_VECTOR, FOV_LOAD_MATRIX, FOV_LOAD_HEADS, FOV_LOAD_TABLE } fov_load_kind;

/* One tensor to load: into `out` as floats, as panels, as panels head by head, or byte by byte. */
typedef struct fov_load_item {
    const fov_tensor *tensor;
    fov_load_kind kind;
    void *out;
    uint64_t hash; /* of the values read */
    size_t m, k;   /* k 0: a vector */
    fov_type type;
    float *scale; /* [m] of int8 */
    int32_t *sum;
} fov_load_item;

struct fov_model {
    fov_allocator allocator;
    const fov_kernels *kernels;
    fov_config config;
    const fov_arch *arch;
    fov_head head;
    fov_type type;                                               /* of the layers' weights; everything else is f32 */
    fov_activation activation, pooler_activation, lm_activation; /* of the feed-forward layer, and in the heads */
    fov_model_info info;
    char name[128], architecture[32], attention[96];
    char folder[1024];   /* where it was loaded from; "" for memory */
    const void *profile; /* borrowed; of a model from memory, or NULL */
    size_t profile_size;
    size_t max_length;
    size_t globals;         /* leading tokens with global attention */
    size_t position_offset; /* token i uses position row i + offset */

    fov_tokenizer *tokenizer;
    fov_tensors *tensors; /* names and shapes; the files are closed after loading */

    fov_load_item *items; /* what was loaded */
    size_t item_count;
    uint64_t files_hash; /* of all files but the weights */

    bool packed;     /* the weights are where the packed file is mapped */
    const void *map; /* or NULL */
    size_t map_size;

    void *block;              /* everything below, one allocation; tables of a memory block stay there */
    fov_tensor words;         /* [V, C], as stored */
    float *positions, *types; /* [P, C], [types, C] or NULL */
    fov_norm embedding_norm;
    fov_layer *layers;             /* [L] */
    fov_linear pooler, classifier; /* w NULL when absent */
    fov_linear lm_dense;
    fov_norm lm_norm;
    float *lm_bias;               /* [V] */
    fov_tensor decoder;           /* [V, C], as stored */
    const fov_tensor *lm_decoder; /* &decoder, or &words where they are tied */
};

/* `count` elements of a float tensor from element `first`, converted to f32. */
void fov_tensor_read(const fov_kernels *kernels, const fov_tensor *tensor, size_t first, size_t count, float *out);

/* Find, check, carve and pack all weights. model->config, arch, head, kernels and tensors are set. */
fov_status fov_model_load_weights(struct fov_model *model, unsigned threads, fov_error *error);
/* Of every weight, continued from `hash`. */
uint64_t fov_model_hash_weights(const struct fov_model *model, uint64_t hash);

#endif
