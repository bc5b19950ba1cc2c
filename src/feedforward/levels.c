/* levels.c: see levels.h. The rows of a block that chose the same level are a gemm up and a gemm down; all groups of a block run as
 * one pool of tasks, the largest level first. Level m reads the first m units of one packed matrix, so a cheaper level walks a
 * prefix of what a dearer one walks. The layer itself runs on the model's own weights: bit for bit the exact method's row. */
#include "feedforward/levels.h"

#include <math.h>

#include "core/status.h"

enum {
    BLOCK = 12 * FOV_GEMM_ROWS, /* rows whose hidden activations are held: enough that each level has a gemm worth the name */
    GROUPS = FOV_FFN_LEVELS + 1
};

fov_status fov_ffn_need_profile(const fov_setting *setting, const fov_ffn_profile *profile, fov_error *error) {
    if (profile) return FOV_OK;
    return fov_fail(error, FOV_ERR_UNSUPPORTED, setting->info->name,
                    "feed-forward method '%s' needs a calibration profile with fits of the feed-forward layers: make one with "
                    "'foveate calibrate'",
                    setting->info->name);
}

bool fov_ffn_levels_certify(const fov_ffn_profile *p, size_t level, fov_certificate *c) {
    if (level >= p->levels) return false;
    const double energy = (double)*p->energy;
    *c = (fov_certificate){p->level[level], NAN, energy > 0 ? (double)p->error[level] / energy : 0};
    return true;
}

/* ---- tables ---- */

static bool wanted(const fov_ffn_levels *t, size_t only, size_t l) {
    return only >= t->levels || l == only;
}

static size_t carve_tables(fov_arena *arena, fov_ffn_levels *t, const fov_ffn_weights *w, size_t only) {
    const size_t top = t->level[only < t->levels ? only : t->levels - 1], width = w->up.k;
    t->up = fov_linear_take(arena, top, width, w->up.type);
    for (size_t l = 0; l < t->levels; l++)
        if (wanted(t, only, l)) t->down[l] = fov_linear_take(arena, width, t->level[l], w->down.type);
    return arena->used;
}

/* The units' rows of W1 and b1, in order. rows: [top][width]; words: of fov_pack_type. */
static void bind_up(const fov_ffn_levels *t, const fov_ffn_weights *w, const fov_ffn_profile *p, const fov_kernels *kernels,
                    float *rows, float *words) {
    const fov_linear *up = &w->up;
    for (size_t i = 0; i < t->up.m; i++) {
        const size_t unit = p->order[i];
        t->up.bias[i] = up->bias ? up->bias[unit] : 0;
        for (size_t k = 0; k < up->k; k++) rows[i * up->k + k] = fov_packed_at(up->type, up->w, up->scale, up->k, unit, k);
    }
    fov_linear_pack(kernels, rows, &t->up, words);
}

static void bind_down(const fov_ffn_levels *t, const fov_ffn_profile *p, const fov_kernels *kernels, size_t only, float *words) {
    const float *weight = p->weight;
    for (size_t l = 0; l < t->levels; l++) {
        const fov_linear *d = &t->down[l];
        const size_t m = t->level[l];
        if (wanted(t, only, l)) {
            for (size_t c = 0; c < d->m; c++) d->bias[c] = p->bias[l * d->m + c];
            fov_linear_pack(kernels, weight, d, words);
        }
        weight += m * t->up.k;
    }
}

fov_status fov_ffn_levels_bind(const fov_setting *setting, const fov_ffn_weights *w, const fov_ffn_profile *p, size_t only,
                               const fov_allocator *allocator, void **bound, fov_error *error) {
    fov_status status = fov_ffn_need_profile(setting, p, error);
    if (status) return status;
    const fov_kernels *kernels = fov_kernels_get(error);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    fov_ffn_levels t = {.levels = p->levels};
    for (size_t l = 0; l < p->levels; l++) {
        t.level[l] = p->level[l];
        t.loss[l] = *p->energy > 0 ? p->error[l] / *p->energy : 0;
    }
    t.level[p->levels] = w->up.m;
    fov_arena arena = {0}, spare = {0};
    fov_arena_take(&arena, 1, sizeof t);
    const size_t bytes = carve_tables(&arena, &t, w, only), longest = w->up.k > t.up.m ? w->up.k : t.up.m;
    fov_arena_take(&spare, fov_mul(FOV_PANEL, longest), sizeof(float));
    fov_arena_take(&spare, fov_mul(t.up.m, w->up.k), sizeof(float));
    void *block;
    status = fov_alloc_both(allocator, bytes, spare.used, bound, &block);
    if (status) return status;
    arena = (fov_arena){*bound, 0, bytes, false};
    spare = (fov_arena){block, 0, spare.used, false};
    fov_ffn_levels *kept = fov_arena_take(&arena, 1, sizeof *kept);
    carve_tables(&arena, &t, w, only);
    float *words = fov_arena_take(&spare, FOV_PANEL * longest, sizeof(float));
    float *rows = fov_arena_take(&spare, t.up.m * w->up.k, sizeof(float));
    bind_up(&t, w, p, kernels, rows, words);
    bind_down(&t, p, kernels, only, words);
    *kept = t;
    fov_release(allocator, block);
    return FOV_OK;
}

/* ---- running ---- */

typedef struct plan {
    uint8_t *choice; /* [n] */
    uint32_t *rows;  /* [BLOCK] grouped by level */
    float *hidden;   /* group by group [rows of the level][units of the level] */
} plan;

static size_t carve_plan(fov_arena *arena, size_t n, size_t hidden, plan *s) {
    const size_t rows = n < BLOCK ? n : BLOCK;
    s->choice = fov_arena_take(arena, n, sizeof *s->choice);
    s->rows = fov_arena_take(arena, rows, sizeof *s->rows);
    s->hidden = fov_arena_take(arena, fov_mul(rows, hidden), sizeof *s->hidden);
    return arena->used;
}

static plan plan_of(const fov_ffn_run *run, const fov_ffn *p) {
    plan s;
    fov_arena arena = {run->scratch, 0, SIZE_MAX, false};
    carve_plan(&arena, p->n, run->weights->up.m, &s);
    return s;
}

size_t fov_ffn_levels_workspace(size_t rows, size_t hidden) {
    plan s;
    fov_arena arena = {0};
    return carve_plan(&arena, rows, hidden, &s);
}

uint8_t *fov_ffn_levels_choice(const fov_ffn_run *run, const fov_ffn *p) {
    return plan_of(run, p).choice;
}

/* The two gemms of n rows at level l. */
static void make_group(const fov_ffn_run *run, const fov_ffn *p, const fov_ffn_levels *t, size_t l, const uint32_t *rows, size_t n,
                       float *hidden, fov_gemm *up, fov_gemm *down) {
    const fov_ffn_weights *w = run->weights;
    const size_t units = t->level[l];
    *up = fov_linear_gemm(l == t->levels ? &w->up : &t->up);
    *down = fov_linear_gemm(l == t->levels ? &w->down : &t->down[l]);
    up->n = down->n = n;
    up->m = up->ldy = units;
    up->x = p->x;
    up->x_rows = rows;
    up->act = w->activation;
    up->y = hidden;
    down->x = hidden;
    down->residual = p->x;
    down->ldr = w->up.k;
    down->y = p->y;
    down->y_rows = rows;
    fov_gemm_chain(run->kernels, up, down);
    *run->multiply_adds += 2.0 * (double)n * (double)w->up.k * (double)units;
}

static void run_block(const fov_ffn_run *run, const fov_ffn *p, const fov_ffn_levels *t, const plan *s, size_t first, size_t n) {
    size_t count[GROUPS] = {0}, start[GROUPS] = {0}, groups = 0, row = 0;
    fov_gemm up[GROUPS], down[GROUPS];
    float *hidden = s->hidden;
    for (size_t i = first; i < first + n; i++) count[s->choice[i]]++;
    for (size_t l = t->levels + 1; l-- > 0;) {
        start[l] = row;
        if (!count[l]) continue;
        make_group(run, p, t, l, s->rows + row, count[l], hidden, &up[groups], &down[groups]);
        hidden += count[l] * t->level[l];
        row += count[l];
        groups++;
    }
    for (size_t i = first; i < first + n; i++) s->rows[start[s->choice[i]]++] = (uint32_t)i;
    fov_gemm_run_all(run->kernels, up, groups, run->threads, run->gemm_scratch);
    fov_gemm_run_all(run->kernels, down, groups, run->threads, run->gemm_scratch);
}

void fov_ffn_levels_run(const fov_ffn_run *run, const fov_ffn *p, const fov_ffn_levels *t) {
    const plan s = plan_of(run, p);
    for (size_t i = 0; i < p->n; i += BLOCK) run_block(run, p, t, &s, i, p->n - i < BLOCK ? p->n - i : BLOCK);
}
