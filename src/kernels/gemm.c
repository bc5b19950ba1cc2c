/* gemm.c: see gemm.h. A task is a block of rows times a run of panels. Every gemm of a call is cut in the same number of tasks (the
 * most any needs; the rest are empty), so a task number gives its gemm by one division and nothing is allocated. */
#include "kernels/gemm.h"

#include "core/threads.h"
#include "kernels/tile.h"

enum {
    TASKS_PER_THREAD = 4,     /* of a whole call, when there is enough to do: evens out threads that the system disturbs */
    PANELS_LEAST = 6,         /* of a task, unless threads would idle: packing X costs about a third of a panel */
    ROWS_FEW = 4,             /* up to here a call is bound by reading W: one run of panels for each thread */
    WORK_PARALLEL = 64 * 1024 /* multiply-adds below which waking a thread costs more than it gives */
};

typedef struct cut {
    size_t rows, panels; /* numbers of blocks */
} cut;

typedef struct job {
    const fov_kernels *kernels;
    const fov_gemm *gemms;
    size_t count, tasks; /* tasks of each gemm */
    unsigned threads;
    float *scratch;
} job;

static cut cut_of(const job *j, const fov_gemm *g) {
    const size_t panels = fov_panels(g->m);
    if (!g->n || !panels) return (cut){0, 0};
    const size_t rows = (g->n + FOV_GEMM_ROWS - 1) / FOV_GEMM_ROWS, blocks = rows * panels;
    if (j->threads <= 1) return (cut){rows, 1};
    const size_t per_thread = g->n <= ROWS_FEW ? 1 : 2, threads = j->threads;
    const size_t wanted = (TASKS_PER_THREAD * threads + j->count - 1) / j->count;
    const size_t needed = (per_thread * threads + j->count - 1) / j->count;
    size_t chunk = g->n <= ROWS_FEW ? panels : blocks / wanted;
    if (chunk < PANELS_LEAST) chunk = PANELS_LEAST;
    if (chunk > FOV_TILE_GROUP && g->n > ROWS_FEW) chunk = FOV_TILE_GROUP;
    if (rows * ((panels + chunk - 1) / chunk) < needed) chunk = (blocks + needed - 1) / needed;
    return (cut){rows, (panels + chunk - 1) / chunk};
}

static void run_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_gemm *g = &j->gemms[index / j->tasks];
    const size_t part = index % j->tasks;
    const cut c = cut_of(j, g);
    if (part >= c.rows * c.panels) return;
    const size_t row = part / c.panels, column = part % c.panels, panels = fov_panels(g->m);
    j->kernels->gemm_block(g, row * g->n / c.rows, (row + 1) * g->n / c.rows, column * panels / c.panels,
                           (column + 1) * panels / c.panels, j->scratch + thread * fov_gemm_scratch());
}

void fov_gemm_run_all(const fov_kernels *kernels, const fov_gemm *gemms, size_t count, unsigned threads, float *scratch) {
    size_t work = 0;
    for (size_t i = 0; i < count && work < WORK_PARALLEL; i++) work += gemms[i].n * gemms[i].m * gemms[i].k;
    if (work < WORK_PARALLEL) threads = 1;
    job j = {kernels, gemms, count, 0, threads, scratch};
    for (size_t i = 0; i < count; i++) {
        const cut c = cut_of(&j, &gemms[i]);
        if (c.rows * c.panels > j.tasks) j.tasks = c.rows * c.panels;
    }
    fov_parallel(threads, count * j.tasks, run_task, &j);
}

void fov_gemm_run(const fov_kernels *kernels, const fov_gemm *gemm, unsigned threads, float *scratch) {
    fov_gemm_run_all(kernels, gemm, 1, threads, scratch);
}
