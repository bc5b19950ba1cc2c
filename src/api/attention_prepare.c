/* attention_prepare.c: a problem on raw buffers, checked, with its strides and workspace laid out for the attention room. */
#include "api/attention_prepare.h"

#include <math.h>
#include <stdint.h>

#include "core/memory.h"
#include "core/status.h"
#include "core/threads.h"

static size_t rows_of(const size_t *offsets, size_t uniform, size_t text) {
    return offsets ? offsets[text + 1] - offsets[text] : uniform;
}

/* What some methods, or some settings of one, cannot. */
static fov_status check_row(const fov_attention_problem *p, const fov_attention_row *row, const fov_setting *setting,
                            fov_error *error) {
    const char *where = "fov_attention_problem", *name = row->info.name;
    if (row->bind)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                        "'%s' attention makes the projections of a model's queries and keys anew; on buffers give 'dense'", name);
    if (p->causal && row->can_be_causal && !row->can_be_causal(setting))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "'%s' with these parameters looks at all keys, so it cannot be causal",
                        name);
    if (p->conv && !row->convolves)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "'%s' attention has no convolution; conv must be NULL", name);
    if (p->conv && p->conv_width % 2 == 0)
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "conv_width must be odd, not %zu", p->conv_width);
    return FOV_OK;
}

static fov_status check(const fov_attention_problem *p, fov_prepared *r, bool backward, fov_error *error) {
    const char *where = "fov_attention_problem";
    if (!p) return fov_fail(error, FOV_ERR_ARGUMENT, where, "problem must not be NULL");
    if (!p->heads || !p->head_size) return fov_fail(error, FOV_ERR_ARGUMENT, where, "heads and head_size must not be 0");
    if (p->threads > FOV_MAX_THREADS)
        return fov_fail(error, FOV_ERR_ARGUMENT, where,
                        "%u threads are too many; give at most %d, or 0 for what the machine offers", p->threads, FOV_MAX_THREADS);
    if (p->layer > 0xffff)
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "layer %u is too high; give at most 65535", (unsigned)p->layer);
    if (!(p->scale >= 0) || isinf(p->scale))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "scale must be finite and not negative");
    for (size_t b = 0; b < p->texts; b++)
        if ((p->q_offsets && p->q_offsets[b] > p->q_offsets[b + 1]) || (p->k_offsets && p->k_offsets[b] > p->k_offsets[b + 1]))
            return fov_fail(error, FOV_ERR_ARGUMENT, where, "offsets of text %zu decrease; they must not", b);
    size_t count;
    const fov_method_info *const *infos = fov_attention_infos(&count);
    fov_status status = fov_setting_parse(&r->setting, infos, count, p->method ? p->method : "dense", error);
    if (status) return status;
    r->row = fov_attention_row_of(&r->setting);
    if (p->causal && !(r->row->info.flags & FOV_METHOD_CAUSAL))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "'%s' attention cannot be causal; 'foveate methods' says which can",
                        r->row->info.name);
    if (backward && !r->row->backward)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "'%s' attention has no backward pass; 'foveate methods' says which have",
                        r->row->info.name);
    r->kernels = fov_kernels_get(error);
    if (!r->kernels) return FOV_ERR_UNSUPPORTED;
    status = check_row(p, r->row, &r->setting, error);
    if (status) return status;
    r->threads = p->threads ? p->threads : fov_threads_default();
    for (size_t b = 0; b < p->texts; b++) {
        size_t keys = rows_of(p->k_offsets, p->keys, b), queries = rows_of(p->q_offsets, p->queries, b);
        if (keys > r->longest) r->longest = keys;
        if (queries > r->longest) r->longest = queries;
        r->tokens += keys > queries ? keys : queries;
    }
    return FOV_OK;
}

static size_t carve(fov_arena *arena, const fov_attention_problem *p, fov_prepared *r, bool backward) {
    fov_attention_size size = {.longest = r->longest,
                               .texts = p->texts,
                               .tokens = r->tokens,
                               .heads = p->heads,
                               .head_size = p->head_size,
                               .threads = r->threads,
                               .apart = p->q != p->y};
    r->q_offsets = fov_arena_take(arena, fov_add(p->texts, 1), sizeof(size_t));
    r->k_offsets = fov_arena_take(arena, fov_add(p->texts, 1), sizeof(size_t));
    r->starts = fov_arena_take(arena, p->texts, sizeof(size_t));
    r->hashes = fov_arena_take(arena, p->texts, sizeof(uint64_t));
    size_t (*method)(const fov_setting *, const fov_attention_size *) = backward ? r->row->backward_workspace : r->row->workspace;
    r->scratch = fov_arena_take(arena, method(&r->setting, &size), 1);
    return arena->used;
}

fov_status fov_prepared_measure(const fov_attention_problem *p, size_t *bytes, bool backward, const char *call, fov_error *error) {
    fov_prepared r = {0};
    if (!bytes) return fov_fail(error, FOV_ERR_ARGUMENT, call, "bytes must not be NULL");
    fov_status status = check(p, &r, backward, error);
    if (status) return status;
    fov_arena arena = {0};
    *bytes = carve(&arena, p, &r, backward);
    return FOV_OK;
}

static fov_strides filled(fov_strides s, const fov_attention_problem *p, const size_t *offsets, size_t rows) {
    if (!s.row) s.row = p->heads * p->head_size;
    if (!s.head) s.head = p->head_size;
    if (offsets)
        s.text = 0;
    else if (!s.text)
        s.text = rows * s.row;
    return s;
}

static fov_attention_strides inner(fov_strides s) {
    return (fov_attention_strides){s.head, s.text};
}

fov_status fov_prepared_make(const fov_attention_problem *p, fov_prepared *r, bool backward, void *workspace, size_t bytes,
                             fov_error *error) {
    fov_status status = check(p, r, backward, error);
    if (status) return status;
    if (!workspace || (uintptr_t)workspace % FOV_ALIGN)
        return fov_fail(error, FOV_ERR_ARGUMENT, "workspace", "must be aligned to %d bytes and not NULL", FOV_ALIGN);
    fov_arena arena = {workspace, 0, bytes, false};
    size_t need = carve(&arena, p, r, backward);
    if (arena.overflow)
        return fov_fail(error, FOV_ERR_ARGUMENT, "workspace", "%zu bytes given, but %zu are needed; ask fov_attention_workspace",
                        bytes, need);
    size_t cells = 0;
    r->q_offsets[0] = p->q_offsets ? p->q_offsets[0] : 0;
    r->k_offsets[0] = p->k_offsets ? p->k_offsets[0] : 0;
    for (size_t b = 0; b < p->texts; b++) {
        size_t queries = rows_of(p->q_offsets, p->queries, b), keys = rows_of(p->k_offsets, p->keys, b);
        r->q_offsets[b + 1] = r->q_offsets[b] + queries;
        r->k_offsets[b + 1] = r->k_offsets[b] + keys;
        r->starts[b] = cells;
        r->hashes[b] = p->hashes ? p->hashes[b] : b;
        cells += queries * keys;
    }
    fov_strides q = filled(p->q_strides, p, p->q_offsets, p->queries), k = filled(p->k_strides, p, p->k_offsets, p->keys);
    fov_strides v = filled(p->v_strides, p, p->k_offsets, p->keys), y = filled(p->y_strides, p, p->q_offsets, p->queries);
    r->problem = (fov_attention){.texts = p->texts,
                                 .heads = p->heads,
                                 .head_size = p->head_size,
                                 .key_size = p->head_size,
                                 .q_offsets = r->q_offsets,
                                 .k_offsets = r->k_offsets,
                                 .y_offsets = r->q_offsets,
                                 .q = p->q,
                                 .k = p->k,
                                 .v = p->v,
                                 .ldq = q.row,
                                 .ldk = k.row,
                                 .ldv = v.row,
                                 .y = p->y,
                                 .ldy = y.row,
                                 .q_strides = inner(q),
                                 .k_strides = inner(k),
                                 .v_strides = inner(v),
                                 .y_strides = inner(y),
                                 .scale = p->scale > 0 ? p->scale : 1 / sqrtf((float)p->head_size),
                                 .causal = p->causal != 0,
                                 .key_mask = p->key_mask,
                                 .layer = {.conv = p->conv, .conv_width = p->conv ? p->conv_width : 0},
                                 .hashes = r->hashes,
                                 .seed = p->seed,
                                 .layer_number = p->layer};
    return FOV_OK;
}
