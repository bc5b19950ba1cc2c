/* gemm.c: see gemm.h. A task is a block of rows times a run of panels. Every gemm of a call is cut in the same number of tasks (the
 * most any needs; the rest are empty), so a task number gives its gemm by one division and nothing is allocated. */
#include "kernels/gemm.h"

#include "core/threads.h"

enum {
    TASKS_PER_THREAD = 4,   /* of a whole call: evens out threads that the system disturbs */
    TASK_LEAST = 256 * 1024 /* multiply-adds below which a task is not cut further, unless threads would idle */
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
    const size_t rows = (g->n + FOV_GEMM_ROWS - 1) / FOV_GEMM_ROWS;
    if (j->threads <= 1) return (cut){rows, 1};
    const size_t threads = j->threads, wanted = (TASKS_PER_THREAD * threads + j->count - 1) / j->count;
    const size_t work = g->n * g->m * (g->k ? g->k : 1) / TASK_LEAST + 1; /* as many tasks as are worth their start */
    const size_t idle = (threads + j->count - 1) / j->count;              /* fewer tasks leave threads idle */
    size_t tasks = wanted < work ? wanted : work;
    if (tasks < idle) tasks = idle;
    size_t columns = (tasks + rows - 1) / rows;
    if (columns > panels) columns = panels;
    return (cut){rows, columns};
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
