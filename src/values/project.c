/* project.c: see project.h. */
#include "values/project.h"

#include <math.h>

#include "core/status.h"
#include "core/threads.h"

fov_status fov_value_need_profile(const fov_value_weights *weights, const fov_setting *setting, fov_error *error) {
    if (weights->profile) return FOV_OK;
    return fov_fail(error, FOV_ERR_UNSUPPORTED, setting->info->name,
                    "value estimator '%s' needs the model's calibration profile: make one with 'foveate calibrate'",
                    setting->info->name);
}

fov_values_size fov_value_size(const fov_values_run *run, const fov_values *problem) {
    const fov_value_weights *w = run->weights;
    const size_t *offsets = problem->offsets;
    return (fov_values_size){.tokens = offsets[problem->texts] - offsets[0],
                             .texts = problem->texts,
                             .longest = fov_longest(offsets, problem->texts),
                             .width = w->width,
                             .heads = w->heads,
                             .head_size = w->head_size,
                             .threads = run->threads};
}

void fov_value_mean(const fov_value_weights *w, size_t head, double *bias) {
    for (size_t c = 0; c < w->head_size; c++) {
        double sum = w->bias ? (double)w->bias[head * w->head_size + c] : 0;
        for (size_t i = 0; i < w->width; i++) sum += (double)w->profile->mean[i] * (double)fov_value_weight(w, head, i, c);
        bias[c] = sum;
    }
}

fov_value_center fov_value_center_of(const fov_value_profile *profile, size_t width, float *mean) {
    double trace = 0;
    for (size_t i = 0; i < width; i++) {
        mean[i] = profile->mean[i];
        trace += fov_profile_variance(profile, i);
    }
    return (fov_value_center){mean, trace > 0 ? (float)(1 / trace) : 0};
}

enum { ROWS = 64, LANES = 8 };

typedef struct job {
    const fov_value_center *center;
    const fov_values *problem;
    size_t first, rows, width;
    float *distance;
} job;

static void distance_task(void *context, size_t index, unsigned thread) {
    (void)thread;
    const job *j = context;
    const float *mean = j->center->mean;
    const size_t begin = index * ROWS, end = begin + ROWS < j->rows ? begin + ROWS : j->rows;
    for (size_t r = begin; r < end; r++) {
        const float *x = j->problem->x + (j->first + r) * j->problem->ldx;
        float sum[LANES] = {0}, total = 0;
        size_t i = 0;
        for (; i + LANES <= j->width; i += LANES)
            for (size_t l = 0; l < LANES; l++) sum[l] += (x[i + l] - mean[i + l]) * (x[i + l] - mean[i + l]);
        for (; i < j->width; i++) total += (x[i] - mean[i]) * (x[i] - mean[i]);
        for (size_t l = 0; l < LANES; l++) total += sum[l];
        j->distance[r] = total * j->center->inverse;
    }
}

void fov_value_distances(const fov_value_center *center, const fov_values *problem, size_t width, unsigned threads,
                         float *distance) {
    const size_t first = problem->offsets[0], rows = problem->offsets[problem->texts] - first;
    job j = {center, problem, first, rows, width, distance};
    fov_parallel(threads, (rows + ROWS - 1) / ROWS, distance_task, &j);
}

float fov_value_rows_scale(const fov_values *problem, size_t text) {
    const size_t *offsets = problem->offsets, *q = problem->q_offsets;
    if (!q || q[text + 1] == q[text]) return 1;
    return (float)(offsets[text + 1] - offsets[text]) / (float)(q[text + 1] - q[text]);
}

/* Level by level over a block of tokens, so that the compiler makes vectors of it. */
void fov_value_choose(const float *slope, const float *price, size_t levels, const float *s, size_t n, uint32_t *choice) {
    enum { BLOCK = 64 };
    for (size_t first = 0; first < n; first += BLOCK, s += BLOCK, choice += BLOCK) {
        const size_t count = n - first < BLOCK ? n - first : BLOCK;
        float least[BLOCK];
        for (size_t i = 0; i < count; i++) {
            least[i] = price[levels];
            choice[i] = (uint32_t)levels;
        }
        for (size_t l = levels; l-- > 0;) {
            const float rise = slope[l], base = price[l];
            for (size_t i = 0; i < count; i++) {
                const float loss = s[i] * rise + base;
                const bool better = loss < least[i];
                least[i] = better ? loss : least[i];
                choice[i] = better ? (uint32_t)l : choice[i];
            }
        }
    }
}

double fov_value_error_share(const float *errors, size_t heads, size_t levels, size_t level) {
    if (!errors) return NAN;
    double sum = 0, whole = 0;
    for (size_t h = 0; h < heads; h++) {
        sum += (double)errors[h * levels + level];
        whole += (double)errors[h * levels];
    }
    return whole > 0 ? sum / whole : 0;
}
