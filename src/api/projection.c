/* projection.c: the raw-buffer interface of the values room: one value projection, packed and bound to an estimator. */
#include <string.h>

#include "core/status.h"
#include "core/threads.h"
#include "foveate/attention.h"
#include "values/values.h"

struct fov_projection {
    fov_allocator allocator;
    const fov_kernels *kernels;
    fov_setting setting;
    const fov_values_row *row;
    fov_value_weights weights;
    float *packed, *bias;
    void *bound;
};

static fov_status pack(fov_projection *p, const float *weight, const float *bias, fov_error *error) {
    fov_value_weights *w = &p->weights;
    size_t per_head = fov_packed_size(w->head_size, w->width), outputs = fov_mul(w->heads, w->head_size);
    p->packed = fov_alloc(&p->allocator, fov_mul(fov_mul(w->heads, per_head), sizeof(float)));
    if (bias) p->bias = fov_alloc(&p->allocator, fov_mul(outputs, sizeof(float)));
    if (!p->packed || (bias && !p->bias)) return FOV_ERR_MEMORY;
    for (size_t h = 0; h < w->heads; h++)
        p->kernels->pack_t(weight + h * w->head_size * w->width, w->width, w->head_size, w->width, p->packed + h * per_head);
    if (bias) memcpy(p->bias, bias, outputs * sizeof *bias);
    w->packed = p->packed;
    w->bias = p->bias;
    return p->row->bind ? p->row->bind(&p->setting, w, &p->allocator, &p->bound, error) : FOV_OK;
}

fov_status fov_projection_create(const char *method, const float *weight, const float *bias, size_t width, size_t heads,
                                 size_t head_size, const fov_allocator *allocator, fov_projection **projection, fov_error *error) {
    const char *where = "fov_projection_create";
    if (!weight || !projection) return fov_fail(error, FOV_ERR_ARGUMENT, where, "weight and projection must not be NULL");
    if (!width || !heads || !head_size || width > UINT32_MAX)
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "width, heads and head_size must not be 0");
    size_t count;
    fov_setting setting;
    const fov_method_info *const *infos = fov_values_infos(&count);
    fov_status status = fov_setting_parse(&setting, infos, count, method ? method : "exact", error);
    if (status) return status;
    const fov_kernels *kernels = fov_kernels_get(error);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    allocator = fov_allocator_or_default(allocator);
    fov_projection *p = fov_alloc_zero(allocator, sizeof *p);
    if (!p) return fov_fail(error, FOV_ERR_MEMORY, where, "out of memory" FOV_MEND_MEMORY);
    p->allocator = *allocator;
    p->kernels = kernels;
    p->setting = setting;
    p->row = fov_values_row_of(&setting);
    p->weights = (fov_value_weights){.width = width, .heads = heads, .head_size = head_size};
    status = pack(p, weight, bias, error);
    if (status == FOV_ERR_MEMORY) fov_fail(error, status, where, "out of memory");
    if (status) {
        fov_projection_free(p);
        return status;
    }
    *projection = p;
    return FOV_OK;
}

void fov_projection_free(fov_projection *p) {
    if (!p) return;
    fov_allocator allocator = p->allocator;
    fov_release(&allocator, p->packed);
    fov_release(&allocator, p->bias);
    fov_release(&allocator, p->bound);
    fov_release(&allocator, p);
}

typedef struct scratch {
    uint64_t *hashes;
    void *values;
    float *gemm;
    unsigned threads;
} scratch;

static fov_status carve(const fov_projection *p, const fov_projection_problem *q, fov_arena *arena, scratch *s, fov_error *error) {
    const char *where = "fov_projection_problem";
    if (!p || !q || !q->offsets)
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "projection, problem and offsets must not be NULL");
    if (q->offsets[0]) return fov_fail(error, FOV_ERR_ARGUMENT, where, "offsets must start at 0");
    if (q->threads > FOV_MAX_THREADS)
        return fov_fail(error, FOV_ERR_ARGUMENT, where,
                        "%u threads are too many; give at most %d, or 0 for what the machine offers", q->threads, FOV_MAX_THREADS);
    size_t longest = 0;
    for (size_t b = 0; b < q->texts; b++) {
        if (q->offsets[b] > q->offsets[b + 1])
            return fov_fail(error, FOV_ERR_ARGUMENT, where, "offsets of text %zu decrease; they must not", b);
        if (q->offsets[b + 1] - q->offsets[b] > longest) longest = q->offsets[b + 1] - q->offsets[b];
    }
    if (q->offsets[q->texts] > UINT32_MAX)
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "more than 2^32 - 1 tokens; give fewer texts at once");
    s->threads = q->threads ? q->threads : fov_threads_default();
    fov_values_size size = {.tokens = q->offsets[q->texts],
                            .texts = q->texts,
                            .longest = longest,
                            .width = p->weights.width,
                            .heads = p->weights.heads,
                            .head_size = p->weights.head_size,
                            .threads = s->threads};
    s->hashes = fov_arena_take(arena, q->texts, sizeof *s->hashes);
    s->gemm = fov_arena_take(arena, fov_mul(s->threads, fov_gemm_scratch()), sizeof(float));
    s->values = fov_arena_take(arena, p->row->workspace(&size), 1);
    return FOV_OK;
}

fov_status fov_projection_workspace(const fov_projection *p, const fov_projection_problem *q, size_t *bytes, fov_error *error) {
    scratch s = {0};
    fov_arena arena = {0};
    if (!bytes) return fov_fail(error, FOV_ERR_ARGUMENT, "fov_projection_workspace", "bytes must not be NULL");
    fov_status status = carve(p, q, &arena, &s, error);
    if (!status) *bytes = arena.used;
    return status;
}

fov_status fov_projection_run(const fov_projection *p, const fov_projection_problem *q, void *workspace, size_t bytes,
                              double *multiply_adds, fov_error *error) {
    const char *where = "fov_projection_run";
    scratch s = {0};
    fov_arena arena = {workspace, 0, bytes, false};
    if (!workspace || (uintptr_t)workspace % FOV_ALIGN)
        return fov_fail(error, FOV_ERR_ARGUMENT, "workspace", "must be aligned to %d bytes and not NULL", FOV_ALIGN);
    fov_status status = carve(p, q, &arena, &s, error);
    if (status) return status;
    if (arena.overflow)
        return fov_fail(error, FOV_ERR_ARGUMENT, "workspace", "%zu bytes given, but %zu are needed; ask fov_projection_workspace",
                        bytes, arena.used);
    if (q->offsets[q->texts] && (!q->x || !q->v)) return fov_fail(error, FOV_ERR_ARGUMENT, where, "x and v must not be NULL");
    if ((p->row->needs_max && !q->col_max) || (p->row->needs_energy && !q->col_energy))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "'%s' needs importance: %s must not be NULL", p->row->info.name,
                        p->row->needs_max ? "col_max" : "col_energy");
    for (size_t b = 0; b < q->texts; b++) s.hashes[b] = q->hashes ? q->hashes[b] : b;
    double done = 0;
    fov_values_run run = {.kernels = p->kernels,
                          .setting = &p->setting,
                          .weights = &p->weights,
                          .bound = p->bound,
                          .threads = s.threads,
                          .scratch = s.values,
                          .gemm_scratch = s.gemm,
                          .multiply_adds = &done};
    fov_values problem = {.texts = q->texts,
                          .offsets = q->offsets,
                          .hashes = s.hashes,
                          .x = q->x,
                          .ldx = p->weights.width,
                          .v = q->v,
                          .ldv = p->weights.heads * p->weights.head_size,
                          .col_max = q->col_max,
                          .col_energy = q->col_energy,
                          .seed = q->seed,
                          .layer = q->layer,
                          .work = q->work};
    p->row->forward(&run, &problem);
    if (multiply_adds) *multiply_adds = done;
    return FOV_OK;
}
