/* dense.c: exact softmax attention, Y = softmax(Q K^T / sqrt(D)) V (Vaswani et al. 2017), text by text and head by head.
 *
 * A task is a chunk of the queries of one (text, head). Keys come in tiles: K and V of a tile are packed, then blocks of the
 * chunk's rows go scores -> softmax -> Y with the gemm kernel. Texts of one tile are normalised before they meet V; longer ones
 * by the online softmax (Dao et al., "FlashAttention", 2022): sums of exp and of exp times V are kept per row and rescaled when
 * its maximum grows. Memory per thread is bounded, whatever T is. Importance is gathered in ascending order of rows: a head of a
 * text is one task then.
 *
 * In bf16 Q, K, V and the weights are rounded as they are packed; a tile of K and V then takes half its words. Short texts are
 * multiplied in f32, up to FOV_SHORT_KEYS a head at once where the tier can (short_head): the same bits. */
#include "attention/dense.h"

#include <float.h>
#include <string.h>

#include "core/memory.h"
#include "core/threads.h"
#include "kernels/tile.h"

typedef struct scratch {
    float *packed_k, *packed_v, *scores, *gemm, *words;
    float *sums, *top, *total, *factor; /* of a chunk's rows, texts of many tiles only */
} scratch;

static size_t carve(fov_arena *arena, size_t longest, size_t key_size, size_t head_size, scratch *s) {
    const size_t tile = longest < FOV_DENSE_SINGLE_TILE ? longest : FOV_DENSE_SINGLE_TILE;
    const size_t chunk = longest > FOV_DENSE_SINGLE_TILE ? FOV_DENSE_CHUNK : 0;
    s->packed_k = fov_arena_take(arena, fov_packed_size(tile, key_size), sizeof(float));
    s->packed_v = fov_arena_take(arena, fov_packed_size(head_size, tile), sizeof(float));
    s->scores = fov_arena_take(arena, FOV_DENSE_ROWS * tile, sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    s->words = fov_arena_take(arena, fov_mul(FOV_PANEL, fov_words(FOV_TYPE_BF16, key_size)), sizeof(float));
    s->sums = fov_arena_take(arena, fov_mul(chunk, head_size), sizeof(float));
    s->top = fov_arena_take(arena, chunk, sizeof(float));
    s->total = fov_arena_take(arena, chunk, sizeof(float));
    s->factor = fov_arena_take(arena, chunk, sizeof(float));
    return arena->used;
}

/* For keys as wide as values: narrower ones need less. */
size_t fov_dense_workspace(const fov_setting *setting, const fov_attention_size *size) {
    (void)setting;
    scratch s;
    fov_arena shared = {0}, one = {0};
    fov_arena_take(&shared, fov_add(size->texts, 1), sizeof(size_t));
    return fov_add(shared.used, fov_mul(size->threads, carve(&one, size->longest, size->head_size, size->head_size, &s)));
}

/* What the tasks of one call share. */
typedef struct job {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_attention_weight_set *w;
    size_t longest, chunk;
    size_t *first; /* task number of each text */
    unsigned char *scratch;
    size_t per_thread; /* bytes */
} job;

static job job_of(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *w) {
    job j = {.run = run, .p = p, .w = w, .longest = fov_longest(p->k_offsets, p->texts)};
    fov_arena shared = {(unsigned char *)run->scratch, 0, SIZE_MAX, false}, one = {0};
    j.first = fov_arena_take(&shared, p->texts + 1, sizeof *j.first);
    j.scratch = (unsigned char *)run->scratch + shared.used;
    scratch s;
    j.per_thread = carve(&one, j.longest, p->key_size, p->head_size, &s);
    return j;
}

static scratch scratch_of(const job *j, unsigned thread) {
    scratch s;
    fov_arena arena = {j->scratch + thread * j->per_thread, 0, j->per_thread, false};
    carve(&arena, j->longest, j->p->key_size, j->p->head_size, &s);
    return s;
}

/* scores[i] = q[rows[i]] K^T for n query rows and the packed tile of `keys` keys. */
static void score_rows(const job *j, fov_type type, size_t keys, const float *q, const uint32_t *rows, size_t n, const scratch *s,
                       float *scores, size_t ld) {
    fov_gemm g = {.n = n,
                  .m = keys,
                  .k = j->p->key_size,
                  .type = type,
                  .x = q,
                  .ldx = j->p->ldq,
                  .x_rows = rows,
                  .w = s->packed_k,
                  .y = scores,
                  .ldy = ld};
    fov_gemm_block(j->run->kernels, &g, 0, n, 0, fov_panels(g.m), s->gemm);
}

/* y[i] = a[rows[i]] V for n rows and the packed tile of `keys` keys, after the first tile added to y[i]. */
static void value_rows(const job *j, fov_type type, size_t keys, const float *a, size_t lda, const uint32_t *rows, size_t n,
                       const scratch *s, float *y, size_t ldy, bool add) {
    fov_gemm g = {.n = n,
                  .m = j->p->head_size,
                  .k = keys,
                  .type = type,
                  .x = a,
                  .ldx = lda,
                  .x_rows = rows,
                  .w = s->packed_v,
                  .residual = add ? y : NULL,
                  .ldr = ldy,
                  .y = y,
                  .ldy = ldy};
    fov_gemm_block(j->run->kernels, &g, 0, n, 0, fov_panels(g.m), s->gemm);
}

static void pack_k(const job *j, const fov_dense_head *h, size_t key, size_t keys, const scratch *s) {
    fov_pack_type(j->run->kernels, h->type, h->k + key * j->p->ldk, j->p->ldk, keys, j->p->key_size, s->packed_k, NULL, NULL,
                  s->words);
}

static void pack_v(const job *j, const fov_dense_head *h, size_t key, size_t keys, const scratch *s) {
    const fov_kernels *kernels = j->run->kernels;
    (h->type == FOV_TYPE_BF16 ? kernels->pack_n_bf16 : kernels->pack_n)(h->v + key * j->p->ldv, j->p->ldv, keys, j->p->head_size,
                                                                        s->packed_v);
    fov_dense_clear_masked(h, h->type, key, keys, j->p->head_size, s->packed_v);
}

/* Scores of outputs [o, o + n) and keys [key, key + keys). */
static void score_outputs(const job *j, const fov_dense_head *h, size_t o, size_t n, size_t key, size_t keys, const scratch *s) {
    score_rows(j, h->type, keys, h->y_query ? h->q : h->q + o * j->p->ldq, h->y_query ? h->y_query + o : NULL, n, s, s->scores,
               keys);
    fov_dense_mask(h, o, n, key, keys, s->scores, keys);
}

static void clear_importance(const fov_attention *p, float *all) {
    const size_t first = p->k_offsets[0], end = p->k_offsets[p->texts];
    for (size_t h = 0; all && h < p->heads; h++) memset(all + h * end + first, 0, (end - first) * sizeof *all);
}

/* The columns of `all` that are a head's keys. */
static float *importance_of(const fov_attention *p, size_t text, size_t head, float *all) {
    return all ? all + head * p->k_offsets[p->texts] + p->k_offsets[text] : NULL;
}

_Static_assert((FOV_GEMM_KC + FOV_SHORT_KEYS) * FOV_PANEL <= FOV_TILE_PACKED * FOV_TILE_STRIDE, "short_head's scratch is a gemm's");

/* Whether the tier does all of a head at once: a short text's whose outputs are its queries, which see every key. */
static bool is_short(const job *j, const fov_dense_head *h) {
    return j->run->kernels->short_head && h->type == FOV_TYPE_F32 && h->keys && h->keys <= FOV_SHORT_KEYS &&
           j->p->key_size <= FOV_GEMM_KC && !h->causal && !h->key_mask && !h->y_query;
}

static void forward_short(const job *j, const fov_dense_head *h, size_t o, size_t count, float *col_max, float *col_energy,
                          const scratch *s) {
    const fov_attention *p = j->p;
    const fov_short_head head = {.queries = count,
                                 .keys = h->keys,
                                 .key_size = p->key_size,
                                 .value_size = p->head_size,
                                 .q = h->q + o * p->ldq,
                                 .k = h->k,
                                 .v = h->v,
                                 .ldq = p->ldq,
                                 .ldk = p->ldk,
                                 .ldv = p->ldv,
                                 .y = h->y + o * p->ldy,
                                 .ldy = p->ldy,
                                 .scale = p->scale,
                                 .col_max = col_max,
                                 .col_energy = col_energy,
                                 .scratch = s->gemm};
    j->run->kernels->short_head(&head);
}

static void forward_tile(const job *j, const fov_dense_head *h, size_t text, size_t head, size_t o, size_t count,
                         const scratch *s) {
    const fov_attention *p = j->p;
    float *col_max = importance_of(p, text, head, p->col_max), *col_energy = importance_of(p, text, head, p->col_energy);
    if (is_short(j, h)) {
        forward_short(j, h, o, count, col_max, col_energy, s);
        return;
    }
    pack_k(j, h, 0, h->keys, s);
    pack_v(j, h, 0, h->keys, s);
    const size_t blocks = (count + FOV_DENSE_ROWS - 1) / FOV_DENSE_ROWS;
    for (size_t i = 0; i < blocks; i++) {
        const size_t begin = o + i * count / blocks, n = o + (i + 1) * count / blocks - begin;
        /* y may be q: a block's queries are read before its outputs are written. */
        score_outputs(j, h, begin, n, 0, h->keys, s);
        j->run->kernels->softmax(s->scores, h->keys, n, h->keys, p->scale, col_max, col_energy);
        value_rows(j, h->type, h->keys, s->scores, h->keys, NULL, n, s, h->y + begin * p->ldy, p->ldy, false);
    }
}

static void rescale(float *rows, size_t d, const float *factor, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; factor[i] != 1 && c < d; c++) rows[i * d + c] *= factor[i];
}

/* Block by block of rows for each tile of keys; the sums stay in scratch, so y may be q here too. */
static void forward_tiles(const job *j, const fov_dense_head *h, size_t o, size_t count, const scratch *s) {
    const fov_attention *p = j->p;
    const size_t d = p->head_size, blocks = (count + FOV_DENSE_ROWS - 1) / FOV_DENSE_ROWS, seen = fov_dense_seen_most(h, o, count);
    for (size_t i = 0; i < count; i++) {
        s->top[i] = -FLT_MAX;
        s->total[i] = 0;
        for (size_t c = 0; c < d; c++) s->sums[i * d + c] = 0;
    }
    for (size_t key = 0; key < seen; key += FOV_DENSE_KEYS) {
        const size_t keys = fov_least(h->keys - key, FOV_DENSE_KEYS);
        pack_k(j, h, key, keys, s);
        pack_v(j, h, key, keys, s);
        for (size_t b = 0; b < blocks; b++) {
            const size_t i = b * count / blocks, n = (b + 1) * count / blocks - i;
            if (fov_dense_seen_most(h, o + i, n) <= key) continue;
            score_outputs(j, h, o + i, n, key, keys, s);
            j->run->kernels->softmax_tile(s->scores, keys, n, keys, p->scale, s->top + i, s->total + i, s->factor + i);
            rescale(s->sums + i * d, d, s->factor + i, n);
            value_rows(j, h->type, keys, s->scores, keys, NULL, n, s, s->sums + i * d, d, true);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const float inverse = s->total[i] == 0 ? 0 : 1 / s->total[i];
        for (size_t c = 0; c < d; c++) h->y[(o + i) * p->ldy + c] = s->sums[i * d + c] * inverse;
    }
}

static void forward_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const size_t text = fov_dense_text_of(j->first, j->p->texts, index), task = index - j->first[text];
    const size_t head = task % j->p->heads;
    const fov_dense_head h = fov_dense_head_of(j->p, text, head);
    const scratch s = scratch_of(j, thread);
    const size_t chunks = (h.outputs + j->chunk - 1) / j->chunk, chunk = task / j->p->heads;
    const size_t o = chunk * h.outputs / chunks, count = (chunk + 1) * h.outputs / chunks - o;
    if (h.keys <= FOV_DENSE_SINGLE_TILE)
        forward_tile(j, &h, text, head, o, count, &s);
    else
        forward_tiles(j, &h, o, count, &s);
}

void fov_dense_forward(const fov_attention_run *run, const fov_attention *p) {
    job j = job_of(run, p, NULL);
    const bool whole = (p->col_max || p->col_energy) && j.longest <= FOV_DENSE_SINGLE_TILE;
    j.chunk = whole ? SIZE_MAX / 2 : fov_dense_chunk(p, p->y_offsets, run->threads);
    clear_importance(p, p->col_max);
    clear_importance(p, p->col_energy);
    fov_parallel(run->threads, fov_dense_number(p, p->y_offsets, j.chunk, j.first), forward_task, &j);
}

static float *weights_of(const job *j, size_t text, size_t head, const fov_dense_head *h) {
    return j->w->weights + j->p->heads * j->w->starts[text] + head * h->queries * h->keys;
}

static void weights_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const size_t text = index / p->heads, head = index % p->heads;
    fov_dense_head h = fov_dense_head_of(p, text, head);
    h.y_query = NULL; /* rows are queries here */
    const scratch s = scratch_of(j, thread);
    float *col_max = importance_of(p, text, head, j->w->col_max), *col_energy = importance_of(p, text, head, j->w->col_energy);
    float *a = weights_of(j, text, head, &h);
    const size_t tile = h.keys > FOV_DENSE_SINGLE_TILE ? FOV_DENSE_KEYS : FOV_DENSE_SINGLE_TILE;
    for (size_t key = 0; key < h.keys; key += tile) {
        const size_t keys = fov_least(h.keys - key, tile);
        pack_k(j, &h, key, keys, &s);
        for (size_t i = 0; i < h.queries; i += FOV_DENSE_ROWS) {
            const size_t n = fov_least(h.queries - i, FOV_DENSE_ROWS);
            float *rows = a + i * h.keys;
            score_rows(j, h.type, keys, h.q + i * p->ldq, NULL, n, &s, rows + key, h.keys);
            fov_dense_mask(&h, i, n, key, keys, rows + key, h.keys);
            if (key + keys == h.keys) j->run->kernels->softmax(rows, h.keys, n, h.keys, p->scale, col_max, col_energy);
        }
    }
}

void fov_dense_weights(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *out) {
    job j = job_of(run, p, out);
    clear_importance(p, out->col_max);
    clear_importance(p, out->col_energy);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), weights_task, &j);
}

static void apply_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_attention *p = j->p;
    const fov_dense_head h = fov_dense_head_of(p, index / p->heads, index % p->heads);
    const scratch s = scratch_of(j, thread);
    const float *a = weights_of(j, index / p->heads, index % p->heads, &h);
    const size_t tile = (size_t)FOV_DENSE_KEYS << h.type; /* as many words: sums over tiles are those of one long gemm */
    if (!h.keys) value_rows(j, h.type, 0, a, 0, h.y_query, h.outputs, &s, h.y, p->ldy, false);
    for (size_t key = 0; key < h.keys; key += tile) {
        const size_t keys = fov_least(h.keys - key, tile);
        pack_v(j, &h, key, keys, &s);
        value_rows(j, h.type, keys, a + key, h.keys, h.y_query, h.outputs, &s, h.y, p->ldy, key > 0);
    }
}

void fov_dense_apply(const fov_attention_run *run, const fov_attention *p, const fov_attention_weight_set *in) {
    job j = job_of(run, p, in);
    fov_parallel(run->threads, fov_mul(p->texts, p->heads), apply_task, &j);
}

double fov_dense_cost(const fov_setting *setting, size_t queries, size_t keys, size_t head_size) {
    (void)setting;
    return 2 * (double)queries * (double)keys * (double)head_size;
}

const fov_attention_row fov_attention_dense = {
    .info = {.name = "dense",
             .place = FOV_PLACE_ATTENTION,
             .help = "exact softmax over all keys",
             .citation = "Vaswani et al., Attention is all you need, NeurIPS 2017",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_HAS_IMPORTANCE | FOV_METHOD_HAS_BACKWARD | FOV_METHOD_CAUSAL},
    .one_pass = FOV_DENSE_SINGLE_TILE,
    .workspace = fov_dense_workspace,
    .forward = fov_dense_forward,
    .cost = fov_dense_cost,
    .weights = fov_dense_weights,
    .apply = fov_dense_apply,
    .backward_workspace = fov_dense_backward_workspace,
    .backward = fov_dense_backward,
};
