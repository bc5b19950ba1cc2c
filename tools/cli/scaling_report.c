/* scaling_report.c: what scaling.c measured, as a table and as JSON. What is extrapolated stands apart and is named so. */
#include "bench.h"
#include "scaling.h"

#include <inttypes.h>
#include <math.h>

static double speedup(const scaling *s, const scaling_method *m, size_t at) {
    const scaling_point *exact = &s->methods[0].points[at];
    return exact->measured ? exact->seconds / m->points[at].seconds : NAN;
}

/* How often faster than dense would be; of dense itself, the seconds. NaN where dense was measured, or the method was not. */
static double extrapolated(const scaling *s, size_t method, size_t at) {
    const scaling_method *m = &s->methods[method];
    const double seconds = scaling_extrapolate(s, at);
    return !method ? seconds : m->points[at].measured ? seconds / m->points[at].seconds : NAN;
}

static json_t *pack_points(const scaling *s, const scaling_method *m) {
    json_t *points = json_array();
    for (size_t i = 0; i < s->lengths; i++) {
        const scaling_point *p = &m->points[i];
        if (!p->measured) continue;
        json_array_append_new(points, json_pack("{s:I, s:o, s:o, s:I, s:o, s:o}", "length", (json_int_t)SCALING_FIRST << i,
                                                "seconds", json_number(p->seconds), "processor_seconds", json_number(p->processor),
                                                "workspace", (json_int_t)p->workspace, "speedup", json_number(speedup(s, m, i)),
                                                "error", json_number(p->error)));
    }
    return points;
}

static json_t *pack_extrapolated(const scaling *s, size_t method) {
    json_t *all = json_array();
    for (size_t i = 0; i < s->lengths; i++) {
        const double value = extrapolated(s, method, i);
        if (isnan(value)) continue;
        json_array_append_new(all, json_pack("{s:I, s:o}", "length", (json_int_t)SCALING_FIRST << i, method ? "speedup" : "seconds",
                                             json_number(value)));
    }
    return all;
}

json_t *scaling_pack(const scaling *s) {
    json_t *methods = json_array();
    for (size_t m = 0; m < s->count; m++) {
        const scaling_method *one = &s->methods[m];
        json_array_append_new(
            methods, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "method", json_text(one->text), "error_against",
                               one->reference == m ? json_null() : json_text(s->methods[one->reference].text), "slope_seconds",
                               json_number(one->slope_seconds), "slope_processor_seconds", json_number(one->slope_processor),
                               "slope_workspace", json_number(one->slope_workspace), "break_even", json_number(one->break_even),
                               "stopped", one->stopped ? json_text(one->stopped) : json_null(), "points", pack_points(s, one),
                               "extrapolated_from_dense_by_square", pack_extrapolated(s, m)));
    }
    return json_pack("{s:o, s:s, s:i, s:I, s:I, s:I, s:o, s:s, s:o}", "cpu", json_text(s->machine.cpu), "tier", s->machine.tier,
                     "threads", (int)s->threads, "heads", (json_int_t)s->heads, "head_size", (json_int_t)s->head_size, "fit_from",
                     (json_int_t)SCALING_FIT_FROM, "peak_gflops", json_number(s->peak * 1e-9), "compiler", bench_compiler(),
                     "methods", methods);
}

static void print_number(const char *format, double number) {
    if (isnan(number))
        printf("%12s", "-");
    else
        printf(format, number);
}

static void print_points(const scaling *s, const scaling_method *m) {
    for (size_t i = 0; i < s->lengths; i++) {
        const scaling_point *p = &m->points[i];
        if (!p->measured) continue;
        printf("%-24d %11.6f %12.2f", SCALING_FIRST << i, p->seconds, (double)p->workspace / 1048576);
        print_number("%12.3f", speedup(s, m, i));
        print_number("%12.2e", p->error);
        print_number("%12.6f", p->processor);
        puts("");
    }
}

static void print_slopes(const scaling *s, size_t method) {
    const scaling_method *m = &s->methods[method];
    printf("# slope from %d on: seconds", SCALING_FIT_FROM);
    print_number(" %.3f", m->slope_seconds);
    printf(", processor seconds");
    print_number(" %.3f", m->slope_processor);
    printf(", workspace");
    print_number(" %.3f", m->slope_workspace);
    if (method) {
        printf("; faster than dense from T =");
        print_number(" %.0f", m->break_even);
    }
    puts("");
    if (m->reference != method) printf("# error against %s\n", s->methods[m->reference].text);
    if (m->stopped) printf("# left out from T = %zu on: %s\n", m->stopped_at, m->stopped);
    for (size_t i = 0; i < s->lengths; i++) {
        const double value = extrapolated(s, method, i);
        if (isnan(value)) continue;
        if (method)
            printf("# extrapolated: at T = %d %.1f times as fast as dense would be\n", SCALING_FIRST << i, value);
        else
            printf("# extrapolated by T^2 from the longest measured: %.3f seconds at T = %d\n", value, SCALING_FIRST << i);
    }
}

/* A block per method, whose name heads the first column; two blank lines between; "-": missing. */
void scaling_print(const scaling *s) {
    printf("# %s, kernels %s, %u threads, %s; one text, %zu heads of %zu; peak %.1f GFLOP/s\n", s->machine.cpu, s->machine.tier,
           s->threads, bench_compiler(), s->heads, s->head_size, s->peak * 1e-9);
    for (size_t m = 0; m < s->count; m++) {
        printf("%s%-24s %11s %12s %11s %11s %11s\n", m ? "\n\n" : "", s->methods[m].text, "seconds", "workspaceMiB", "exact/this",
               "error", "processor");
        print_points(s, &s->methods[m]);
        print_slopes(s, m);
    }
}
