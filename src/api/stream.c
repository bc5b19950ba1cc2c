/* stream.c: the interface of Fastmax for decoding: checks and memory around fastmax_stream.h. */
#include <math.h>

#include "attention/fastmax_stream.h"
#include "core/memory.h"
#include "core/status.h"
#include "foveate/attention.h"

struct fov_fastmax_stream {
    fov_allocator allocator;
    void *block;
    fov_fastmax_state *state; /* in block */
};

static fov_status read_setting(const char *method, fov_setting *setting, fov_error *error) {
    const char *where = "fov_fastmax_stream_create";
    const fov_method_info *const info = &fov_attention_fastmax.info;
    fov_status status = fov_setting_parse(setting, &info, 1, method ? method : info->name, error);
    if (status) return status;
    if (fov_fastmax_streams(setting)) return FOV_OK;
    return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                    "normalize=l2max needs the largest norm of all positions, so it cannot be streamed; use none or standardize");
}

fov_status fov_fastmax_stream_create(const char *method, size_t heads, size_t head_size, float scale,
                                     const fov_allocator *allocator, fov_fastmax_stream **stream, fov_error *error) {
    const char *where = "fov_fastmax_stream_create";
    if (!stream) return fov_fail(error, FOV_ERR_ARGUMENT, where, "stream must not be NULL");
    if (!heads || !head_size) return fov_fail(error, FOV_ERR_ARGUMENT, where, "heads and head_size must not be 0");
    if (!(scale >= 0) || isinf(scale)) return fov_fail(error, FOV_ERR_ARGUMENT, where, "scale must be finite and not negative");
    fov_setting setting;
    fov_status status = read_setting(method, &setting, error);
    if (status) return status;
    const fov_kernels *kernels = fov_kernels_get(error);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    allocator = fov_allocator_or_default(allocator);
    const size_t bytes = fov_fastmax_state_bytes(&setting, heads, head_size);
    fov_fastmax_stream *s = fov_alloc(allocator, sizeof *s);
    void *block = s ? fov_alloc(allocator, bytes) : NULL;
    if (!block) {
        fov_release(allocator, s);
        return fov_fail(error, FOV_ERR_MEMORY, where, "out of memory: %zu bytes for %zu heads of %zu", bytes, heads, head_size);
    }
    if (!(scale > 0)) scale = 1 / sqrtf((float)head_size);
    fov_fastmax_state *state = fov_fastmax_state_make(&setting, kernels, heads, head_size, scale, block, bytes);
    *s = (fov_fastmax_stream){*allocator, block, state};
    *stream = s;
    return FOV_OK;
}

fov_status fov_fastmax_stream_step(fov_fastmax_stream *stream, const float *q, const float *k, const float *v, float *y,
                                   fov_error *error) {
    const char *where = "fov_fastmax_stream_step";
    if (!stream || !k || !v) return fov_fail(error, FOV_ERR_ARGUMENT, where, "stream, k and v must not be NULL");
    if (!q != !y) return fov_fail(error, FOV_ERR_ARGUMENT, where, "q and y must both be given or both be NULL");
    fov_fastmax_state_step(stream->state, q, k, v, y);
    return FOV_OK;
}

void fov_fastmax_stream_reset(fov_fastmax_stream *stream) {
    if (stream) fov_fastmax_state_clear(stream->state);
}

void fov_fastmax_stream_free(fov_fastmax_stream *stream) {
    if (!stream) return;
    const fov_allocator allocator = stream->allocator;
    fov_release(&allocator, stream->block);
    fov_release(&allocator, stream);
}
