/* loader.c: one tensor of a checkpoint or packed file: find it, check its type and shape, give it its place. */
#include "model/loader.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "model/packed_form.h"

const fov_tensor *fov_loader_find(const fov_loader *l, const char *name) {
    const fov_tensor *t = fov_tensors_find(l->model->tensors, name);
    if (t) return t;
    const char *prefix = l->model->arch->prefix;
    char full[320];
    if (!strncmp(name, prefix, strlen(prefix))) return fov_tensors_find(l->model->tensors, name + strlen(prefix));
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return fov_tensors_find(l->model->tensors, full);
}

const fov_tensor *fov_loader_find_part(const fov_loader *l, const char *base, const char *part) {
    char name[256];
    snprintf(name, sizeof name, "%s.%s", base, part);
    const fov_tensor *t = fov_loader_find(l, name);
    if (t) return t;
    snprintf(name, sizeof name, "%s.%s", base, strcmp(part, "weight") ? "beta" : "gamma");
    return fov_loader_find(l, name);
}

static void missing(fov_loader *l, const char *name) {
    if (l->status) return;
    l->status =
        fov_fail(l->error, FOV_ERR_MISMATCH, fov_tensors_count(l->model->tensors) ? fov_tensors_at(l->model->tensors, 0)->file : "",
                 "tensor '%s' is missing, but config.json (%s, %zu layers) needs it; " FOV_MEND_CHECKPOINT, name,
                 l->model->config.architecture, l->model->config.layers);
}

/* A note to fill `out` from a tensor. */
static void *note(fov_loader *l, const fov_tensor *t, fov_load_kind kind, void *out, size_t m, size_t k) {
    if (l->items) l->items[l->count] = (fov_load_item){.tensor = t, .kind = kind, .out = out, .m = m, .k = k, .type = l->type};
    if (l->items) l->model->info.parameters += m * (k ? k : 1);
    l->count++;
    return out;
}

/* Data of a packed file, in their place. */
static void *in_place(fov_loader *l, const fov_tensor *t) {
    l->mapped = fov_add(l->mapped, t->bytes + (FOV_ALIGN - t->bytes % FOV_ALIGN) % FOV_ALIGN);
    return (void *)(uintptr_t)t->data;
}

/* Room for a tensor in the block, and a note to fill it. */
static float *store(fov_loader *l, const fov_tensor *t, fov_load_kind kind, size_t m, size_t k) {
    if (l->model->packed) return note(l, t, kind, in_place(l, t), m, k);
    const size_t heads = kind == FOV_LOAD_HEADS ? l->model->config.heads : 1, words = fov_words(l->type, k);
    const size_t floats = kind == FOV_LOAD_VECTOR ? fov_mul(m, k ? k : 1) : fov_mul(heads, fov_packed_size(m / heads, words));
    return note(l, t, kind, fov_arena_take(l->arena, floats, sizeof(float)), m, k);
}

static bool check_dtype(fov_loader *l, const fov_tensor *t) {
    char where[320];
    if (t->dtype == FOV_F32 || t->dtype == FOV_F16 || t->dtype == FOV_BF16) return true;
    l->status = fov_fail(l->error, FOV_ERR_UNSUPPORTED, fov_tensor_where(t, where, sizeof where),
                         "dtype %s cannot be a weight; save it as F32, F16 or BF16", fov_dtype_name(t->dtype));
    return false;
}

static bool same_shape(const fov_tensor *a, const fov_tensor *b) {
    return a->dims == b->dims && !memcmp(a->shape, b->shape, a->dims * sizeof *a->shape);
}

static void write_shape(const fov_tensor *t, char *text, size_t size) {
    *text = '\0';
    for (unsigned i = 0; i < t->dims && strlen(text) < 40; i++)
        snprintf(text + strlen(text), size - strlen(text), "%s%zu", i ? ", " : "", t->shape[i]);
}

/* Whether a tensor has the type and shape of `form`; in a packed file also whether it can be used where it is. */
static bool check_form(fov_loader *l, const fov_tensor *t, const fov_tensor *form) {
    char where[320], shape[64], wanted[64];
    const bool packed = l->model->packed;
    if (packed && (t->dtype != form->dtype || (uintptr_t)t->data % FOV_ALIGN)) {
        l->status = fov_fail(l->error, FOV_ERR_FORMAT, fov_tensor_where(t, where, sizeof where),
                             t->dtype == form->dtype ? "does not begin at a multiple of 64 bytes" FOV_MEND_PACKED
                                                     : "dtype %s, but %s is needed" FOV_MEND_PACKED,
                             fov_dtype_name(t->dtype), fov_dtype_name(form->dtype));
        return false;
    }
    if (same_shape(t, form)) return true;
    write_shape(t, shape, sizeof shape);
    write_shape(form, wanted, sizeof wanted);
    l->status =
        fov_fail(l->error, FOV_ERR_MISMATCH, fov_tensor_where(t, where, sizeof where), "shape is [%s], but config.json says [%s]%s",
                 shape, wanted, packed ? FOV_MEND_PACKED : "; " FOV_MEND_CHECKPOINT);
    return false;
}

/* Whether a tensor is there, with the right type and shape [m, k] (k = 0: a vector [m]). */
static bool fits(fov_loader *l, const fov_tensor *t, const char *name, fov_load_kind kind, size_t m, size_t k) {
    if (l->status) return false;
    if (!t) missing(l, name);
    if (!t || ((!l->model->packed || kind == FOV_LOAD_TABLE) && !check_dtype(l, t))) return false;
    fov_tensor form = {.dims = k ? 2 : 1, .shape = {m, k}};
    if (l->model->packed) fov_packed_form(kind, l->type, l->model->config.heads, m, k, t->dtype, &form);
    return check_form(l, t, &form);
}

float *fov_loader_take(fov_loader *l, const fov_tensor *t, const char *name, fov_load_kind kind, size_t m, size_t k) {
    return fits(l, t, name, kind, m, k) ? store(l, t, kind, m, k) : NULL;
}

float *fov_loader_take_any_shape(fov_loader *l, const fov_tensor *t) {
    if (l->model->packed) return fov_loader_take(l, t, t->name, FOV_LOAD_VECTOR, t->count, 0);
    return check_dtype(l, t) ? store(l, t, FOV_LOAD_VECTOR, t->count, 0) : NULL;
}

void *fov_loader_take_beside(fov_loader *l, const fov_tensor *t, const char *part, fov_dtype dtype, size_t m) {
    if (!l->model->packed) return fov_arena_take(l->arena, m, 4);
    char name[320];
    snprintf(name, sizeof name, "%s%s", t->name, part);
    const fov_tensor form = {.dtype = dtype, .dims = 1, .shape = {m}}, *found = fov_tensors_find(l->model->tensors, name);
    if (!found) missing(l, name);
    return found && check_form(l, found, &form) ? in_place(l, found) : NULL;
}

fov_tensor fov_loader_table(fov_loader *l, const char *base, size_t rows, size_t columns) {
    char name[256];
    snprintf(name, sizeof name, "%s.weight", base);
    const fov_tensor *t = fov_loader_find_part(l, base, "weight");
    if (!fits(l, t, name, FOV_LOAD_TABLE, rows, columns)) return (fov_tensor){0};
    fov_tensor out = *t;
    void *place = l->model->packed ? in_place(l, t) : t->data ? (void *)(uintptr_t)t->data : fov_arena_take(l->arena, t->bytes, 1);
    out.data = note(l, t, FOV_LOAD_TABLE, place, rows, columns);
    return out;
}
