/* fastmax_stream.c: causal Fastmax one position at a time (arXiv 2402.07901, causal form): the moments of fastmax_moments.c stand
 * for all keys but the latest, at most `block` - 1 of them, which are held back as rows and join the moments together. A step reads
 * the moments and the pairs of what is held, as a row of the causal batch form does, so that sums are grouped alike: long streams
 * round as blocks do, not as one chain of additions. */
#include "attention/fastmax_stream.h"

#include <string.h>

#include "attention/fastmax.h"

struct fov_fastmax_state {
    fov_fastmax_task task; /* scratch of one head */
    size_t heads, held;    /* positions held back */
    double factor;         /* of the scores */
    float *m, *z;          /* [heads] moments, each of m_floats and F */
    float *keys, *values;  /* [heads][block][D] held back; keys normalised */
    size_t m_floats;
};

bool fov_fastmax_streams(const fov_setting *setting) {
    return (int)fov_setting_get(setting, "normalize") != FOV_FASTMAX_L2MAX;
}

/* Scratch of one row of queries and one block of keys. */
static void carve_scratch(fov_arena *arena, const fov_fastmax *f, fov_fastmax_scratch *s, fov_fastmax_keys **keys) {
    const size_t d = f->d, by_keys = fov_mul(FOV_FASTMAX_FEATURES, f->block);
    *keys = fov_arena_take(arena, 1, sizeof **keys);
    float *packed_k = fov_arena_take(arena, fov_packed_size(f->block, d), sizeof(float));
    float *packed_v = fov_arena_take(arena, fov_packed_size(d, f->block), sizeof(float));
    s->rows.q = fov_arena_take(arena, d, sizeof(float));
    s->rows.sums = fov_arena_take(arena, d, sizeof(float));
    s->rows.g = fov_arena_take(arena, 1, sizeof(float));
    s->rows.seen = fov_arena_take(arena, 1, sizeof(float));
    s->rows.n = 1;
    s->features = fov_arena_take(arena, f->features > by_keys ? f->features : by_keys, sizeof(float));
    s->transposed = fov_arena_take(arena, fov_mul(d, f->block), sizeof(float));
    s->scores = fov_arena_take(arena, f->block, sizeof(float));
    s->packed_x = fov_arena_take(arena, fov_packed_size(d, f->block > d ? f->block : d), sizeof(float));
    s->gram = fov_arena_take(arena, fov_mul(d, d), sizeof(float));
    s->products = fov_arena_take(arena, d, sizeof(float));
    s->gemm = fov_arena_take(arena, fov_gemm_scratch(), sizeof(float));
    if (*keys) **keys = (fov_fastmax_keys){.packed_k = packed_k, .packed_v = packed_v};
}

/* Checked: head sizes come from outside. */
static size_t packed_floats(size_t m, size_t k) {
    return fov_mul(fov_mul(fov_add(m, FOV_PANEL - 1) / FOV_PANEL, FOV_PANEL), k);
}

static size_t carve(fov_arena *arena, const fov_fastmax *f, size_t heads, fov_fastmax_state *s) {
    const size_t held = fov_mul(heads, fov_mul(f->block, f->d));
    s->m_floats = packed_floats(f->d, f->features);
    s->m = fov_arena_take(arena, fov_mul(heads, s->m_floats), sizeof(float));
    s->z = fov_arena_take(arena, fov_mul(heads, f->features), sizeof(float));
    s->keys = fov_arena_take(arena, held, sizeof(float));
    s->values = fov_arena_take(arena, held, sizeof(float));
    carve_scratch(arena, f, &s->task.s, &s->task.s.keys);
    return arena->used;
}

size_t fov_fastmax_state_bytes(const fov_setting *setting, size_t heads, size_t head_size) {
    const fov_fastmax f = fov_fastmax_of(setting, head_size);
    fov_fastmax_state s;
    fov_arena arena = {0};
    fov_arena_take(&arena, 1, sizeof s);
    return carve(&arena, &f, heads, &s);
}

fov_fastmax_state *fov_fastmax_state_make(const fov_setting *setting, const fov_kernels *kernels, size_t heads, size_t head_size,
                                          float scale, void *block, size_t bytes) {
    const fov_fastmax f = fov_fastmax_of(setting, head_size);
    fov_arena arena = {block, 0, bytes, false};
    fov_fastmax_state *s = fov_arena_take(&arena, 1, sizeof *s);
    *s = (fov_fastmax_state){.task = {.f = f, .kernels = kernels}, .heads = heads, .factor = (double)scale};
    carve(&arena, &f, heads, s);
    fov_fastmax_state_clear(s);
    return s;
}

void fov_fastmax_state_clear(fov_fastmax_state *s) {
    s->held = 0;
    memset(s->m, 0, s->heads * s->m_floats * sizeof *s->m);
    memset(s->z, 0, s->heads * s->task.f.features * sizeof *s->z);
}

/* y of one head: its keys are packed. */
static void read_head(fov_fastmax_state *s, const float *q, float *y) {
    fov_fastmax_task *t = &s->task;
    const fov_fastmax_rows *r = &t->s.rows;
    fov_fastmax_normalize(&t->f, q, 1, s->factor, r->q);
    memset(r->sums, 0, t->f.d * sizeof *r->sums);
    r->g[0] = r->seen[0] = 0;
    if (t->s.moments.z[0] > 0) fov_fastmax_read_moments(t);
    fov_fastmax_add_pairs(t, t->s.keys);
    const float by = 1 / fov_fastmax_guarded(r->g[0], r->seen[0]);
    for (size_t c = 0; c < t->f.d; c++) y[c] = r->sums[c] * by;
}

void fov_fastmax_state_step(fov_fastmax_state *s, const float *q, const float *k, const float *v, float *y) {
    fov_fastmax_task *t = &s->task;
    const fov_fastmax *f = &t->f;
    const size_t d = f->d, n = s->held + 1;
    const bool full = n == f->block;
    fov_fastmax_keys *keys = t->s.keys;
    keys->n = n;
    for (size_t h = 0; h < s->heads; h++) {
        t->s.moments = (fov_fastmax_moments){s->m + h * s->m_floats, s->z + h * f->features};
        keys->rows = s->keys + h * f->block * d;
        keys->values = s->values + h * f->block * d;
        fov_fastmax_normalize(f, k + h * d, 1, 1, keys->rows + s->held * d);
        memcpy(keys->values + s->held * d, v + h * d, d * sizeof *v);
        if (q) t->kernels->pack_t(keys->rows, d, n, d, keys->packed_k);
        if (q || full) t->kernels->pack_n(keys->values, d, n, d, keys->packed_v);
        if (q) read_head(s, q + h * d, y + h * d);
        if (full) fov_fastmax_moments_add(f, t->kernels, keys->rows, NULL, keys->packed_v, n, &t->s);
    }
    s->held = full ? 0 : n;
}
