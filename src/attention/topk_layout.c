/* topk_layout.c: sizes of a top-k call, its scratch, and where a (text, head) lies. */
#include "attention/topk.h"

enum { SCORES_INT8 = 1, MARGIN = 16 };

/* Candidates of coarse scores: the k best by 8-bit scores and a quarter more, and 16; measured in docs/methods/topk.md. */
static size_t cut_of(size_t keep, bool coarse) {
    return coarse ? fov_add(keep, fov_add(keep / 4, MARGIN)) : keep;
}

/* Sizes here grow with the longest text, so that a workspace for longer texts serves too: `cells`, not rows x room. */
static size_t carve(fov_arena *arena, const fov_topk *t, size_t head_size, fov_topk_scratch *s) {
    size_t cells = fov_mul(FOV_TOPK_ROWS_LEAST, t->room);
    if (cells < FOV_TOPK_CELLS) cells = FOV_TOPK_CELLS;
    cells = fov_least(cells, fov_mul(FOV_TOPK_ROWS, t->room));
    const size_t tile = fov_least(t->longest, FOV_TOPK_TILE), groups = FOV_TOPK_TILE / 2;
    s->packed = fov_arena_take(arena, fov_packed_size(tile, head_size), sizeof(float));
    s->scores = fov_arena_take(arena, FOV_TOPK_BLOCK * tile, sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    s->q8 = fov_arena_take(arena, t->is_coarse ? fov_mul(FOV_TOPK_ROWS, t->coarse.depth) : 0, 1);
    s->most = fov_arena_take(arena, groups, sizeof(float));
    s->number = fov_arena_take(arena, groups, sizeof(uint32_t));
    s->value = fov_arena_take(arena, cells, sizeof(float));
    s->index = fov_arena_take(arena, cells, sizeof(uint32_t));
    s->count = fov_arena_take(arena, FOV_TOPK_ROWS, sizeof(size_t));
    s->sees = fov_arena_take(arena, FOV_TOPK_ROWS, sizeof(size_t));
    s->least = fov_arena_take(arena, FOV_TOPK_ROWS, sizeof(float));
    s->spare = fov_arena_take(arena, fov_mul(2, t->room > groups ? t->room : groups), sizeof(uint32_t));
    s->line = fov_arena_take(arena, fov_add(t->longest, FOV_TOPK_SLACK), sizeof(float));
    s->line_index = fov_arena_take(arena, fov_add(t->longest, FOV_TOPK_SLACK), sizeof(uint32_t));
    s->slope = fov_arena_take(arena, t->is_backward ? cells : 0, sizeof(float));
    s->row = fov_arena_take(arena, t->is_backward ? head_size : 0, sizeof(float));
    return arena->used;
}

fov_topk fov_topk_sizes(const fov_setting *setting, const fov_attention_size *size, bool backward) {
    fov_topk t = {.keep = (size_t)fov_setting_get(setting, "k"), .longest = size->longest, .is_backward = backward};
    const bool asked = (int)fov_setting_get(setting, "scores") == SCORES_INT8;
    t.cut = cut_of(t.keep, asked);
    t.is_coarse = asked && size->longest > t.cut && size->head_size <= FOV_I8_MOST; /* else all keys are candidates */
    if (!t.is_coarse) t.cut = t.keep;
    fov_arena shared = {0}, one = {0};
    if (t.is_coarse) t.shared = fov_topk_coarse_carve(&shared, &t.coarse, size->tokens, size->heads, size->head_size, t.cut);
    const size_t cut = fov_least(t.cut, size->longest);
    t.room = fov_least(fov_add(fov_mul(2, cut), FOV_TOPK_FREE), fov_add(size->longest, 1));
    size_t cells = fov_mul(FOV_TOPK_ROWS_LEAST, t.room);
    if (cells < FOV_TOPK_CELLS) cells = FOV_TOPK_CELLS;
    t.rows = fov_least(FOV_TOPK_ROWS, cells / t.room);
    fov_topk_scratch s;
    t.per_thread = carve(&one, &t, size->head_size, &s);
    return t;
}

/* Chunks so short that all threads have work to the end; results do not depend on them. */
static void shorten(fov_topk *t, size_t outputs, unsigned threads) {
    const size_t pairs = t->p->texts * t->p->heads;
    while (threads > 1 && t->rows > FOV_TOPK_BLOCK && pairs * ((outputs + t->rows - 1) / t->rows) < 4 * (size_t)threads)
        t->rows -= FOV_TOPK_BLOCK;
    t->chunks = (outputs + t->rows - 1) / t->rows;
}

fov_topk fov_topk_of(const fov_attention_run *run, const fov_attention *p, bool backward) {
    const size_t longest = fov_longest(p->k_offsets, p->texts), outputs = fov_longest(p->y_offsets, p->texts);
    const size_t tokens = p->texts ? p->k_offsets[p->texts] - p->k_offsets[0] : 0;
    const fov_attention_size size = {
        .longest = longest, .texts = p->texts, .tokens = tokens, .heads = p->heads, .head_size = p->head_size};
    fov_topk t = fov_topk_sizes(run->setting, &size, backward);
    t.run = run;
    t.p = p;
    shorten(&t, outputs, run->threads);
    fov_arena arena = {(unsigned char *)run->scratch, 0, t.shared, false};
    if (t.is_coarse) fov_topk_coarse_carve(&arena, &t.coarse, tokens, p->heads, p->head_size, t.cut);
    return t;
}

fov_topk_scratch fov_topk_scratch_of(const fov_topk *t, size_t number) {
    fov_topk_scratch s;
    fov_arena arena = {(unsigned char *)t->run->scratch + t->shared + number * t->per_thread, 0, t->per_thread, false};
    carve(&arena, t, t->p->head_size, &s);
    return s;
}

fov_topk_view fov_topk_view_of(const fov_topk *t, size_t text, size_t head) {
    const fov_attention *p = t->p;
    const size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = p->head_size;
    fov_topk_view h = {.queries = p->q_offsets[text + 1] - q,
                       .keys = p->k_offsets[text + 1] - k,
                       .outputs = p->y_offsets[text + 1] - y,
                       .first_query = q,
                       .q_start = fov_attention_start(p->q_strides, text, q, p->ldq, head, d),
                       .k_start = fov_attention_start(p->k_strides, text, k, p->ldk, head, d),
                       .v_start = fov_attention_start(p->v_strides, text, k, p->ldv, head, d),
                       .y_start = fov_attention_start(p->y_strides, text, y, p->ldy, head, d),
                       .y_query = p->y_query ? p->y_query + y : NULL,
                       .mask = p->key_mask ? p->key_mask + k : NULL};
    h.q = p->q ? p->q + h.q_start : NULL;
    h.k = p->k ? p->k + h.k_start : NULL;
    h.v = p->v ? p->v + h.v_start : NULL;
    h.y = p->y ? p->y + h.y_start : NULL;
    h.is_coarse = t->is_coarse && h.keys > t->cut;
    h.cut = h.is_coarse ? t->cut : t->keep;
    if (!h.is_coarse) return h;
    const size_t panel = head * t->coarse.panels + fov_topk_coarse_panel(t, text);
    h.w8 = t->coarse.w + panel * FOV_PANEL * t->coarse.depth;
    h.key_scale = t->coarse.scale + panel * FOV_PANEL;
    h.key_shift = t->coarse.shift + panel * FOV_PANEL;
    return h;
}
