/* gemm.c: see gemm.h. A task is a block of rows times a run of panels. Every gemm of a call is cut in the same number of tasks (the
 * most any needs; the rest are empty), so a task number gives its gemm by one division and nothing is allocated. */
#include "kernels/gemm.h"

#include "core/threads.h"
#include "kernels/tile.h"

enum {
    ROWS_LEAST = 56,          /* of a task, where the panels can be split instead: W is read again for every block of rows */
    PANELS_LEAST = 6,         /* of a task, unless threads would idle: packing X costs about a third of a panel */
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

/* As few tasks as keep all threads busy to the end, rows first: X is packed once per task. Block counts are multiples of the
 * threads that share the gemm, so that equal threads end together. */
static cut cut_of(const job *j, const fov_gemm *g) {
    const size_t panels = fov_panels(g->m);
    if (!g->n || !panels) return (cut){0, 0};
    const size_t threads = (j->threads + j->count - 1) / j->count; /* for this gemm */
    size_t most = fov_block_rows(j->kernels->gemm_rows[g->type], j->kernels->gemm_mr[g->type], fov_words(g->type, g->k));
    if (most < FOV_GEMM_ROWS / 2) most = FOV_GEMM_ROWS; /* K is long: block.c packs it in parts */
    size_t rows = (g->n + most - 1) / most;
    if (threads <= 1) return (cut){rows, 1};
    const size_t even = (rows + threads - 1) / threads * threads;
    if (g->n / even >= ROWS_LEAST) return (cut){even, 1};
    const size_t split = g->n / ROWS_LEAST;
    if (split > rows) rows = split < threads ? split : threads;
    size_t columns = (threads + rows - 1) / rows;
    if (columns > panels) columns = panels;
    while (columns * 2 * PANELS_LEAST <= panels && rows * columns < 2 * threads) columns *= 2;
    return (cut){rows, columns};
}

static void run_task(void *context, size_t index, unsigned thread) {
    const job *j = context;
    const fov_gemm *g = &j->gemms[index % j->count];
    const size_t part = index / j->count;
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
