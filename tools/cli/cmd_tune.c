/* cmd_tune.c: the fastest setting whose loss a user accepts, on the user's own texts. */
#include "commands.h"
#include "names.h"
#include "report.h"
#include "tune.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct settings {
    shared_settings shared;
    const char *task, *data, *ids, *max_loss, *confidence, *budget, *by, *output, *journal, *json;
    uint64_t limit;
    bool pairs, swap, restart, dry_run;
} settings;

enum { PATH_SIZE = 4096 };

typedef struct places {
    char output[PATH_SIZE], journal[PATH_SIZE + 8], profile[PATH_SIZE + 40]; /* "": none */
} places;

static const char *name_by(size_t index) {
    static const char *const names[] = {"time", "work"};
    return index < sizeof names / sizeof *names ? names[index] : NULL;
}

/* ---- what was asked for ---- */

static int read_real(const char *name, const char *text, double low, double high, const char *example, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (end != text && !*end && *out >= low && *out <= high) return 0;
    return complain(EXIT_USAGE, "--%s: '%s' is not a number from %g to %g: give one, e.g. --%s %s", name, text, low, high, name,
                    example);
}

static int read_goal(const settings *s, tune_goal *g) {
    double minutes = 0;
    int code = read_real("max-loss", s->max_loss, 0, 50, ".5", &g->max_loss);
    g->confidence = .95;
    g->demanded = s->confidence != NULL;
    g->by_work = !strcmp(s->by, "work");
    g->swap = s->swap;
    if (!code && s->confidence) code = read_real("confidence", s->confidence, .5, .999, ".95", &g->confidence);
    if (!code && s->budget) code = read_real("budget", s->budget, .01, 1e5, "30", &minutes);
    g->budget = 60 * minutes;
    if (!code && g->demanded && g->max_loss <= 0)
        code = complain(EXIT_USAGE,
                        "--max-loss 0 with --confidence: no number of texts can show that nothing is lost: accept a little");
    return code;
}

static int check(const settings *s) {
    if (!s->data)
        return complain(EXIT_USAGE, "--data is missing: give texts like those to come, one per line, or a task's file with --task");
    if (s->task && s->pairs) return complain(EXIT_USAGE, "--pairs: the task says what its texts are: leave it out");
    if (s->ids && !s->task) return complain(EXIT_USAGE, "--ids: it goes with --task hnd: give it, or leave --ids out");
    if (s->dry_run && s->output) return complain(EXIT_USAGE, "--output: --dry-run writes no setting: leave one out");
    if (!s->shared.model && !s->output && !s->dry_run)
        return complain(EXIT_USAGE,
                        "--output is missing: the embedded model has no folder to put its setting in; or give --dry-run");
    return 0;
}

static int find_places(const settings *s, places *p) {
    *p = (places){0};
    int code = 0;
    if (s->output) {
        if (strlen(s->output) >= PATH_SIZE)
            return complain(EXIT_USAGE, "--output: the path is longer than %d bytes", PATH_SIZE - 1);
        strcpy(p->output, s->output);
    } else if (!s->dry_run) {
        code = path_beside(s->shared.model, TUNED_NAME, p->output, sizeof p->output);
    }
    if (!code && s->journal && strlen(s->journal) >= PATH_SIZE) return complain(EXIT_USAGE, "--journal: the path is too long");
    if (s->journal)
        strcpy(p->journal, s->journal);
    else if (*p->output)
        snprintf(p->journal, sizeof p->journal, "%s.journal", p->output);
    if (s->shared.profile)
        snprintf(p->profile, sizeof p->profile, "%s", s->shared.profile);
    else if (s->shared.model && !code)
        code = path_beside(s->shared.model, FOV_PROFILE_NAME, p->profile, sizeof p->profile);
    const char *const written[] = {p->output, p->journal, s->json ? s->json : ""};
    const char *const kept[] = {s->data, s->ids, p->profile, p->output, p->journal};
    for (size_t i = 0; i < 3 && !code; i++) {
        for (size_t k = 0; k < 5 && *written[i] && !code; k++)
            if (kept[k] != written[i] && output_replaces(written[i], kept[k]))
                code = complain(EXIT_USAGE, "%s: it would replace %s: give another name", written[i], kept[k]);
        if (!code && *written[i]) code = output_probe(written[i]);
    }
    return code;
}

/* ---- */

static int write_setting(tune *t, const places *p) {
    const trial *one = &t->trials[t->chosen];
    tuned chosen = {0};
    shared_settings with = t->settings;
    if (*one->attention) with.attention = one->attention;
    with.values = one->values;
    with.ffn = one->ffn;
    output out;
    snprintf(chosen.attention, sizeof chosen.attention, "%s", with.attention ? with.attention : "");
    strcpy(chosen.values, one->values);
    strcpy(chosen.ffn, one->ffn);
    int code = engine_session(&t->engine, &with, NULL);
    if (code) return code;
    tuned_profile(&chosen, t->engine.session);
    json_t *file = tuned_pack(&chosen, t->engine.model, t->engine.info->dtype);
    if (file) json_object_set_new(file, "report", tune_pack(t));
    code = output_open(&out, p->output);
    if (code) json_decref(file);
    if (!code) code = output_json(&out, file, JSON_PAGES);
    const int closed = output_close(&out, !code);
    return code ? code : closed;
}

static int conclude(tune *t, const settings *s, const places *p, output *json) {
    int code = s->json ? output_json(json, tune_pack(t), JSON_PAGES) : 0;
    if (code) return code;
    tune_print(t);
    if (!t->chosen) return complain(EXIT_FAILED, "nothing is changed: %s", t->verdict);
    if (!*p->output) {
        puts("\nnothing written (--dry-run)");
        return 0;
    }
    code = write_setting(t, p);
    if (code) return code;
    printf("\nwritten to %s\n", p->output);
    if (!s->output) printf("use it: foveate classify --model %s --tuned\n", s->shared.model);
    return 0;
}

static int open_all(tune *t, const settings *s, places *p) {
    fov_error error;
    int code = find_places(s, p);
    if (!code && fov_machine_query(&t->machine, &error)) code = complain_api(EXIT_FAILED, &error);
    if (!code) code = engine_load(&t->engine, &t->settings);
    if (!code && t->task && !t->settings.max_length) {
        const size_t length = t->task->max_length, most = t->engine.info->max_length;
        t->settings.max_length = length && length < most ? length : most;
    }
    if (!code) code = engine_session(&t->engine, &t->settings, NULL);
    if (!code) code = tune_read(t, s->data, s->ids, (size_t)s->limit, s->pairs);
    if (code) return code;
    t->has_profile = s->shared.profile || !s->shared.model || (*p->profile && !access(p->profile, F_OK));
    json_t *head = tune_header(t, p->profile);
    code = tune_halves(t);
    if (!code && *p->journal) return journal_open(&t->journal, p->journal, head, s->restart);
    json_decref(head);
    return code;
}

static int run(void *given) {
    const settings *s = given;
    tune t = {.settings = s->shared, .task = s->task ? task_find(s->task) : NULL, .began = seconds_now()};
    places p;
    output json = {.slot = -1};
    int code = read_goal(s, &t.goal);
    if (!code) code = check(s);
    if (!code) code = open_all(&t, s, &p);
    const size_t known = json_array_size(t.journal.lines);
    if (!code && known && !s->shared.quiet) remark("%zu measurements are done: going on from %s", known, t.journal.path);
    if (!code && s->json) code = output_open(&json, s->json);
    if (!code) code = tune_search(&t);
    const bool searched = !code;
    if (searched) code = conclude(&t, s, &p, &json);
    const int closed = output_close(&json, searched); /* what was tried is told even when nothing is taken */
    journal_close(&t.journal, searched && !t.stopped);
    tune_free(&t);
    return code ? code : closed;
}

#define FIELD(name) offsetof(settings, name)
#define SHARED(name) offsetof(settings, shared.name)

static const option options[] = {
    {"data", 'd', OPTION_TEXT, FIELD(data), "FILE", NULL, "texts like those to come, one per line; with --task the task's file", 0,
     0, HINT_FILE, 0},
    {"task", 0, OPTION_CHOICE, FIELD(task), NULL, NULL, "read --data with labels, as eval does: the loss is in its metric", 0, 0,
     HINT_NAMES, name_task},
    {"pairs", 0, OPTION_FLAG, FIELD(pairs), NULL, NULL, "a line is two texts separated by one TAB", 0, 0, HINT_NONE, 0},
    {"ids", 0, OPTION_TEXT, FIELD(ids), "FILE", NULL, "hnd: only the articles of this JSON list of ids, in its order", 0, 0,
     HINT_FILE, 0},
    {"limit", 0, OPTION_NUMBER, FIELD(limit), "N", NULL, "the first N texts [all]", 1, 1u << 30, HINT_NONE, 0},
    {"max-loss", 0, OPTION_TEXT, FIELD(max_loss), "POINTS", ".5", "loss accepted, in hundredths of the metric", 0, 0, HINT_NONE, 0},
    {"confidence", 0, OPTION_TEXT, FIELD(confidence), "SHARE", NULL,
     "demand that a bound of the loss holds with this confidence, e.g. .95 [the estimate must]", 0, 0, HINT_NONE, 0},
    {"by", 0, OPTION_CHOICE, FIELD(by), NULL, "time", "what to save: wall time, or counted multiply-adds", 0, 0, HINT_NAMES,
     name_by},
    {"swap", 0, OPTION_FLAG, FIELD(swap), NULL, NULL, "choose on the half that reports without it, and the other way round", 0, 0,
     HINT_NONE, 0},
    {"budget", 0, OPTION_TEXT, FIELD(budget), "MINUTES", NULL, "start no setting that would end later [no end]", 0, 0, HINT_NONE,
     0},
    {"attention", 0, OPTION_TEXT, SHARED(attention), "METHOD", NULL, "of exact and of every setting [the checkpoint's own]", 0, 0,
     HINT_NAMES, name_attention},
    {"profile", 0, OPTION_TEXT, SHARED(profile), "FILE", NULL, "calibration of the model [the one beside the model]", 0, 0,
     HINT_FILE, 0},
    {"seed", 0, OPTION_NUMBER, SHARED(seed), "N", "0", "seed of the random methods", 0, UINT64_MAX, HINT_NONE, 0},
    {"output", 'o', OPTION_TEXT, FIELD(output), "FILE", NULL, "the setting [DIR/" TUNED_NAME "]", 0, 0, HINT_FILE, 0},
    {"dry-run", 0, OPTION_FLAG, FIELD(dry_run), NULL, NULL, "write no setting", 0, 0, HINT_NONE, 0},
    {"journal", 0, OPTION_TEXT, FIELD(journal), "FILE", NULL,
     "what is finished, to go on after an interruption [the setting's .journal]", 0, 0, HINT_FILE, 0},
    {"restart", 0, OPTION_FLAG, FIELD(restart), NULL, NULL, "forget what the journal has", 0, 0, HINT_NONE, 0},
    {"json", 0, OPTION_TEXT, FIELD(json), "OUT", NULL, "write all that was tried as JSON", 0, 0, HINT_FILE, 0},
    {0},
};

const command command_tune = {
    .name = "tune",
    .arguments = "",
    .summary = "Find the fastest setting whose loss you accept, on your own texts.",
    .detail =
        "One half of the texts chooses: attention, value estimators and feed-forward methods, each timed in turn with exact, and "
        "the best of them together. The other half, which the search has not seen, says what the best of them really lose (at most "
        "five, three with --confidence); the first that keeps to --max-loss there is taken. Without --task there are no labels: an "
        "answer other than exact's is a loss.\n"
        "Without --confidence the estimate must keep to --max-loss, and its interval is told. With --confidence .95 a bound must, "
        "corrected for the settings tested on the second half: when the texts are too few to show it, the command says about how "
        "many would do.\n"
        "The setting is written beside the model, and used by commands that are given --tuned, never unasked. When nothing passes, "
        "nothing is written and the exit code is 1. Calibrated methods are tried when the model has a profile: run 'foveate "
        "calibrate' first. An interrupted run goes on where it was: give the same command again.",
    .shared = SHARED_MODEL | SHARED_RUN | SHARED_QUIET,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 0,
    .run = run,
    .example = "foveate tune --model bert-base-sst2 --task sst2 --data SST-2/dev.tsv --max-loss .5",
};
