/* yoso.c: YOSO attention, its row and the expectation form: blocks of query rows go scores -> weights -> Y, as in dense.c, so
 * memory is linear in T. The sampled form is in yoso_sampled.c. Scores are products of unit vectors: `scale` plays no part. */
#include "attention/yoso.h"
#include "core/threads.h"

enum { ROWS = FOV_YOSO_ROWS };
enum { TAU, HASHES, HASH, BACKWARD, PARAMS };

static const fov_param_info params[PARAMS] = {
    {"tau", FOV_PARAM_INT, 1, 24, 0, 8, NULL, "bits of a hash: power of the kernel (as trained)"},
    {"m", FOV_PARAM_INT, 0, 65536, 0, 0, NULL, "hashes sampled; 0: their expectation, quadratic in the length"},
    {"hash", FOV_PARAM_CHOICE, 0, 0, 0, 0, "gaussian|hadamard", "gaussian: unbiased; hadamard: cheaper, a little biased"},
    {"backward", FOV_PARAM_CHOICE, 0, 0, 0, 0, "exact|surrogate", "gradient: of the kernel, or its bounded stand-in tau w / 2"},
};

fov_yoso_settings fov_yoso_settings_of(const fov_setting *setting) {
    return (fov_yoso_settings){(unsigned)setting->values[TAU], (size_t)setting->values[HASHES], setting->values[HASH] > 0,
                               setting->values[BACKWARD] > 0};
}

/* What the tasks of one call share. */
typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    fov_yoso_settings s;
    size_t longest, per_thread;
} job;

typedef struct scratch {
    fov_yoso_copies copies;
    float *packed_k, *packed_v, *q, *scores, *gemm;
} scratch;

static size_t carve(fov_arena *arena, size_t longest, size_t d, scratch *s) {
    size_t row = fov_mul(d, sizeof(float));
    s->copies.present = fov_arena_take(arena, longest, sizeof(uint32_t));
    s->copies.k = fov_arena_take(arena, longest, row);
    s->copies.v = fov_arena_take(arena, longest, row);
    s->copies.k_norm = NULL;
    s->packed_k = fov_arena_take(arena, fov_packed_size(longest, d), sizeof(float));
    s->packed_v = fov_arena_take(arena, fov_packed_size(d, longest), sizeof(float));
    s->q = fov_arena_take(arena, ROWS, row);
    s->scores = fov_arena_take(arena, fov_mul(ROWS, longest), sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    return arena->used;
}

static size_t thread_bytes(const fov_yoso_settings *s, size_t longest, size_t d, bool apart) {
    scratch none;
    fov_arena arena = {0};
    return s->m ? fov_yoso_sampled_workspace(s, longest, d, apart) : carve(&arena, longest, d, &none);
}

static size_t workspace(const fov_setting *setting, const fov_attention_size *size) {
    fov_yoso_settings s = fov_yoso_settings_of(setting);
    return fov_mul(size->threads, thread_bytes(&s, size->longest, size->head_size, size->apart));
}

/* y [n, d] = x [n, k] W of a packed matrix. */
static void multiply(const fov_kernels *kernels, const float *x, size_t n, size_t k, const float *w, size_t m, float *y, size_t ldy,
                     float *gemm) {
    fov_gemm g = {.n = n, .m = m, .k = k, .x = x, .ldx = k, .w = w, .y = y, .ldy = ldy};
    fov_gemm_block(kernels, &g, 0, n, 0, fov_panels(m), gemm);
}

static void expectation(const job *j, size_t text, size_t head, void *block) {
    const fov_attention *p = j->p;
    const fov_kernels *kernels = j->run->kernels;
    size_t d = p->head_size;
    scratch s;
    fov_arena arena = {block, 0, j->per_thread, false};
    carve(&arena, j->longest, d, &s);
    fov_yoso_head h = fov_yoso_view(p, text, head);
    fov_yoso_copy(p, &h, &s.copies);
    kernels->pack_t(h.k, d, h.keys, d, s.packed_k);
    kernels->pack_n(h.v, d, h.keys, d, s.packed_v);
    for (size_t o = 0; o < h.outputs; o += ROWS) {
        size_t n = h.outputs - o < ROWS ? h.outputs - o : ROWS;
        /* y may be q: a block's queries are read before its outputs are written. */
        for (size_t i = 0; i < n; i++)
            fov_yoso_normalize(p->q + h.q_start + fov_yoso_query(&h, o + i) * p->ldq, p->ldq, 1, d, s.q + i * d, NULL);
        multiply(kernels, s.q, n, d, s.packed_k, h.keys, s.scores, h.keys, s.gemm);
        fov_yoso_weights(s.scores, n * h.keys, j->s.tau, NULL, false);
        for (size_t i = 0; p->causal && i < n; i++)
            for (size_t c = fov_yoso_visible(p, &h, fov_yoso_query(&h, o + i)); c < h.keys; c++) s.scores[i * h.keys + c] = 0;
        multiply(kernels, s.scores, n, h.keys, s.packed_v, d, p->y + h.y_start + o * p->ldy, p->ldy, s.gemm);
        for (size_t i = 0; i < n; i++) {
            float *y = p->y + h.y_start + (o + i) * p->ldy;
            for (size_t c = 0; !h.keys && c < d; c++) y[c] = 0;
            fov_yoso_unit(y, d, 1e-12);
            fov_yoso_convolve(p, &h, fov_yoso_query(&h, o + i), y, 1);
        }
    }
}

static void task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    size_t text = index / j->p->heads, head = index % j->p->heads;
    unsigned char *block = (unsigned char *)j->run->scratch + thread * j->per_thread;
    if (j->s.m)
        fov_yoso_sampled_forward(j->run, j->p, text, head, j->longest, block, j->per_thread);
    else
        expectation(j, text, head, block);
}

static void forward(const fov_attention_run *run, const fov_attention *p) {
    job j = {run, p, fov_yoso_settings_of(run->setting), fov_yoso_longest(p), 0};
    j.per_thread = thread_bytes(&j.s, j.longest, p->head_size, p->y != p->q);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), task, &j);
}

/* Hashing and table sums count every addition; the draws, the same for every length, do not count. */
static double cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size) {
    fov_yoso_settings s = fov_yoso_settings_of(setting);
    double d = (double)head_size, rows = (double)queries + (double)keys, m = (double)s.m;
    if (!s.m) return 2 * (double)queries * (double)keys * d;
    if (!s.hadamard) return rows * m * d * ((double)s.tau + 1);
    size_t padded = 32, stages = 5;
    for (; padded < head_size; padded *= 2) stages++;
    size_t each = padded / s.tau, parts = (s.m + each - 1) / each;
    return rows * ((double)(parts * 3 * padded * stages) + m * d);
}

static void exact_form(fov_setting *setting) {
    setting->values[HASHES] = 0;
}

const fov_attention_row fov_attention_yoso = {
    .info = {.name = "yoso",
             .place = FOV_PLACE_ATTENTION,
             .help = "Bernoulli sampling by locality-sensitive hashing; for checkpoints trained with it",
             .citation = "Zeng et al., You Only Sample (Almost) Once: Linear Cost Self-Attention Via Bernoulli Sampling, ICML 2021",
             .flags = FOV_METHOD_HAS_BACKWARD | FOV_METHOD_RANDOM | FOV_METHOD_CAUSAL,
             .param_count = PARAMS,
             .params = params},
    .convolves = true,
    .workspace = workspace,
    .forward = forward,
    .cost = cost,
    .exact_form = exact_form,
    .backward_workspace = fov_yoso_backward_workspace,
    .backward = fov_yoso_backward,
};
