/* gemm.c: see gemm.h. A task is a block of rows times a run of panels. Gemms of the same X are side by side, as if their outputs
 * were one wider: a thread packs X for all of them. Others are numbered as if all had as many blocks as the most (the rest are
 * empty), so that nothing is allocated, the panels of a block of rows one after the other. */
#include "kernels/gemm.h"

#include <math.h>

#include "core/memory.h"
#include "core/threads.h"
#include "kernels/tile.h"

enum {
    ROWS_LEAST = 56,          /* of a task, where the panels can be split instead: W is read again for every block of rows */
    PANELS_LEAST = 6,         /* of a task, unless threads would idle */
    TASKS_EACH = 6,           /* of a thread: the last are for those that end first */
    WORK_PARALLEL = 64 * 1024 /* multiply-adds below which waking a thread costs more than it gives */
};

typedef struct cut {
    size_t rows, panels; /* numbers of blocks */
} cut;

typedef struct job {
    const fov_kernels *kernels;
    const fov_gemm *gemms;
    size_t groups, members; /* gemms of a group are side by side */
    cut most;               /* of any group */
    double work;            /* multiply-adds of all */
    unsigned threads;
    float *scratch;
    size_t held[FOV_MAX_THREADS]; /* 1 + group + groups * block: the rows of X a thread's scratch holds packed */
} job;

static bool same_x(const fov_gemm *a, const fov_gemm *b) {
    return a->x == b->x && a->ldx == b->ldx && a->x_rows == b->x_rows && a->x_columns == b->x_columns && a->n == b->n &&
           a->k == b->k && a->type == b->type && a->x_bf16 == b->x_bf16;
}

static size_t panels_of(const job *j, size_t group) {
    size_t panels = 0;
    for (size_t i = 0; i < j->members; i++) panels += fov_panels(j->gemms[group * j->members + i].m);
    return panels;
}

static double work_of(const job *j, size_t group) {
    double work = 0;
    for (size_t i = 0; i < j->members; i++) {
        const fov_gemm *g = &j->gemms[group * j->members + i];
        work += (double)g->n * (double)g->m * (double)g->k;
    }
    return work;
}

/* Rows first: block counts are multiples of the threads, so that equal ones end together. Where a thread has few blocks, their
 * panels are cut too, for threads that another program slows: X stays packed from one task to the next. A group has its share of
 * the threads by its work. */
static cut cut_of(const job *j, size_t group) {
    const fov_gemm *g = &j->gemms[group * j->members];
    const size_t panels = panels_of(j, group);
    if (!g->n || !panels) return (cut){0, 0};
    size_t threads = j->threads;
    if (j->groups > 1 && threads > 1) threads = (size_t)ceil((double)threads * work_of(j, group) / j->work - 1e-9);
    const fov_tiles *tiles = j->kernels->tiles[g->type];
    size_t most = fov_block_rows(tiles->rows, tiles->mr, fov_words(g->type, g->k));
    if (most < FOV_GEMM_ROWS / 2) most = FOV_GEMM_ROWS; /* K is long: block.c packs it in parts */
    size_t rows = (g->n + most - 1) / most;
    if (threads <= 1) return (cut){rows, 1};
    const size_t even = (rows + threads - 1) / threads * threads;
    if (g->n / even >= ROWS_LEAST) {
        const size_t tasks = TASKS_EACH * threads / even, parts = fov_least(tasks, panels / PANELS_LEAST);
        return (cut){even, parts ? parts : 1};
    }
    const size_t split = g->n / ROWS_LEAST;
    if (split > rows) rows = split < threads ? split : threads;
    size_t columns = (threads + rows - 1) / rows;
    if (columns > panels) columns = panels;
    while (columns * 2 * PANELS_LEAST <= panels && rows * columns < 2 * threads) columns *= 2;
    return (cut){rows, columns};
}

static void run_task(void *context, size_t index, unsigned thread) {
    job *j = context;
    const size_t column = index % j->most.panels, group = index / j->most.panels % j->groups;
    const size_t row = index / j->most.panels / j->groups, panels = panels_of(j, group);
    const cut c = cut_of(j, group);
    if (row >= c.rows || column >= c.panels) return;
    size_t begin = column * panels / c.panels, end = (column + 1) * panels / c.panels;
    const size_t rows = 1 + group + j->groups * row;
    bool packed = j->held[thread] == rows;
    for (size_t i = 0; i < j->members && end; i++) {
        const fov_gemm *g = &j->gemms[group * j->members + i];
        const size_t here = fov_panels(g->m), stop = end < here ? end : here;
        packed = fov_gemm_block_run(j->kernels->tiles[g->type], g, row * g->n / c.rows, (row + 1) * g->n / c.rows, begin, stop,
                                    j->scratch + thread * fov_gemm_scratch(), packed);
        begin = begin > here ? begin - here : 0;
        end -= stop;
    }
    j->held[thread] = packed ? rows : 0;
}

void fov_gemm_run_all(const fov_kernels *kernels, const fov_gemm *gemms, size_t count, unsigned threads, float *scratch) {
    if (!count) return;
    size_t same = 1;
    while (same < count && same_x(&gemms[0], &gemms[same])) same++;
    job j = {.kernels = kernels, .gemms = gemms, .members = same == count ? count : 1, .scratch = scratch};
    j.groups = count / j.members;
    for (size_t i = 0; i < j.groups; i++) j.work += work_of(&j, i);
    j.threads = j.work < WORK_PARALLEL ? 1 : threads;
    for (size_t i = 0; i < j.groups; i++) {
        const cut c = cut_of(&j, i);
        if (c.rows > j.most.rows) j.most.rows = c.rows;
        if (c.panels > j.most.panels) j.most.panels = c.panels;
    }
    fov_parallel(j.threads, j.most.rows * j.groups * j.most.panels, run_task, &j);
}

void fov_gemm_run(const fov_kernels *kernels, const fov_gemm *gemm, unsigned threads, float *scratch) {
    fov_gemm_run_all(kernels, gemm, 1, threads, scratch);
}

void fov_gemm_chain(const fov_kernels *kernels, fov_gemm *first, fov_gemm *second) {
    first->y_bf16 = second->x_bf16 =
        first->type == FOV_TYPE_BF16 && second->type == FOV_TYPE_BF16 && kernels->tiles[FOV_TYPE_BF16]->stores_bf16;
}

fov_linear fov_linear_take(fov_arena *arena, size_t m, size_t k, fov_type type) {
    if (!k) type = FOV_TYPE_F32; /* its bias alone: nothing is multiplied, or rounded */
    fov_linear l = {.m = m, .k = k, .type = type};
    l.w = fov_arena_take(arena, fov_packed_size(m, fov_words(type, k)), sizeof *l.w);
    l.bias = fov_arena_take(arena, m, sizeof *l.bias);
    if (type != FOV_TYPE_INT8) return l;
    l.scale = fov_arena_take(arena, m, sizeof *l.scale);
    l.sum = fov_arena_take(arena, m, sizeof *l.sum);
    return l;
}

void fov_linear_pack(const fov_kernels *kernels, const float *rows, const fov_linear *to, float *words) {
    fov_pack_type(kernels, to->type, rows, to->k, to->m, to->k, to->w, to->scale, to->sum, words);
}
