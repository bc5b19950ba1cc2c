/* machine.c: the machine, its peak, and the table of methods. */
#include <stdio.h>
#include <string.h>

#include "attention/attention.h"
#include "core/clock.h"
#include "core/cpu.h"
#include "core/threads.h"
#include "feedforward/feedforward.h"
#include "kernels/kernels.h"
#include "values/values.h"

fov_status fov_machine_query(fov_machine *machine, fov_error *error) {
    const fov_kernels *kernels = fov_kernels_get(error);
    if (!kernels) return FOV_ERR_UNSUPPORTED;
    memset(machine, 0, sizeof *machine);
    snprintf(machine->cpu, sizeof machine->cpu, "%s", fov_cpu_get()->name);
    fov_cpu_features(fov_cpu_get(), machine->features, sizeof machine->features);
    machine->tier = kernels->name;
    machine->threads = fov_threads_default();
    return FOV_OK;
}

typedef struct peak_job {
    const fov_kernels *kernels;
    uint64_t iterations;
    float sink[FOV_MAX_THREADS];
} peak_job;

static void peak_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    peak_job *job = context;
    uint64_t flops;
    job->sink[index] = job->kernels->fma_loop[FOV_TYPE_F32](job->iterations, &flops);
}

static double seconds_of(peak_job *job, unsigned threads) {
    double start = fov_seconds();
    fov_parallel(threads, threads, peak_task, job);
    return fov_seconds() - start;
}

double fov_machine_peak_f32(unsigned threads, double seconds) {
    peak_job job = {.kernels = fov_kernels_get(NULL), .iterations = 1 << 16};
    if (!job.kernels) return 0;
    if (!threads || threads > FOV_MAX_THREADS) threads = fov_threads_default();
    if (!(seconds > 0)) seconds = .2;
    uint64_t flops;
    job.kernels->fma_loop[FOV_TYPE_F32](1, &flops);
    seconds_of(&job, threads); /* threads start, clocks rise */
    double once = seconds_of(&job, threads), best = 0;
    job.iterations = (uint64_t)((double)job.iterations * seconds / (5 * (once > 1e-9 ? once : 1e-9))) + 1;
    for (int i = 0; i < 5; i++) {
        double rate = (double)threads * (double)job.iterations * (double)flops / seconds_of(&job, threads);
        if (rate > best) best = rate;
    }
    return best;
}

const fov_method_info *fov_method_at(fov_place place, size_t index) {
    const fov_method_info *const *(*const rooms[])(size_t *) = {fov_attention_infos, fov_values_infos, fov_ffn_infos};
    size_t count = 0;
    if ((unsigned)place >= sizeof rooms / sizeof *rooms) return NULL;
    const fov_method_info *const *infos = rooms[place](&count);
    return index < count ? infos[index] : NULL;
}
