/* packed_form.h: a model in one file, its weights as the engine holds them in memory, mapped by every process that uses it.
 *
 * The file is a safetensors file, so that the strict parser of the others reads it and other tools can look inside:
 *
 *     foveate/facts           U64, fov_packed_facts
 *     foveate/hashes          U64, of the checkpoint's values, one for each weight in the order of the walk: fov_model_hash
 *     foveate/name            U8, what the model is called
 *     foveate/file/<NAME>     U8, config.json, the tokenizer's files, as they were
 *     <weight>                a vector as F32; a table (embeddings) as the checkpoint stores it; a matrix as panels
 *                             [ceil(m / 32)][words of k][32] of F32, or [..][2] of BF16, or [..][4] of I8
 *     <weight>/scale, /sum    F32 and I32 [m], of a matrix of I8
 *     foveate/pad/<N>         zeros: every tensor begins at a multiple of 64 bytes
 *
 * Panels are the same in every instruction tier. The bytes depend on the checkpoint, the type and this format alone: no time, place
 * or machine. Everything but the values of the weights is checked when the file is opened; those by fov_packed_verify, which reads
 * them all. A table's row is found by a token's id and the rest by shape, so no value can lead outside the file.
 *
 * Not tried: compression (it could not be mapped), a checksum at every start (it would read all that a start need not). */
#ifndef FOV_MODEL_PACKED_FORM_H
#define FOV_MODEL_PACKED_FORM_H

#include "model/model.h"

enum { FOV_PACKED_FORMAT = 1 };
#define FOV_PACKED_ORDER 0x0102030405060708u
#define FOV_PACKED_FACTS "foveate/facts"
#define FOV_PACKED_HASHES "foveate/hashes"
#define FOV_PACKED_NAME "foveate/name"
#define FOV_PACKED_FILE "foveate/file/"
#define FOV_PACKED_PAD "foveate/pad/"
#define FOV_PACKED_SCALE "/scale"
#define FOV_PACKED_SUM "/sum"
#define FOV_MEND_PACKED "; make it anew with 'foveate import --pack'"

struct fov_packed_facts {
    uint64_t order;  /* FOV_PACKED_ORDER, as the machine that wrote it has it in memory */
    uint64_t format; /* FOV_PACKED_FORMAT */
    uint64_t panel;  /* FOV_PANEL */
    uint64_t type;   /* fov_type of the layers */
    uint64_t has_modules, pooling, normalize, max_length, lower_case; /* fov_modules; lower_case + 1 */
    uint64_t checksum; /* of the header and of all tensors but this one and the zeros */
};

/* What a packed file holds of a weight of this kind, type and shape: dtype, dims and shape of `form`. */
void fov_packed_form(fov_load_kind kind, fov_type type, size_t heads, size_t m, size_t k, fov_dtype stored, fov_tensor *form);

/* What one tensor adds to the checksum: a sum, whatever the order. */
uint64_t fov_packed_checksum(const char *name, const void *data, size_t bytes);

#endif
