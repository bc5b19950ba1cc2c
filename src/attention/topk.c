/* topk.c: softmax over the k best keys of every query (Gupta, Dar, Goodman, Ciprut and Berant, "Memory-efficient Transformers via
 * Top-k Attention", SustaiNLP 2021): y_i = sum_{j in I_i} a_ij V_j, a_i = softmax(scale q_i K^T over I_i), I_i = the k keys of
 * largest score; of equal scores the lower key wins.
 *
 * A task is a chunk of queries of one (text, head); memory of a thread is constant in T but for one row of weights in apply. */
#include <string.h>

#include "attention/topk.h"
#include "core/threads.h"

static const fov_param_info params[] = {
    {"k", FOV_PARAM_INT, 1, 1e9, 0, 64, NULL, "keys kept per query; more than a text has means all"},
    {"scores", FOV_PARAM_CHOICE, 0, 1, 0, 0, "f32|int8",
     "int8: candidates are chosen by scores in 8 bits, and the keys kept among them by scores in f32"},
};

static size_t workspace(const fov_setting *setting, const fov_attention_size *size) {
    const fov_topk t = fov_topk_sizes(setting, size, false);
    return fov_add(t.shared, fov_mul(size->threads, t.per_thread));
}

static size_t backward_workspace(const fov_setting *setting, const fov_attention_size *size) {
    const fov_topk t = fov_topk_sizes(setting, size, true);
    return fov_add(t.shared, fov_mul(size->threads, t.per_thread));
}

/* Task number -> (text, head) and chunk; false: the text has no such chunk. */
typedef struct place {
    size_t text, head, first, n;
} place;

static bool place_of(const fov_topk *t, size_t index, place *at) {
    const fov_attention *p = t->p;
    size_t pair = index / t->chunks;
    at->text = pair / p->heads;
    at->head = pair % p->heads;
    at->first = index % t->chunks * t->rows;
    size_t outputs = p->y_offsets[at->text + 1] - p->y_offsets[at->text];
    if (at->first >= outputs) return false;
    at->n = outputs - at->first < t->rows ? outputs - at->first : t->rows;
    return true;
}

static size_t tasks_of(const fov_topk *t) {
    return fov_mul(fov_mul(t->p->texts, t->p->heads), t->chunks);
}

static void forward_task(void *context, size_t index, unsigned thread) {
    const fov_topk *t = context;
    const fov_attention *p = t->p;
    place at;
    if (!place_of(t, index, &at)) return;
    fov_topk_view h = fov_topk_view_of(t, at.text, at.head);
    fov_topk_scratch s = fov_topk_scratch_of(t, thread);
    /* y may be q: a chunk's queries are read before its outputs are written. */
    fov_topk_choose(t, &h, at.first, h.y_query ? h.y_query + at.first : NULL, at.n, &s);
    for (size_t r = 0; r < at.n; r++)
        t->run->kernels->gather(s.value + r * t->room, s.index + r * t->room, s.count[r], h.v, p->ldv, p->head_size,
                                h.y + (at.first + r) * p->ldy);
}

static void forward(const fov_attention_run *run, const fov_attention *p) {
    fov_topk t = fov_topk_of(run, p, false);
    fov_topk_coarse_keys(&t);
    fov_parallel(run->threads, tasks_of(&t), forward_task, &t);
}

static float *weights_of(const fov_topk *t, size_t text, size_t head, const fov_topk_view *h) {
    return t->w->weights + t->p->heads * t->w->starts[text] + head * h->queries * h->keys;
}

static void count_row(const float *value, const uint32_t *index, size_t n, float *col_max, float *col_energy) {
    for (size_t i = 0; i < n && col_max; i++)
        if (value[i] > col_max[index[i]] || value[i] != value[i]) col_max[index[i]] = value[i]; /* a NaN stays */
    for (size_t i = 0; i < n && col_energy; i++) col_energy[index[i]] += value[i] * value[i];
}

/* One (text, head), since importance is summed over its queries in order. */
static void weights_task(void *context, size_t task, unsigned thread) {
    const fov_topk *t = context;
    const fov_attention *p = t->p;
    size_t text = task / p->heads, head = task % p->heads, stride = p->k_offsets[p->texts];
    fov_topk_view h = fov_topk_view_of(t, text, head);
    fov_topk_scratch s = fov_topk_scratch_of(t, thread);
    float *col_max = t->w->col_max ? t->w->col_max + head * stride + p->k_offsets[text] : NULL;
    float *col_energy = t->w->col_energy ? t->w->col_energy + head * stride + p->k_offsets[text] : NULL;
    for (size_t i = 0; col_max && i < h.keys; i++) col_max[i] = 0;
    for (size_t i = 0; col_energy && i < h.keys; i++) col_energy[i] = 0;
    float *a = weights_of(t, text, head, &h);
    memset(a, 0, h.queries * h.keys * sizeof *a);
    for (size_t i = 0; i < h.queries; i += t->rows) {
        size_t n = h.queries - i < t->rows ? h.queries - i : t->rows;
        fov_topk_choose(t, &h, i, NULL, n, &s);
        for (size_t r = 0; r < n; r++) {
            const float *value = s.value + r * t->room;
            const uint32_t *index = s.index + r * t->room;
            for (size_t j = 0; j < s.count[r]; j++) a[(i + r) * h.keys + index[j]] = value[j];
            count_row(value, index, s.count[r], col_max, col_energy);
        }
    }
}

static void weights(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *out) {
    fov_topk t = fov_topk_of(run, p, false);
    t.w = out;
    fov_topk_coarse_keys(&t);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), weights_task, &t);
}

/* The nonzero weights of a row and their rows of V: the same sums as forward. */
static void apply_task(void *context, size_t index, unsigned thread) {
    const fov_topk *t = context;
    const fov_attention *p = t->p;
    place at;
    if (!place_of(t, index, &at)) return;
    fov_topk_view h = fov_topk_view_of(t, at.text, at.head);
    fov_topk_scratch s = fov_topk_scratch_of(t, thread);
    const float *a = weights_of(t, at.text, at.head, &h);
    for (size_t o = at.first; o < at.first + at.n; o++) {
        const float *row = a + (h.y_query ? h.y_query[o] : o) * h.keys;
        size_t n = t->run->kernels->above(row, h.keys, 0, 0, s.line, s.line_index);
        t->run->kernels->gather(s.line, s.line_index, n, h.v, p->ldv, p->head_size, h.y + o * p->ldy);
    }
}

static void apply(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *in) {
    fov_topk t = fov_topk_of(run, p, false);
    t.w = in;
    fov_parallel(run->threads, tasks_of(&t), apply_task, &t);
}

static double cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size) {
    const fov_attention_size size = {.longest = keys, .tokens = keys, .heads = 1, .head_size = head_size};
    const fov_topk t = fov_topk_sizes(setting, &size, false);
    const size_t kept = fov_least(t.keep, keys), again = t.is_coarse ? t.cut : 0; /* products in 8 bits count as one each */
    return (double)queries * ((double)keys + (double)again + (double)kept) * (double)head_size;
}

const fov_attention_row fov_attention_topk = {
    .info = {.name = "topk",
             .place = FOV_PLACE_ATTENTION,
             .help = "softmax over the k best keys of each query; of equal scores the lower key wins",
             .citation = "Gupta et al., Memory-efficient Transformers via Top-k Attention, SustaiNLP 2021",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE | FOV_METHOD_HAS_BACKWARD | FOV_METHOD_CAUSAL,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .workspace = workspace,
    .forward = forward,
    .cost = cost,
    .weights = weights,
    .apply = apply,
    .backward_workspace = backward_workspace,
    .backward = fov_topk_backward,
};
