/* weights_pack.c: the values of all tensors read, hashed, checked and packed, in parallel; see weights.c. */
#include "model/weights_pack.h"

#include <stdatomic.h>
#include <string.h>

#include "core/hash.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/loader.h"

void fov_tensor_read(const fov_kernels *kernels, const fov_tensor *t, size_t first, size_t count, float *out) {
    const unsigned char *data = (const unsigned char *)t->data + first * fov_dtype_size(t->dtype);
    if (t->dtype == FOV_F32) {
        memcpy(out, data, count * sizeof *out);
        return;
    }
    uint16_t half[256]; /* the file may hold them unaligned */
    for (size_t i = 0; i < count; i += 256) {
        size_t n = count - i < 256 ? count - i : 256;
        memcpy(half, data + i * 2, n * 2);
        if (t->dtype == FOV_F16)
            kernels->from_f16(half, out + i, n);
        else
            kernels->from_bf16(half, out + i, n);
    }
}

typedef struct pack_job {
    const struct fov_model *model;
    fov_load_item *items;
    float *rows; /* [threads][2][room]: rows of a tensor, and the same as stored */
    size_t room;
    atomic_bool failed;
    fov_error error; /* of the first that failed */
} pack_job;

static void fail(pack_job *job, const fov_error *error) {
    if (!atomic_exchange(&job->failed, true)) job->error = *error;
}

static bool all_finite(const float *x, size_t n) {
    float sum = 0; /* 0 * x is 0 for finite x, NaN otherwise */
    for (size_t i = 0; i < n; i++) sum += 0 * x[i];
    return sum == 0;
}

/* Elements [first, first + n) of a tensor, at most job->room of them if they are not F32. */
static bool read_floats(pack_job *job, unsigned thread, fov_load_item *item, size_t first, size_t n, float *out) {
    const fov_tensor *t = item->tensor;
    const size_t size = fov_dtype_size(t->dtype);
    uint16_t *stored = (uint16_t *)(job->rows + (2 * thread + 1) * job->room);
    fov_error error = {0};
    char where[320];
    if (fov_tensors_read(job->model->tensors, t, first * size, n * size, t->dtype == FOV_F32 ? (void *)out : stored, &error)) {
        fail(job, &error);
        return false;
    }
    if (t->dtype == FOV_F16) job->model->kernels->from_f16(stored, out, n);
    if (t->dtype == FOV_BF16) job->model->kernels->from_bf16(stored, out, n);
    item->hash = fov_hash_bytes(item->hash, out, n * sizeof *out);
    if (all_finite(out, n)) return true;
    fov_fail(&error, FOV_ERR_FORMAT, fov_tensor_where(t, where, sizeof where),
             "holds values that are not finite (NaN or infinity); the checkpoint is damaged: save or download it again");
    fail(job, &error);
    return false;
}

static void pack_vector(pack_job *job, unsigned thread, fov_load_item *item) {
    float *out = item->out;
    for (size_t i = 0, n; i < item->tensor->count; i += n) {
        n = item->tensor->count - i < job->room ? item->tensor->count - i : job->room;
        if (!read_floats(job, thread, item, i, n, out + i)) return;
    }
}

static void pack_matrix(pack_job *job, unsigned thread, fov_load_item *item) {
    float *rows = job->rows + 2 * thread * job->room, *words = rows + job->room, *out = item->out; /* as stored: read by then */
    size_t group = item->kind == FOV_LOAD_HEADS ? item->m / job->model->config.heads : item->m;
    for (size_t start = 0; start < item->m; start += group) /* a head, or all */
        for (size_t i = 0; i < group; i += FOV_PANEL) {
            size_t n = group - i < FOV_PANEL ? group - i : FOV_PANEL;
            if (!read_floats(job, thread, item, (start + i) * item->k, n * item->k, rows)) return;
            fov_pack_type(job->model->kernels, item->type, rows, item->k, n, item->k, out,
                          item->scale ? item->scale + start + i : NULL, item->sum ? item->sum + start + i : NULL, words);
            out += FOV_PANEL * fov_words(item->type, item->k);
        }
}

static void pack_task(void *context, size_t index, unsigned thread) {
    pack_job *job = context;
    fov_load_item *item = &job->items[index];
    fov_error error;
    if (item->kind == FOV_LOAD_VECTOR)
        pack_vector(job, thread, item);
    else if (item->kind != FOV_LOAD_TABLE)
        pack_matrix(job, thread, item);
    else if (item->out != item->tensor->data &&
             fov_tensors_read(job->model->tensors, item->tensor, 0, item->tensor->bytes, item->out, &error))
        fail(job, &error);
    if (item->kind == FOV_LOAD_TABLE) item->hash = fov_hash_bytes(0, item->out, item->tensor->bytes);
}

fov_status fov_weights_pack(struct fov_model *model, size_t count, unsigned threads, fov_error *error) {
    const fov_allocator *allocator = &model->allocator;
    pack_job job = {.model = model, .items = model->items};
    size_t widest = 0;
    for (size_t i = 0; i < count; i++)
        if (model->items[i].k > widest) widest = model->items[i].k;
    job.room = fov_mul(FOV_PANEL, widest);
    job.rows = fov_alloc(allocator, fov_mul(fov_mul(threads, 2 * sizeof(float)), job.room));
    if (!job.rows) return FOV_ERR_MEMORY;
    fov_parallel(threads, count, pack_task, &job);
    fov_release(allocator, job.rows);
    if (atomic_load(&job.failed)) {
        if (error) *error = job.error;
        return job.error.status;
    }
    return fov_tensors_settle(model->tensors, error);
}
