/* cmd_eval.c: a task's metric with its interval, beside what the setting cost. */
#include "commands.h"
#include "compare.h"
#include "names.h"
#include "progress.h"
#include "report.h"
#include "report_html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    const char *task, *data, *ids, *json, *dump, *report;
    uint64_t seeds, limit, rounds;
    option_list compare;
} settings;

static json_t *pack_seeds(const evaluation *v, size_t m) {
    json_t *all = json_array();
    for (size_t i = 0; i < v->seeds; i++) json_array_append_new(all, json_number(v->figures[m * v->seeds + i]));
    return all;
}

static json_t *pack_metric(const evaluation *v, size_t m) {
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", v->metrics[m].name, "mean", json_number(v->intervals[m].mean), "low",
                     json_number(v->intervals[m].low), "high", json_number(v->intervals[m].high), "per_seed", pack_seeds(v, m));
}

static json_t *pack_metrics(const evaluation *v) {
    json_t *all = json_object();
    for (size_t m = 0; m < v->metric_count; m++) json_object_set_new(all, v->metrics[m].name, pack_metric(v, m));
    return all;
}

static json_t *pack_ratio(double done, double exact) {
    return json_pack("{s:o, s:o}", "done", json_count(done), "exact", json_count(exact));
}

/* The object of the contract; then what it does not name: baseline, seed, metrics, truncated, invalid, dropped, cpu, tier. */
static json_t *pack_report(const evaluation *v, const engine *e, const settings *s, const fov_machine *machine) {
    const fov_stats *t = &v->stats;
    unsigned threads = s->shared.threads ? (unsigned)s->shared.threads : machine->threads;
    json_t *report =
        json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "task", v->task->name, "checkpoint",
                  json_text(e->info->name), "attention", fov_session_method(e->session, FOV_PLACE_ATTENTION), "values",
                  fov_session_method(e->session, FOV_PLACE_VALUES), "ffn", fov_session_method(e->session, FOV_PLACE_FFN), "dtype",
                  e->info->dtype, "threads", (int)threads, "seeds", (json_int_t)v->seeds, "examples", (json_int_t)v->data.count,
                  "tokens", (json_int_t)t->tokens);
    if (!report) return NULL;
    int bad = json_object_set_new(report, "metric", pack_metric(v, 0));
    bad |= json_object_set_new(report, "seconds",
                               json_pack("{s:f, s:f, s:f, s:f}", "load", e->seconds_load, "tokenize", t->seconds_tokenize, "values",
                                         t->seconds_values, "total", t->seconds_total));
    bad |= json_object_set_new(report, "flops_real",
                               json_pack("{s:o, s:o}", "values", pack_ratio(t->values_done_real, t->values_exact_real), "total",
                                         pack_ratio(t->total_done_real, t->total_exact_real)));
    bad |= json_object_set_new(report, "flops_padded",
                               json_pack("{s:o}", "values", pack_ratio(t->values_done_padded, t->values_exact_padded)));
    bad |= json_object_set_new(report, "baseline", json_pack("{s:s}", "attention", fov_session_baseline(e->session)));
    bad |= json_object_set_new(report, "metrics", pack_metrics(v));
    bad |= json_object_set_new(report, "seed", json_integer((json_int_t)s->shared.seed));
    bad |= json_object_set_new(report, "max_length", json_integer((json_int_t)s->shared.max_length));
    bad |= json_object_set_new(report, "truncated", json_integer((json_int_t)t->truncated_texts));
    bad |= json_object_set_new(report, "invalid", json_integer((json_int_t)t->invalid_texts));
    bad |= json_object_set_new(report, "dropped", json_integer((json_int_t)v->data.dropped));
    bad |= json_object_set_new(report, "cpu", json_text(machine->cpu));
    bad |= json_object_set_new(report, "tier", json_text(machine->tier));
    bad |= json_object_set_new(report, "version", json_text(fov_version()));
    if (!bad) return report;
    json_decref(report);
    return NULL;
}

static void print_ratio(const char *name, double done, double exact) {
    if (exact > 0 && done > 0)
        printf("  %-34s %7.2fx fewer (%.4g of %.4g)\n", name, exact / done, done, exact);
    else
        printf("  %-34s       - (a text exceeds the padded length, or nothing was done)\n", name);
}

static void print_table(const evaluation *v, const engine *e, const settings *s, const fov_machine *machine) {
    const fov_stats *t = &v->stats;
    printf("%s on %s: %zu examples, %" PRIu64 " tokens, %" PRIu64 " texts cut at %" PRIu64 " tokens", e->info->name, v->task->name,
           v->data.count, t->tokens, t->truncated_texts, s->shared.max_length);
    if (v->data.dropped) printf(", %zu rows without a label dropped", v->data.dropped);
    printf("\nattention %s, values %s, ffn %s, %s\n\n", fov_session_method(e->session, FOV_PLACE_ATTENTION),
           fov_session_method(e->session, FOV_PLACE_VALUES), fov_session_method(e->session, FOV_PLACE_FFN), e->info->dtype);
    for (size_t m = 0; m < v->metric_count; m++) {
        const interval *i = &v->intervals[m];
        printf("  %-18s %8.4f  [%.4f, %.4f]", v->metrics[m].name, i->mean, i->low, i->high);
        if (v->seeds > 1)
            printf("  95 %% over %zu seeds\n", v->seeds);
        else
            puts("  95 %, bootstrap over examples");
    }
    printf("\nmultiply-adds, against exact values and ffn, attention %s, every row\n", fov_session_baseline(e->session));
    print_ratio("value projection, real tokens", t->values_done_real, t->values_exact_real);
    print_ratio("all, real tokens", t->total_done_real, t->total_exact_real);
    print_ratio("value projection, padded to 128", t->values_done_padded, t->values_exact_padded);
    printf("\nseconds%s: load %.3f, tokenize %.3f, values %.3f, total %.3f (%.0f tokens/s)\n", v->seeds > 1 ? " per seed" : "",
           e->seconds_load, t->seconds_tokenize, t->seconds_values, t->seconds_total,
           t->seconds_total > 0 ? (double)t->tokens / t->seconds_total : 0);
    printf("%s, kernels %s, %u threads\n", machine->cpu, machine->tier,
           s->shared.threads ? (unsigned)s->shared.threads : machine->threads);
}

/* A class or score; multi-label: the list of classes. */
static json_t *pack_answer(const evaluation *v, const double *answers, size_t i) {
    if (!v->task->multi_label) return json_number(answers[i]);
    json_t *classes = json_array();
    for (size_t c = 0; c < v->data.columns; c++)
        if (answers[i * v->data.columns + c] > 0) json_array_append_new(classes, json_integer((json_int_t)c));
    return classes;
}

/* {"logits": [..], "gold", "prediction", "tokens"} per example, in the file's order. */
static int write_dump(output *out, const evaluation *v) {
    int code = 0;
    for (size_t i = 0; i < v->data.count && !code; i++) {
        json_t *logits = json_array();
        for (size_t j = 0; j < v->outputs; j++) json_array_append_new(logits, json_number((double)v->logits[i * v->outputs + j]));
        code = output_json(out,
                           json_pack("{s:o, s:o, s:o, s:I}", "logits", logits, "gold", pack_answer(v, v->data.gold, i),
                                     "prediction", pack_answer(v, v->predicted, i), "tokens", (json_int_t)v->infos[i].tokens),
                           JSON_LINE);
    }
    return code;
}

static int check(const settings *s) {
    if (!s->task) return complain(EXIT_USAGE, "--task is missing: give one, e.g. --task sst2 --data dev.tsv");
    if (!s->data) return complain(EXIT_USAGE, "--data is missing: give the task's file, e.g. --task %s --data dev.tsv", s->task);
    char labels[4096];
    int code = dataset_beside(task_find(s->task), s->data, labels, sizeof labels);
    if (code) return code;
    enum { INPUTS = 4, OUTPUTS = 3 };
    const char *const names[OUTPUTS] = {"json", "report", "dump"}, *const outputs[OUTPUTS] = {s->json, s->report, s->dump};
    const char *const kept[INPUTS + OUTPUTS] = {s->data, s->ids, labels, s->shared.profile, s->json, s->report, s->dump};
    for (size_t o = 0; o < OUTPUTS; o++)
        for (size_t i = 0; outputs[o] && i < INPUTS + o; i++)
            if (output_replaces(outputs[o], kept[i]))
                return complain(EXIT_USAGE, "--%s: it would replace %s: give another name", names[o], kept[i]);
    return 0;
}

typedef struct outputs {
    output json, dump, report;
} outputs;

static int write_json(output *out, const evaluation *v, const engine *e, const settings *s, const fov_machine *machine,
                      const comparison *c) {
    json_t *report = pack_report(v, e, s, machine);
    if (report && c->count &&
        (json_object_set_new(report, "compared", comparison_pack(c)) ||
         json_object_set_new(report, "passes", json_integer((json_int_t)c->passes)))) {
        json_decref(report);
        report = NULL;
    }
    return output_json(out, report, JSON_PAGES);
}

static int write_report(output *out, comparison *c, const settings *s, const fov_machine *machine) {
    const report_source source = {c, machine, &s->shared, s->shared.threads ? (unsigned)s->shared.threads : machine->threads};
    const int code = comparison_trace(c);
    return code ? code : report_html(out, &source);
}

static int evaluate(const settings *given, outputs *out) {
    settings s = *given;
    const bool comparing = s.report || s.compare.count;
    comparison c = {0};
    engine e = {0};
    fov_machine machine;
    fov_error error;
    evaluation v = {.task = task_find(s.task)};
    int code = fov_machine_query(&machine, &error) ? complain_api(EXIT_FAILED, &error) : 0;
    if (!code) code = engine_load(&e, &s.shared);
    if (!code) code = evaluation_check(&e, v.task);
    if (!code && !s.shared.max_length) {
        size_t length = v.task->max_length;
        s.shared.max_length = length && length < e.info->max_length ? length : e.info->max_length;
    }
    if (!code) code = engine_session(&e, &s.shared, NULL); /* settings are checked before the data is read */
    if (!code && comparing) {
        code = comparison_open(&c, &e, &s.shared, &s.compare);
        fov_session_free(e.session); /* each setting has its own */
        e.session = NULL;
    }
    if (!code) code = dataset_read(&v.data, v.task, s.data, s.ids, engine_label, e.model, (size_t)s.limit);
    if (!code && !comparing) code = evaluation_run(&v, &e, &s.shared, (size_t)s.seeds);
    if (!code && comparing) code = comparison_run(&c, v.task, &v.data, (size_t)s.rounds, (size_t)s.seeds);
    const evaluation *own = comparing && c.count ? &c.items[c.given].evaluation : &v;
    const engine *used = comparing && c.count ? &c.items[c.given].engine : &e;
    if (!code && s.dump) code = write_dump(&out->dump, own);
    if (!code && s.json) code = write_json(&out->json, own, used, &s, &machine, &c);
    if (!code && s.report) code = write_report(&out->report, &c, &s, &machine);
    if (!code) print_table(own, used, &s, &machine);
    if (!code && comparing) comparison_print(&c);
    comparison_close(&c);
    evaluation_free(&v);
    engine_close(&e);
    return code;
}

static int run(void *given) {
    const settings *s = given;
    outputs out = {{.slot = -1}, {.slot = -1}, {.slot = -1}};
    int code = check(s);
    if (!code && s->json) code = output_open(&out.json, s->json);
    if (!code && s->dump) code = output_open(&out.dump, s->dump);
    if (!code && s->report) code = output_open(&out.report, s->report);
    if (!code) code = evaluate(s, &out);
    output *const all[] = {&out.json, &out.dump, &out.report};
    const bool keep = !code;
    for (size_t i = 0; i < 3; i++) {
        const int closed = output_close(all[i], keep);
        if (!code) code = closed;
    }
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"task", 0, OPTION_CHOICE, FIELD(task), NULL, NULL, "the task: its columns, labels and metric", 0, 0, HINT_NAMES, name_task},
    {"data", 'd', OPTION_TEXT, FIELD(data), "FILE", NULL,
     "the task's official file (.tsv; imdb: .jsonl[.xz]; hnd: articles-*.xml; aapd: text_*)", 0, 0, HINT_FILE, 0},
    {"ids", 0, OPTION_TEXT, FIELD(ids), "FILE", NULL, "hnd: only the articles of this JSON list of ids, in its order", 0, 0,
     HINT_FILE, 0},
    {"seeds", 0, OPTION_NUMBER, FIELD(seeds), "N", "1", "repeat a random method with seeds --seed, --seed + 1, ...", 1, 10000,
     HINT_NONE, 0},
    {"limit", 0, OPTION_NUMBER, FIELD(limit), "N", NULL, "the first N examples (imdb: half negative, half positive) [all]", 1,
     1u << 30, HINT_NONE, 0},
    {"max-length", 0, OPTION_NUMBER, offsetof(settings, shared.max_length), "N", NULL,
     "tokens kept of one text [GLUE: 128; else the model's limit]", 3, 1u << 20, HINT_NONE, 0},
    {"json", 0, OPTION_TEXT, FIELD(json), "OUT", NULL, "write the figures as JSON", 0, 0, HINT_FILE, 0},
    {"dump", 0, OPTION_TEXT, FIELD(dump), "OUT", NULL, "write logits, gold label and prediction of each example as JSON lines", 0,
     0, HINT_FILE, 0},
    {"report", 0, OPTION_TEXT, FIELD(report), "OUT.html", NULL,
     "write a page with figures: metric against cost and time, work by layer and head, shaded texts", 0, 0, HINT_FILE, 0},
    {"compare", 'c', OPTION_LIST, FIELD(compare), "SETTING", NULL,
     "measure this setting too, e.g. 'values=mca:alpha=.2' or 'attention=topk:k=64;ffn=topk'; may be repeated", 0, 0, HINT_NONE, 0},
    {"rounds", 0, OPTION_NUMBER, FIELD(rounds), "N", "3", "with --report or --compare: passes of every setting, for its time", 1,
     1000, HINT_NONE, 0},
    {0},
};

const command command_eval = {
    .name = "eval",
    .arguments = "",
    .summary = "Measure a model and a setting on a task, with a 95 % interval and the real cost.",
    .detail =
        "The interval is over seeds (Student's t) when a random method runs with several, else by bootstrap over the examples. "
        "Multiply-adds are counted, for real tokens and in the papers' convention, where every text is padded to 128.\n"
        "An embedding model on stsb is measured by Spearman's correlation of cosines.\n"
        "--report and --compare measure the exact setting, the one of --attention, --values and --ffn where it is another, and "
        "each "
        "of --compare in turn, pass by pass. The page needs no network and no scripts.",
    .shared = SHARED_ALL,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 0,
    .run = run,
    .example = "foveate eval --task sst2 --data SST-2/dev.tsv --values mca:alpha=0.4 --seeds 8 --json sst2.json",
};
