/* cmd_bench.c: end-to-end speed on this machine, as a share of what its arithmetic units can do; and settings compared with
 * the exact path, interleaved in one run so that a slow minute hits both. */
#include "bench.h"
#include "commands.h"
#include "names.h"
#include "progress.h"
#include "report.h"
#include "scaling.h"
#include "tasks.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    const char *data, *task;
    uint64_t repeat, limit;
    option_list compare, method;
    uint64_t heads, head_size, time_limit, exact_length;
    bool json;
} settings;

static json_t *pack_ratio(const bench_setting *b) {
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "setting", json_text(b->text), "name", "speedup over exact, paired",
                     "median", json_number(b->median), "min", json_number(b->low), "max", json_number(b->high), "seconds",
                     json_number(b->seconds), "flops_real_share", json_number(b->share));
}

static json_t *pack(const bench *b) {
    json_t *compared = json_array();
    for (size_t i = 0; i < b->count; i++) json_array_append_new(compared, pack_ratio(&b->settings[i]));
    json_t *out =
        json_pack("{s:o, s:s, s:o, s:i, s:o, s:I, s:I, s:I}", "cpu", json_text(b->machine.cpu), "tier", b->machine.tier, "features",
                  json_text(b->machine.features), "threads", (int)b->threads, "checkpoint", json_text(b->engine.info->name),
                  "texts", (json_int_t)b->text_count, "tokens", (json_int_t)b->tokens, "repeat", (json_int_t)b->repeat);
    if (!out) return NULL;
    json_object_set_new(out, "peak_gflops", json_number(b->peak * 1e-9));
    json_object_set_new(out, "seconds_load", json_number(b->engine.seconds_load));
    json_object_set_new(out, "seconds_first_label", json_number(b->first_label));
    json_object_set_new(out, "seconds_exact", json_number(b->settings[0].seconds));
    json_object_set_new(out, "tokens_per_second", json_number(b->tokens_per_second));
    json_object_set_new(out, "gflops", json_number(b->flops * 1e-9));
    json_object_set_new(out, "share_of_peak", json_number(b->peak > 0 ? b->flops / b->peak : 0));
    json_object_set_new(out, "compare", compared);
    json_object_set_new(out, "compiler", json_string(bench_compiler()));
    return out;
}

static void print(const bench *b) {
    printf("%s, kernels %s (found: %s), %u threads, %s\n", b->machine.cpu, b->machine.tier, b->machine.features, b->threads,
           bench_compiler());
    printf("%s: %zu texts, %" PRIu64 " tokens, %zu rounds\n\n", b->engine.info->name, b->text_count, b->tokens, b->repeat);
    printf("peak of f32 multiply-adds  %9.1f GFLOP/s (registers only)\n", b->peak * 1e-9);
    printf("exact, ids to logits       %9.1f GFLOP/s = %.1f %% of peak\n", b->flops * 1e-9,
           b->peak > 0 ? 100 * b->flops / b->peak : 0);
    printf("                           %9.0f tokens/s (median round, tokenising included)\n", b->tokens_per_second);
    printf("load                       %9.1f ms\n", 1e3 * b->engine.seconds_load);
    printf("start to first label       %9.1f ms\n", 1e3 * b->first_label);
    puts("\nspeed-up over exact, paired within rounds: median [min, max]; multiply-adds done of the exact path's with every row");
    for (size_t i = 0; i < b->count; i++)
        printf("  %-44s %6.3f [%.3f, %.3f]  %5.1f %%\n", b->settings[i].text, b->settings[i].median, b->settings[i].low,
               b->settings[i].high, 100 * b->settings[i].share);
}

static int run_scaling(const settings *given) {
    scaling s = {.threads = (unsigned)given->shared.threads,
                 .heads = (size_t)given->heads,
                 .head_size = (size_t)given->head_size,
                 .longest = given->shared.max_length ? (size_t)given->shared.max_length : 131072,
                 .limit = (double)given->time_limit,
                 .exact_length = (size_t)given->exact_length,
                 .quiet = given->shared.quiet};
    int code = scaling_open(&s, given->method.items, given->method.count);
    if (!code) code = scaling_run(&s);
    output out = {.file = stdout, .slot = -1};
    if (!code && given->json)
        code = output_json(&out, scaling_pack(&s), JSON_PAGES);
    else if (!code)
        scaling_print(&s);
    scaling_close(&s);
    return code;
}

static const char *name_subject(size_t index) {
    return index ? NULL : "attention";
}

static int run(void *given) {
    const settings *s = given;
    if (s->shared.argument_count) {
        if (!strcmp(s->shared.arguments[0], "attention")) return run_scaling(s);
        return complain(EXIT_USAGE, "bench: '%s' is nothing to measure: give 'attention', or nothing for a model end to end",
                        s->shared.arguments[0]);
    }
    bench b = {.repeat = (size_t)s->repeat};
    int code = s->task && !s->data ? complain(EXIT_USAGE, "--task: --data is missing: give the task's file") : 0;
    if (!code) code = bench_open(&b, &s->shared, &s->compare);
    if (!code) code = bench_texts(&b, s->task ? task_find(s->task) : NULL, s->data, (size_t)s->limit);
    if (!code) code = bench_run(&b, s->shared.quiet);
    output out = {.file = stdout, .slot = -1};
    if (!code && s->json)
        code = output_json(&out, pack(&b), JSON_PAGES);
    else if (!code)
        print(&b);
    bench_close(&b);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"data", 'd', OPTION_TEXT, FIELD(data), "FILE", NULL, "texts, one per line; with --task the task's file [built-in sentences]",
     0, 0, HINT_FILE, 0},
    {"task", 0, OPTION_CHOICE, FIELD(task), NULL, NULL, "read --data as this task's file", 0, 0, HINT_NAMES, name_task},
    {"limit", 0, OPTION_NUMBER, FIELD(limit), "N", "256", "texts used", 1, 4096, HINT_NONE, 0},
    {"repeat", 0, OPTION_NUMBER, FIELD(repeat), "N", "5", "rounds", 1, 1000, HINT_NONE, 0},
    {"compare", 'c', OPTION_LIST, FIELD(compare), "SETTING", NULL,
     "e.g. 'values=mca:alpha=.2' or 'attention=topk:k=64;ffn=guided'; may be repeated", 0, 0, HINT_NONE, 0},
    {"method", 0, OPTION_LIST, FIELD(method), "METHOD", NULL,
     "bench attention: measure this method beside dense; may be repeated [every method]", 0, 0, HINT_NAMES, name_attention},
    {"heads", 0, OPTION_NUMBER, FIELD(heads), "N", "1", "bench attention: heads", 1, 1024, HINT_NONE, 0},
    {"head-size", 0, OPTION_NUMBER, FIELD(head_size), "N", "64", "bench attention: columns of a head", 1, 4096, HINT_NONE, 0},
    {"time-limit", 0, OPTION_NUMBER, FIELD(time_limit), "SECONDS", "60",
     "bench attention: leave a method out from the length where a pass could take longer", 1, 86400, HINT_NONE, 0},
    {"exact-length", 0, OPTION_NUMBER, FIELD(exact_length), "N", NULL,
     "bench attention: longest text for dense; beyond, its time is extrapolated [as --time-limit]", 1, 1u << 20, HINT_NONE, 0},
    {"json", 0, OPTION_FLAG, FIELD(json), NULL, NULL, "as JSON", 0, 0, HINT_NONE, 0},
    {0},
};

const command command_bench = {
    .name = "bench",
    .arguments = "[attention]",
    .summary = "Measure speed end to end, against this machine's peak and between settings.",
    .detail = "A round runs the exact setting and each --compare setting once; ratios are taken within rounds. A setting is "
              "PLACE=METHOD[;PLACE=METHOD]... with the places attention, values, ffn.\n\n"
              "'foveate bench attention' needs no model: every attention method runs on one text of 512, 1024, ... up to "
              "--max-length tokens (131072), beside dense: seconds, workspace, relative error, log-log slopes and the length "
              "from which it is faster. The error is against dense where the method approximates softmax attention, and of a "
              "method that draws against the first --method of its name: yoso before yoso:m=32. Extrapolated times are named so. "
              "bench/scaling.gp plots the "
              "table.",
    .shared = SHARED_MODEL | SHARED_RUN | SHARED_QUIET,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 1,
    .argument_names = name_subject,
    .run = run,
    .example = "foveate bench --task sst2 --data dev.tsv --compare 'values=mca:alpha=.2' --compare 'values=mca:alpha=.4'",
};
