/* narrow.c: dense attention whose queries and keys have fewer columns than the checkpoint's:
 *     q' = A q,  k' = B (k - mean of k),  q'^T k' ~ q^T (k - mean of k)
 * A and B [r, D] are the best of rank r for the queries and keys of calibration (narrow_fit.c), and what is taken from all keys
 * alike no softmax sees. Both are linear in the layer's input, so they are but narrower weights: A Wq, B Wk. The rank, one for all
 * heads of a layer, is the least of those in the profile whose scores are off by at most tau (rms over heads); where none is, the
 * layer stays as it is. With kappa, values too: a head's context c = sum_j a_j v_j meets W_O's rows w as q meets k, so that
 *     c' = B (c - mean of c) = sum_j a_j B (v_j - mean of c),   w' = A w,   w'^T c' ~ w^T (c - mean of c)
 * are narrower weights of values and output projection. Biased and deterministic. Weights, softmax and A V are those of dense.c. */
#include <math.h>

#include "attention/dense.h"
#include "core/status.h"
#include "kernels/gemm.h"

enum { P_TAU, P_KAPPA };

static const fov_param_info params[] = {
    {"tau", FOV_PARAM_FLOAT, 0, 1000, 0, .2, NULL, "error of the scores, which go into exp: larger is cheaper; 0 is exact"},
    {"kappa", FOV_PARAM_FLOAT, 0, 1, 0, 0, NULL,
     "share of the contexts' output that narrow values may miss, of its root mean square; 0: exact values"},
};

/* Root mean square over heads. */
static double level_error(const fov_attention_profile *p, const float *errors, size_t heads, size_t level) {
    double sum = 0;
    for (size_t h = 0; h < heads; h++) {
        const double error = (double)errors[h * (p->rank / FOV_NARROW_STEP + 1) + level];
        sum += error * error;
    }
    return sqrt(sum / (double)heads);
}

/* The least rank whose error is `most` at most, in `unit`; 0: the layer's own. */
static size_t choose(const fov_attention_profile *p, const float *errors, size_t heads, double most, double unit) {
    for (size_t level = 1; most > 0 && level <= p->rank / FOV_NARROW_STEP; level++)
        if (level_error(p, errors, heads, level) <= most * unit) return level * FOV_NARROW_STEP;
    return 0;
}

/* What binding needs for a while. */
typedef struct binding {
    const fov_kernels *kernels;
    float *own;    /* [D][C] of a head; [M][heads * D] of the output projection */
    float *packed; /* of a head's, or of its T */
    float *rows;   /* [heads * r][C], [M][heads * r] */
    float *words;  /* of fov_pack_type */
    float *gemm;   /* its scratch */
} binding;

/* Ranks of q and k, and of v; 0: the layer's own. */
typedef struct ranks {
    size_t key, value;
} ranks;

static size_t carve_tables(fov_arena *arena, const fov_attention_projections *own, ranks r, fov_attention_projections **kept) {
    *kept = fov_arena_take(arena, 1, sizeof **kept);
    fov_attention_projections t = *own;
    if (r.key) {
        t.q = fov_linear_take(arena, own->heads * r.key, own->q.k, own->q.type);
        t.k = fov_linear_take(arena, own->heads * r.key, own->k.k, own->k.type);
        t.key_size = r.key;
    }
    if (r.value) {
        t.v = fov_linear_take(arena, own->heads * r.value, own->v.k, own->v.type);
        t.o = fov_linear_take(arena, own->o.m, own->heads * r.value, own->o.type);
        t.value_size = r.value;
        t.made = true;
    }
    if (*kept) **kept = t;
    return arena->used;
}

static size_t carve_binding(fov_arena *arena, const fov_attention_projections *own, ranks r, binding *b) {
    const size_t c = own->q.k, m = r.value ? own->o.m : 0, columns = own->heads * (r.key > r.value ? r.key : r.value);
    const size_t size = own->key_size > own->value_size ? own->key_size : own->value_size;
    const size_t longest = c > columns ? c : columns, head = fov_mul(size, c), output = fov_mul(m, own->o.k);
    b->kernels = fov_kernels_get(NULL);
    b->own = fov_arena_take(arena, head > output ? head : output, sizeof *b->own);
    b->packed = fov_arena_take(arena, fov_packed_size(longest, size), sizeof *b->packed);
    b->rows = fov_arena_take(arena, fov_mul(columns, c > m ? c : m), sizeof *b->rows);
    b->words = fov_arena_take(arena, fov_mul(FOV_PANEL, longest), sizeof *b->words);
    b->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof *b->gemm);
    return arena->used;
}

/* y [n, m] = x [n, k] times b->packed. */
static void multiply(const binding *b, size_t n, size_t m, size_t k, const float *x, size_t ldx, float *y, size_t ldy) {
    const fov_gemm g = {.n = n, .m = m, .k = k, .x = x, .ldx = ldx, .w = b->packed, .y = y, .ldy = ldy};
    fov_gemm_run(b->kernels, &g, 1, b->gemm);
}

/* to = T (W x + b - mean), T [heads][widest][D], of which the first to->m / heads rows count; mean [heads][D] or NULL. */
static void narrow(const fov_linear *from, size_t heads, bool by_head, const float *t, size_t widest, const float *mean,
                   const fov_linear *to, const binding *b) {
    const size_t d = from->m / heads, c = from->k, rank = to->m / heads;
    for (size_t h = 0; h < heads; h++) {
        const float *packed = from->w + (by_head ? h * fov_packed_size(d, fov_words(from->type, c)) : 0);
        const float *scale = from->scale && by_head ? from->scale + h * d : from->scale;
        for (size_t i = 0; i < d; i++)
            for (size_t k = 0; k < c; k++)
                b->own[i * c + k] = fov_packed_at(from->type, packed, scale, c, (by_head ? 0 : h * d) + i, k);
        b->kernels->pack_n(b->own, c, d, c, b->packed);
        multiply(b, rank, c, d, t + h * widest * d, d, b->rows + h * rank * c, c);
        for (size_t r = 0; r < rank; r++) {
            const float *row = t + (h * widest + r) * d;
            double bias = 0;
            for (size_t i = 0; i < d; i++)
                bias += (double)row[i] * ((from->bias ? (double)from->bias[h * d + i] : 0) - (mean ? (double)mean[h * d + i] : 0));
            to->bias[h * rank + r] = (float)bias;
        }
    }
    fov_linear_pack(b->kernels, b->rows, to, b->words);
}

/* W_O of the narrow contexts: a head's columns times T^T; what the mean context gives is added to the bias. */
static void narrow_output(const fov_linear *from, size_t heads, const fov_attention_profile *p, const fov_linear *to,
                          const binding *b) {
    const size_t d = from->k / heads, rank = to->k / heads;
    for (size_t j = 0; j < from->m; j++) {
        double bias = from->bias ? (double)from->bias[j] : 0;
        float *w = b->own + j * from->k;
        for (size_t k = 0; k < from->k; k++) {
            w[k] = fov_packed_at(from->type, from->w, from->scale, from->k, j, k);
            bias += (double)w[k] * (double)p->value_mean[k];
        }
        to->bias[j] = (float)bias;
    }
    for (size_t h = 0; h < heads; h++) {
        b->kernels->pack_t(p->output + h * p->rank * d, d, rank, d, b->packed);
        multiply(b, from->m, rank, d, b->own + h * d, from->k, b->rows + h * rank, to->k);
    }
    fov_linear_pack(b->kernels, b->rows, to, b->words);
}

static fov_status bind(const fov_setting *setting, const fov_attention_projections *own, const fov_attention_profile *p,
                       const fov_allocator *allocator, fov_attention_projections **bound, fov_error *error) {
    const double kappa = setting->values[P_KAPPA];
    *bound = NULL;
    if (!p || (kappa > 0 && !p->value))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, setting->info->name,
                        "attention '%s' needs a calibration profile with fits of queries and keys%s: make one with 'foveate "
                        "calibrate'",
                        setting->info->name, kappa > 0 ? ", values and outputs" : "");
    const ranks r = {choose(p, p->held, own->heads, setting->values[P_TAU], 1),
                     kappa > 0 ? choose(p, p->value_held, own->heads, kappa, level_error(p, p->value_held, own->heads, 0)) : 0};
    if (!r.key && !r.value) return FOV_OK;
    fov_arena arena = {0}, spare = {0};
    binding b;
    fov_attention_projections *kept;
    const size_t bytes = carve_tables(&arena, own, r, &kept), spare_bytes = carve_binding(&spare, own, r, &b);
    void *block, *scratch;
    const fov_status status = fov_alloc_both(allocator, bytes, spare_bytes, &block, &scratch);
    if (status) return status;
    arena = (fov_arena){block, 0, bytes, false};
    spare = (fov_arena){scratch, 0, spare_bytes, false};
    carve_tables(&arena, own, r, &kept);
    carve_binding(&spare, own, r, &b);
    if (r.key) {
        narrow(&own->q, own->heads, false, p->query, p->rank, NULL, &kept->q, &b);
        narrow(&own->k, own->heads, false, p->key, p->rank, p->key_mean, &kept->k, &b);
    }
    if (r.value) {
        narrow(&own->v, own->heads, true, p->value, p->rank, p->value_mean, &kept->v, &b);
        narrow_output(&own->o, own->heads, p, &kept->o, &b);
    }
    fov_release(allocator, scratch);
    *bound = kept;
    return FOV_OK;
}

static bool makes_values(const fov_setting *setting) {
    return setting->values[P_KAPPA] > 0;
}

static bool certify(const fov_attention_profile *p, size_t heads, size_t level, fov_certificate *c) {
    if (level > p->rank / FOV_NARROW_STEP) return false;
    *c = (fov_certificate){level * FOV_NARROW_STEP, level_error(p, p->error, heads, level), level_error(p, p->held, heads, level)};
    return true;
}

const fov_attention_row fov_attention_narrow = {
    .info = {.name = "narrow",
             .place = FOV_PLACE_ATTENTION,
             .help = "softmax over all keys, with calibrated queries and keys (and values) of fewer columns",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE | FOV_METHOD_MODEL,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .one_pass = FOV_DENSE_SINGLE_TILE,
    .workspace = fov_dense_workspace,
    .forward = fov_dense_forward,
    .cost = fov_dense_cost,
    .weights = fov_dense_weights,
    .apply = fov_dense_apply,
    .bind = bind,
    .makes_values = makes_values,
    .certify = certify,
};
