/* topk.c: the feed-forward layer with the k largest pre-activations of each token (Gupta et al., "Memory-efficient Transformers via
 * Top-k Attention", SustaiNLP 2021): y = x + b2 + sum_{j in I} act(s_j) W2[:, j], s = W1 x + b1, I = the k largest s_j; of equal
 * ones the lower unit wins. Exact for ReLU where at most k are positive. With GELU most units are a little negative (down to -0.17)
 * and their sum counts: by=size keeps the k largest |act(s_j)| instead, the same thing for ReLU.
 *
 * Per block of tokens: all of s by gemm; selection, token by token; then panel by panel of W2 (which stays in L2) the sparse
 * products of all tokens. */
#include <math.h>
#include <string.h>

#include "core/threads.h"
#include "feedforward/feedforward.h"
#include "kernels/gemm.h"

enum {
    BLOCK = 2 * FOV_GEMM_ROWS, /* tokens */
    TASK = 8                   /* tokens of a selection task */
};

enum { BY_SCORE, BY_SIZE };

static const fov_param_info params[] = {
    {"k", FOV_PARAM_INT, 1, 1e9, 0, 1024, NULL, "units kept per token; more than there are means all"},
    {"by", FOV_PARAM_CHOICE, 0, 1, 0, BY_SCORE, "score|size",
     "the largest pre-activations (the paper), or activations of largest size"},
};

typedef struct scratch {
    float *value;    /* [BLOCK][hidden] pre-activations, then the kept units' activations */
    uint32_t *index; /* [BLOCK][hidden] the kept units */
    uint32_t *spare; /* [BLOCK][2 hidden] of the selection */
    float *size;     /* [BLOCK][hidden] of the activations */
    size_t *count;   /* [BLOCK] kept units whose activation is not 0 */
} scratch;

static size_t carve(fov_arena *arena, size_t rows, size_t hidden, scratch *s) {
    size_t n = rows < BLOCK ? rows : BLOCK, cells = fov_mul(n, hidden);
    s->value = fov_arena_take(arena, cells, sizeof(float));
    s->index = fov_arena_take(arena, cells, sizeof(uint32_t));
    s->spare = fov_arena_take(arena, fov_mul(2, cells), sizeof(uint32_t));
    s->size = fov_arena_take(arena, cells, sizeof(float));
    s->count = fov_arena_take(arena, n, sizeof(size_t));
    return arena->used;
}

static size_t workspace(size_t rows, size_t hidden) {
    scratch s;
    fov_arena arena = {0};
    return carve(&arena, rows, hidden, &s);
}

typedef struct job {
    const fov_ffn_run *run;
    const fov_ffn *p;
    scratch s;
    size_t first, n, keep; /* tokens of the block; k */
    bool by_size;
} job;

static void activate(const fov_kernels *kernels, fov_activation act, float *x, size_t n) {
    if (act == FOV_ACT_GELU) kernels->gelu(x, n);
    for (size_t i = 0; i < n && act == FOV_ACT_RELU; i++) x[i] = x[i] < 0 ? 0 : x[i]; /* NaN stays */
    for (size_t i = 0; i < n && act == FOV_ACT_TANH; i++) x[i] = tanhf(x[i]);
}

/* Row r of the block: the kept units' activations and numbers; how many. */
static size_t select_row(const job *j, size_t r) {
    const size_t hidden = j->run->weights->up.m;
    float *value = j->s.value + r * hidden, *size = j->s.size + r * hidden, least;
    uint32_t *index = j->s.index + r * hidden, *spare = j->s.spare + 2 * r * hidden;
    for (size_t i = 0; i < hidden; i++) index[i] = (uint32_t)i;
    size_t n = hidden;
    if (n > j->keep && j->by_size) {
        for (size_t i = 0; i < hidden; i++) size[i] = fabsf(value[i]);
        n = j->run->kernels->keep_largest(size, index, n, j->keep, spare, &least);
        for (size_t i = 0; i < n; i++) value[i] = value[index[i]]; /* index[i] >= i */
    } else if (n > j->keep) {
        n = j->run->kernels->keep_largest(value, index, n, j->keep, spare, &least);
    }
    if (!j->by_size) activate(j->run->kernels, j->run->weights->activation, value, n);
    return n;
}

static void select_task(void *context, size_t task, unsigned thread) {
    (void)thread;
    const job *j = context;
    const size_t hidden = j->run->weights->up.m, end = (task + 1) * TASK < j->n ? (task + 1) * TASK : j->n;
    for (size_t r = task * TASK; r < end; r++) {
        float *value = j->s.value + r * hidden;
        uint32_t *index = j->s.index + r * hidden;
        size_t n = select_row(j, r), kept = 0;
        for (size_t i = 0; i < n; i++) {
            const float a = value[i];
            value[kept] = a;
            index[kept] = index[i];
            kept += a != 0;
        }
        j->s.count[r] = kept;
    }
}

static void down_task(void *context, size_t panel, unsigned thread) {
    (void)thread;
    const job *j = context;
    const fov_ffn_weights *w = j->run->weights;
    const size_t first = panel * FOV_PANEL, columns = w->up.k - first < FOV_PANEL ? w->up.k - first : FOV_PANEL;
    for (size_t r = 0; r < j->n; r++) {
        float *y = j->p->y + (j->first + r) * w->up.k + first;
        const float *x = j->p->x + (j->first + r) * w->up.k + first;
        j->run->kernels->gather(j->s.value + r * w->up.m, j->s.index + r * w->up.m, j->s.count[r], w->down.w + first * w->up.m,
                                FOV_PANEL, columns, y);
        for (size_t c = 0; c < columns; c++) y[c] = y[c] + (w->down.bias ? w->down.bias[first + c] : 0) + x[c];
    }
}

static void forward(const fov_ffn_run *run, const fov_ffn *p) {
    const fov_ffn_weights *w = run->weights;
    job j = {.run = run,
             .p = p,
             .keep = (size_t)fov_setting_get(run->setting, "k"),
             .by_size = fov_setting_get(run->setting, "by") > BY_SCORE};
    fov_arena arena = {run->scratch, 0, workspace(p->n, w->up.m), false};
    carve(&arena, p->n, w->up.m, &j.s);
    for (j.first = 0; j.first < p->n; j.first += BLOCK) {
        j.n = p->n - j.first < BLOCK ? p->n - j.first : BLOCK;
        fov_gemm up = fov_linear_gemm(&w->up);
        up.n = j.n;
        up.x = p->x + j.first * w->up.k;
        up.act = j.by_size ? w->activation : FOV_ACT_NONE;
        up.y = j.s.value;
        fov_gemm_run(run->kernels, &up, run->threads, run->gemm_scratch);
        fov_parallel(run->threads, (j.n + TASK - 1) / TASK, select_task, &j);
        fov_parallel(run->threads, fov_panels(w->up.k), down_task, &j);
        *run->multiply_adds += (double)j.n * (double)w->up.k * (double)w->up.m;
        for (size_t r = 0; r < j.n; r++) *run->multiply_adds += (double)j.s.count[r] * (double)w->up.k;
    }
}

const fov_ffn_row fov_ffn_topk = {
    .info = {.name = "topk",
             .place = FOV_PLACE_FFN,
             .help = "the k hidden units that count most for each token; of equal ones the lower unit wins",
             .citation = "Gupta et al., Memory-efficient Transformers via Top-k Attention, SustaiNLP 2021",
             .flags = FOV_METHOD_EXACT_LIMIT,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .f32_only = true,
    .workspace = workspace,
    .forward = forward,
};
