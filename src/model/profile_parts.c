/* profile_parts.c: tensors of a profile on their way into the file. */
#include "model/profile_parts.h"

#include <string.h>

#include "core/status.h"
#include "model/half.h"

static size_t elements(const fov_profile_part *p) {
    return p->shape[0] * (p->shape[1] ? p->shape[1] : 1) * (p->shape[2] ? p->shape[2] : 1);
}

static bool is_half(const fov_profile_part *p) {
    return !strcmp(p->dtype, "F16");
}

static size_t size_of(const fov_profile_part *p) {
    return is_half(p) ? sizeof(uint16_t) : !strcmp(p->dtype, "U64") ? sizeof(uint64_t) : sizeof(uint32_t);
}

bool fov_profile_declare(json_t *header, const char *name, const fov_profile_part *p, size_t *offset) {
    json_t *shape = json_array();
    for (size_t i = 0; i < 3 && p->shape[i]; i++) json_array_append_new(shape, json_integer((json_int_t)p->shape[i]));
    const size_t begin = *offset;
    *offset += elements(p) * size_of(p);
    return !json_object_set_new(header, name,
                                json_pack("{s:s, s:o, s:[I, I]}", "dtype", p->dtype, "shape", shape, "data_offsets",
                                          (json_int_t)begin, (json_int_t)*offset));
}

/* As F16, a piece at a time. */
static fov_status put_halves(const struct fov_model *model, const fov_profile_part *p, fov_writer write, void *context,
                             bool *written, fov_error *error) {
    uint16_t halves[4096];
    const size_t room = sizeof halves / sizeof *halves, count = elements(p);
    const float *x = p->data;
    *written = true;
    for (size_t i = 0; i < count && *written; i += room) {
        const size_t n = count - i < room ? count - i : room;
        if (!fov_half_from(x + i, halves, n))
            return fov_fail(error, FOV_ERR_UNSUPPORTED, model->name,
                            "a number of '%s' is beyond f16, the type of a compact profile: make a full one", p->name);
        *written = !write(context, halves, n * sizeof *halves);
    }
    return FOV_OK;
}

fov_status fov_profile_put(const struct fov_model *model, const fov_profile_part *p, fov_writer write, void *context,
                           fov_error *error) {
    bool written;
    fov_status status = FOV_OK;
    if (is_half(p))
        status = put_halves(model, p, write, context, &written, error);
    else
        written = !write(context, p->data, elements(p) * size_of(p));
    if (status || written) return status;
    return fov_fail(error, FOV_ERR_IO, model->name, "the profile could not be written: the caller's writer failed");
}

fov_status fov_profile_tell(const struct fov_model *model, const fov_profile_options *o, size_t done, fov_error *error) {
    if (!o->progress || !o->progress(o->progress_context, done, 2 * model->config.layers)) return FOV_OK;
    return fov_fail(error, FOV_ERR_ARGUMENT, "progress", "stopped by the caller");
}
