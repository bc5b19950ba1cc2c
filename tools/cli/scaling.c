/* scaling.c: forward passes of every attention method on one text of T tokens, T doubling; slopes and break-even lengths from them.
 * Q, K and V are normal: scores of variance 1, so attention is spread widely, the hardest case of methods that pick keys. */
#include "scaling.h"
#include "progress.h"
#include "report.h"

#include "foveate/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static float normal(uint64_t *state) { /* Box and Muller; splitmix64 below */
    double u[2];
    for (size_t i = 0; i < 2; i++) {
        uint64_t x = *state += 0x9E3779B97F4A7C15u;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
        u[i] = ((double)((x ^ (x >> 31)) >> 11) + .5) * 0x1p-53;
    }
    return (float)(sqrt(-2 * log(u[0])) * cos(6.283185307179586 * u[1]));
}

/* Whether two method strings name one method. */
static bool same_name(const char *a, const char *b) {
    const size_t size = strcspn(a, ":");
    return size == strcspn(b, ":") && !memcmp(a, b, size);
}

static int add_methods(scaling *s, const char *const *methods, size_t count) {
    const fov_method_info *info;
    size_t known = 0, room;
    while (fov_method_at(FOV_PLACE_ATTENTION, known)) known++;
    room = 1 + (count ? count : known);
    s->methods = calloc(room, sizeof *s->methods);
    if (!s->methods) return complain_memory();
    s->methods[s->count++].text = "dense";
    for (size_t i = 0; i < (count ? count : known); i++) {
        info = fov_method_at(FOV_PLACE_ATTENTION, i);
        const char *text = count ? methods[i] : info->name;
        if (!count && info->flags & FOV_METHOD_MODEL) continue; /* there is no model here */
        if (strcmp(text, "dense")) s->methods[s->count++].text = text;
    }
    for (size_t m = 0; m < s->count; m++)
        for (size_t i = 0; (info = fov_method_at(FOV_PLACE_ATTENTION, i)); i++)
            if (same_name(info->name, s->methods[m].text)) s->methods[m].flags = info->flags;
    for (size_t m = 0; m < s->count; m++) {
        const unsigned flags = s->methods[m].flags;
        size_t of = flags & FOV_METHOD_EXACT_LIMIT ? 0 : m;
        for (size_t i = 1; i < m && of == m; i++)
            if (flags & FOV_METHOD_RANDOM && same_name(s->methods[i].text, s->methods[m].text)) of = i;
        s->methods[m].reference = of;
        s->methods[of].is_reference = true;
    }
    return 0;
}

static fov_attention_problem problem_of(const scaling *s, size_t method, size_t length) {
    return (fov_attention_problem){.method = s->methods[method].text,
                                   .texts = 1,
                                   .heads = s->heads,
                                   .head_size = s->head_size,
                                   .queries = length,
                                   .keys = length,
                                   .q = s->q,
                                   .k = s->k,
                                   .v = s->v,
                                   .y = s->methods[method].y ? s->methods[method].y : s->y,
                                   .threads = s->threads,
                                   .seed = s->seed};
}

int scaling_open(scaling *s, const char *const *methods, size_t count) {
    fov_error error;
    if (fov_machine_query(&s->machine, &error)) return complain_api(EXIT_FAILED, &error);
    if (!s->threads) s->threads = s->machine.threads;
    for (size_t length = SCALING_FIRST; length <= s->longest && s->lengths < SCALING_LENGTHS; length *= 2) s->lengths++;
    if (!s->lengths) return complain(EXIT_USAGE, "--max-length: lengths begin at %d: give at least that", SCALING_FIRST);
    int code = add_methods(s, methods, count);
    for (size_t m = 0; m < s->count && !code; m++) { /* what is misspelt is told before anything runs */
        fov_attention_problem p = problem_of(s, m, SCALING_FIRST);
        size_t bytes;
        if (fov_attention_workspace(&p, &bytes, &error)) code = complain_api(EXIT_USAGE, &error);
    }
    if (code) return code;
    const size_t floats = ((size_t)SCALING_FIRST << (s->lengths - 1)) * s->heads * s->head_size;
    float **all[] = {&s->q, &s->k, &s->v, &s->y};
    uint64_t state = s->seed;
    for (size_t i = 0; i < 4; i++) {
        *all[i] = calloc(floats, sizeof(float));
        if (!*all[i]) return complain_memory();
        for (size_t j = 0; i < 3 && j < floats; j++) (*all[i])[j] = normal(&state);
    }
    for (size_t m = 0; m < s->count; m++)
        if (s->methods[m].is_reference && !(s->methods[m].y = calloc(floats, sizeof(float)))) return complain_memory();
    return 0;
}

static double relative_error(const scaling *s, size_t method, size_t length) {
    const scaling_method *m = &s->methods[method];
    const float *exact = s->methods[m->reference].y, *y = m->y ? m->y : s->y;
    double apart = 0, size = 0;
    for (size_t i = 0; i < length * s->heads * s->head_size; i++) {
        const double want = (double)exact[i], off = (double)y[i] - want;
        apart += off * off;
        size += want * want;
    }
    return sqrt(apart / size);
}

static double processor_now(void) {
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) ? NAN : (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Least of at most five passes, until half a second is spent. */
static int measure(scaling *s, size_t method, size_t at, void *workspace, size_t bytes) {
    const fov_attention_problem p = problem_of(s, method, (size_t)SCALING_FIRST << at);
    scaling_point *point = &s->methods[method].points[at];
    fov_error error;
    double spent = 0;
    point->seconds = point->processor = INFINITY;
    for (size_t i = 0; i < 5 && (i < 2 || spent < .5) && spent < 10; i++) {
        const double start = seconds_now(), begun = processor_now();
        if (fov_attention_forward(&p, workspace, bytes, &error)) return complain_api(EXIT_FAILED, &error);
        const double seconds = seconds_now() - start, processor = processor_now() - begun;
        spent += seconds;
        if (seconds < point->seconds) point->seconds = seconds;
        if (processor < point->processor) point->processor = processor;
    }
    point->measured = true;
    point->workspace = bytes;
    const size_t of = s->methods[method].reference;
    const bool comparable = of != method && s->methods[of].points[at].measured;
    point->error = comparable ? relative_error(s, method, (size_t)SCALING_FIRST << at) : NAN;
    return 0;
}

static int attempt(scaling *s, size_t method, size_t at) {
    scaling_method *m = &s->methods[method];
    if (m->stopped) return 0;
    m->stopped_at = (size_t)SCALING_FIRST << at;
    if (!method && s->exact_length && m->stopped_at > s->exact_length)
        m->stopped = "--exact-length says so";
    else if (at && 4 * m->points[at - 1].seconds > s->limit) /* twice the length takes at most about four times as long */
        m->stopped = "a pass could take longer than --time-limit";
    if (m->stopped) return 0;
    const fov_attention_problem p = problem_of(s, method, (size_t)SCALING_FIRST << at);
    fov_error error;
    size_t bytes;
    if (fov_attention_workspace(&p, &bytes, &error)) return complain_api(EXIT_FAILED, &error);
    void *workspace = bytes < SIZE_MAX - 64 ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    if (!workspace) {
        m->stopped = "there is no memory for its workspace";
        return 0;
    }
    const int code = measure(s, method, at, workspace, bytes);
    free(workspace);
    return code;
}

double scaling_extrapolate(const scaling *s, size_t at) {
    const scaling_method *dense = &s->methods[0];
    if (dense->points[at].measured) return NAN;
    size_t last = 0;
    for (size_t i = 0; i < at; i++)
        if (dense->points[i].measured) last = i;
    return dense->points[last].measured ? dense->points[last].seconds * exp2(2 * (double)(at - last)) : NAN;
}

enum { SECONDS, PROCESSOR, WORKSPACE };

/* Slope of log y over log T by least squares. */
static double slope(const scaling *s, const scaling_method *m, int of) {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t i = 0; i < s->lengths; i++) {
        if ((SCALING_FIRST << i) < SCALING_FIT_FROM || !m->points[i].measured) continue;
        const double x = log((double)(SCALING_FIRST << i));
        const double values[] = {m->points[i].seconds, m->points[i].processor, (double)m->points[i].workspace}, y = log(values[of]);
        n++;
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    return n < 2 ? NAN : (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

/* Where the ratio to exact passes 1 for good, between two lengths by a straight line in logarithms. */
static double break_even(const scaling *s, const scaling_method *m) {
    double at = NAN, before = NAN;
    for (size_t i = 0; i < s->lengths && m->points[i].measured && s->methods[0].points[i].measured; i++) {
        const double gain = log(s->methods[0].points[i].seconds / m->points[i].seconds), length = (double)(SCALING_FIRST << i);
        if (gain <= 0)
            at = NAN;
        else if (isnan(at))
            at = before <= 0 ? length / 2 * exp2(-before / (gain - before)) : length;
        before = gain;
    }
    return at;
}

int scaling_run(scaling *s) {
    progress p;
    int code = 0;
    progress_start(&p, "lengths", s->quiet);
    for (size_t at = 0; at < s->lengths && !code; at++) {
        s->peak = fmax(s->peak, fov_machine_peak_f32(s->threads, .1));
        for (size_t m = 0; m < s->count && !code; m++) code = attempt(s, m, at);
        progress_update(&p, at + 1, s->lengths);
    }
    progress_end(&p);
    for (size_t m = 0; m < s->count; m++) {
        s->methods[m].slope_seconds = slope(s, &s->methods[m], SECONDS);
        s->methods[m].slope_processor = slope(s, &s->methods[m], PROCESSOR);
        s->methods[m].slope_workspace = slope(s, &s->methods[m], WORKSPACE);
        s->methods[m].break_even = m ? break_even(s, &s->methods[m]) : NAN;
    }
    return code;
}

void scaling_close(scaling *s) {
    float *all[] = {s->q, s->k, s->v, s->y};
    for (size_t i = 0; i < 4; i++) free(all[i]);
    for (size_t m = 0; m < s->count; m++) free(s->methods[m].y);
    free(s->methods);
    *s = (scaling){0};
}
