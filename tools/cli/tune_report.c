/* tune_report.c: what was tried, what is taken, and what to expect of it. */
#include "report.h"
#include "tune.h"

#include <math.h>
#include <string.h>

static json_t *pack_half(const tune *t, size_t index, int half) {
    const measured *m = &t->trials[index].halves[half];
    const verdict *v = &m->verdict;
    json_t *row =
        json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "texts", (json_int_t)v->texts, "metric", json_number(v->figure),
                  "loss", json_number(v->loss), "low", json_number(v->low), "high", json_number(v->high), "changed",
                  (json_int_t)v->changed, "harmful", (json_int_t)v->harmful, "helpful", (json_int_t)v->helpful);
    if (!row) return NULL;
    json_object_set_new(row, "bound", json_number(v->bound));
    json_object_set_new(row, "changed_share", json_pack("[o,o]", json_number(v->changed_low), json_number(v->changed_high)));
    json_object_set_new(row, "seconds", json_number(m->seconds));
    json_object_set_new(row, "speedup",
                        json_pack("{s:o, s:o, s:o}", "median", json_number(m->speed), "min", json_number(m->speed_low), "max",
                                  json_number(m->speed_high)));
    json_object_set_new(row, "flops_real_share", json_number(m->share));
    return row;
}

static json_t *pack_trial(const tune *t, size_t index) {
    const trial *one = &t->trials[index];
    char name[TUNE_NAME];
    tune_name(one, name);
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:s}", "setting", name, "attention", one->attention, "values", one->values, "ffn", one->ffn);
    static const char *const names[] = {"first", "second"};
    for (int half = 0; half < 2 && row; half++)
        if (one->halves[half].done) json_object_set_new(row, names[half], pack_half(t, index, half));
    return row;
}

json_t *tune_pack(const tune *t) {
    char name[TUNE_NAME] = "";
    if (t->chosen) tune_name(&t->trials[t->chosen], name);
    json_t *tried = json_array(), *tested = json_array();
    for (size_t i = 0; i < t->count; i++)
        if (t->trials[i].halves[0].done) json_array_append_new(tried, pack_trial(t, i));
    for (size_t i = 0; i < t->tested_count; i++) {
        char other[TUNE_NAME];
        tune_name(&t->trials[t->tested[i]], other);
        json_array_append_new(tested, json_string(other));
    }
    json_t *out = json_pack("{s:o, s:s, s:s, s:I, s:o, s:o, s:b, s:o, s:s}", "checkpoint", json_text(t->engine.info->name), "task",
                            t->task ? t->task->name : "agreement", "metric", t->metric, "examples", (json_int_t)t->data.count,
                            "max_loss", json_number(t->goal.max_loss), "confidence", json_number(t->goal.confidence), "demanded",
                            t->goal.demanded, "alpha", json_number(t->judge.alpha), "by", t->goal.by_work ? "work" : "time");
    if (!out) return NULL;
    json_object_set_new(out, "chosen", t->chosen ? json_string(name) : json_null());
    json_object_set_new(out, "reason", t->chosen ? json_null() : json_string(t->verdict));
    json_object_set_new(out, "tested", tested);
    json_object_set_new(out, "corrections", json_integer((json_int_t)t->corrections));
    json_object_set_new(out, "tried", tried);
    json_object_set(out, "left_out", t->left_out);
    json_object_set_new(out, "complete", json_boolean(!t->stopped));
    json_object_set_new(out, "seed", json_integer((json_int_t)t->settings.seed));
    json_object_set_new(out, "max_length", json_integer((json_int_t)t->settings.max_length));
    json_object_set_new(out, "dtype", json_string(t->engine.info->dtype));
    json_object_set_new(out, "threads", json_integer((json_int_t)t->settings.threads));
    json_object_set_new(out, "cpu", json_text(t->machine.cpu));
    json_object_set_new(out, "tier", json_text(t->machine.tier));
    json_object_set_new(out, "version", json_text(fov_version()));
    return out;
}

static void print_row(const tune *t, size_t index, int half) {
    const measured *m = &t->trials[index].halves[half];
    const double exact = t->trials[0].halves[half].share;
    char name[TUNE_NAME];
    tune_name(&t->trials[index], name);
    printf("  %-50s %7.2f [%6.2f, %6.2f]  %6.3f  %6.1f %%\n", name, m->verdict.loss, m->verdict.low, m->verdict.high, m->speed,
           exact > 0 ? 100 * m->share / exact : 100);
}

static void print_expected(const tune *t) {
    const measured *m = &t->trials[t->chosen].halves[1];
    const verdict *v = &m->verdict;
    const double exact = t->trials[0].halves[1].share;
    char name[TUNE_NAME];
    tune_name(&t->trials[t->chosen], name);
    printf("\ntaken: %s\nexpect, from the second half, which had no part in the choice of what was tested:\n", name);
    printf("  %.2f times as fast as exact (%.2f to %.2f over blocks), %.1f %% of its multiply-adds\n", m->speed, m->speed_low,
           m->speed_high, exact > 0 ? 100 * m->share / exact : 100);
    printf("  %s %.4f, exact %.4f: %.2f points lost, %.2f to %.2f at %g %%\n", t->metric, v->figure, v->exact, v->loss, v->low,
           v->high, 100 * (1 - t->judge.alpha));
    if (t->judge.kind != JUDGE_SCORES)
        printf("  %zu of %zu answers are not exact's: a share of %.4f to %.4f at %g %%\n", v->changed, v->texts, v->changed_low,
               v->changed_high, 100 * (1 - t->judge.alpha));
    if (t->goal.demanded)
        printf("  at most %.2f points are lost, with %g %% confidence (each of %zu settings tested held to %.4g %%)\n", v->bound,
               100 * t->goal.confidence, t->corrections, 100 * (1 - t->judge.alpha));
}

void tune_print(const tune *t) {
    printf("%s: %zu texts, %zu to choose and %zu to report; %s of exact %.4f on the first half\n", t->engine.info->name,
           t->data.count, t->size[0], t->size[1], t->metric, t->trials[0].halves[0].verdict.exact);
    printf("accepted: %g points%s\n\n  %-50s %7s %16s  %6s  %8s\n", t->goal.max_loss, t->goal.demanded ? ", as a bound" : "",
           "first half", "loss", "interval", "speed", "work");
    for (size_t i = 1; i < t->count; i++)
        if (t->trials[i].halves[0].done) print_row(t, i, 0);
    size_t at;
    json_t *row;
    json_array_foreach(t->left_out, at, row) printf("  left out: %s: %s\n", json_string_value(json_object_get(row, "setting")),
                                                    json_string_value(json_object_get(row, "reason")));
    if (t->stopped) puts("  --budget ended the search: the same command goes on from here");
    if (t->tested_count) puts("\n  second half");
    for (size_t i = 0; i < t->tested_count; i++)
        if (t->trials[t->tested[i]].halves[1].done) print_row(t, t->tested[i], 1);
    if (t->chosen) print_expected(t);
}
