/* narrow.c: dense attention whose queries and keys have fewer columns than the checkpoint's:
 *     q' = A q,  k' = B (k - mean of k),  q'^T k' ~ q^T (k - mean of k)
 * A and B [r, D] are the best of rank r for the queries and keys of calibration (narrow_fit.c), and what is taken from all keys
 * alike no softmax sees. Both are linear in the layer's input, so they are but narrower weights: A Wq, B Wk. The rank, one for all
 * heads of a layer, is the least of those in the profile whose scores are off by at most tau (rms over heads); where none is, the
 * layer stays as it is. Biased and deterministic. Weights, softmax and A V are those of dense.c. */
#include <math.h>

#include "attention/dense.h"
#include "core/status.h"

enum { P_TAU };

static const fov_param_info params[] = {
    {"tau", FOV_PARAM_FLOAT, 0, 1000, 0, .3, NULL, "error of the scores, which go into exp: larger is cheaper; 0 is exact"},
};

static double score_error(const fov_attention_profile *p, const float *errors, size_t heads, size_t level) {
    double sum = 0;
    for (size_t h = 0; h < heads; h++) {
        const double error = (double)errors[h * (p->rank / FOV_NARROW_STEP + 1) + level];
        sum += error * error;
    }
    return sqrt(sum / (double)heads);
}

/* 0: the layer's own. */
static size_t choose(const fov_attention_profile *p, size_t heads, double tau) {
    for (size_t level = 1; tau > 0 && level <= p->rank / FOV_NARROW_STEP; level++)
        if (score_error(p, p->held, heads, level) <= tau) return level * FOV_NARROW_STEP;
    return 0;
}

/* What binding needs for a while. */
typedef struct binding {
    float *own;   /* [D][C] of a head */
    float *rows;  /* [heads * r][C] */
    double *sum;  /* [C] */
    float *words; /* of fov_pack_type */
} binding;

static size_t carve_tables(fov_arena *arena, const fov_attention_projections *own, size_t rank, fov_attention_projections **kept) {
    *kept = fov_arena_take(arena, 1, sizeof **kept);
    const fov_attention_projections t = {.q = fov_linear_take(arena, own->heads * rank, own->q.k, own->q.type),
                                         .k = fov_linear_take(arena, own->heads * rank, own->k.k, own->k.type),
                                         .heads = own->heads,
                                         .key_size = rank};
    if (*kept) **kept = t;
    return arena->used;
}

static size_t carve_binding(fov_arena *arena, const fov_attention_projections *own, size_t rank, binding *b) {
    const size_t c = own->q.k;
    b->own = fov_arena_take(arena, fov_mul(own->key_size, c), sizeof *b->own);
    b->rows = fov_arena_take(arena, fov_mul(own->heads * rank, c), sizeof *b->rows);
    b->sum = fov_arena_take(arena, c, sizeof *b->sum);
    b->words = fov_arena_take(arena, fov_mul(FOV_PANEL, c), sizeof *b->words);
    return arena->used;
}

/* to = T (W x + b - mean), T [heads][widest][D], of which the first to->m / heads rows count; mean [heads][D] or NULL. */
static void narrow(const fov_linear *from, size_t heads, const float *t, size_t widest, const float *mean, const fov_linear *to,
                   const binding *b) {
    const fov_kernels *kernels = fov_kernels_get(NULL);
    const size_t d = from->m / heads, c = from->k, rank = to->m / heads;
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < d * c; i++) b->own[i] = fov_packed_at(from->type, from->w, from->scale, c, h * d + i / c, i % c);
        for (size_t r = 0; r < rank; r++) {
            const float *row = t + (h * widest + r) * d;
            double bias = 0;
            for (size_t k = 0; k < c; k++) b->sum[k] = 0;
            for (size_t i = 0; i < d; i++) {
                bias += (double)row[i] * ((from->bias ? (double)from->bias[h * d + i] : 0) - (mean ? (double)mean[h * d + i] : 0));
                for (size_t k = 0; k < c; k++) b->sum[k] += (double)row[i] * (double)b->own[i * c + k];
            }
            to->bias[h * rank + r] = (float)bias;
            for (size_t k = 0; k < c; k++) b->rows[(h * rank + r) * c + k] = (float)b->sum[k];
        }
    }
    fov_pack_type(kernels, to->type, b->rows, c, to->m, c, to->w, to->scale, to->sum, b->words);
}

static fov_status bind(const fov_setting *setting, const fov_attention_projections *own, const fov_attention_profile *p,
                       const fov_allocator *allocator, fov_attention_projections **bound, fov_error *error) {
    *bound = NULL;
    if (!p)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, setting->info->name,
                        "attention '%s' needs a calibration profile with fits of queries and keys: make one with 'foveate "
                        "calibrate'",
                        setting->info->name);
    const size_t rank = choose(p, own->heads, setting->values[P_TAU]);
    if (!rank) return FOV_OK;
    fov_arena arena = {0}, spare = {0};
    binding b;
    fov_attention_projections *kept;
    const size_t bytes = carve_tables(&arena, own, rank, &kept), spare_bytes = carve_binding(&spare, own, rank, &b);
    void *block, *scratch;
    const fov_status status = fov_alloc_both(allocator, bytes, spare_bytes, &block, &scratch);
    if (status) return status;
    arena = (fov_arena){block, 0, bytes, false};
    spare = (fov_arena){scratch, 0, spare_bytes, false};
    carve_tables(&arena, own, rank, &kept);
    carve_binding(&spare, own, rank, &b);
    narrow(&own->q, own->heads, p->query, p->rank, NULL, &kept->q, &b);
    narrow(&own->k, own->heads, p->key, p->rank, p->key_mean, &kept->k, &b);
    fov_release(allocator, scratch);
    *bound = kept;
    return FOV_OK;
}

static bool certify(const fov_attention_profile *p, size_t heads, size_t level, fov_certificate *c) {
    if (level > p->rank / FOV_NARROW_STEP) return false;
    *c = (fov_certificate){level * FOV_NARROW_STEP, score_error(p, p->error, heads, level), score_error(p, p->held, heads, level)};
    return true;
}

const fov_attention_row fov_attention_narrow = {
    .info = {.name = "narrow",
             .place = FOV_PLACE_ATTENTION,
             .help = "softmax over all keys, with calibrated queries and keys of fewer columns",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE | FOV_METHOD_MODEL,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .workspace = fov_dense_workspace,
    .forward = fov_dense_forward,
    .cost = fov_dense_cost,
    .weights = fov_dense_weights,
    .apply = fov_dense_apply,
    .bind = bind,
    .certify = certify,
};
