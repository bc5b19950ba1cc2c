/* cmd_fill_mask.c: likely words for the [MASK]s of a text. */
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "report.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_MASKS = 512, MOST_TOP = 1000 };

typedef struct settings {
    shared_settings shared;
    uint64_t top;
    const char *format;
} settings;

typedef struct job {
    const settings *settings;
    engine engine;
    output out;
    fov_candidate *candidates; /* [MOST_MASKS, top] */
} job;

static int write_jsonl(job *j, size_t masks) {
    size_t top = (size_t)j->settings->top;
    json_t *all = json_array();
    for (size_t m = 0; m < masks; m++) {
        json_t *list = json_array();
        for (size_t i = 0; i < top; i++) {
            const fov_candidate *c = &j->candidates[m * top + i];
            json_array_append_new(list, json_pack("{s:o, s:i, s:o}", "token", json_text(engine_piece(&j->engine, c->id)), "id",
                                                  (int)c->id, "probability", json_number((double)c->probability)));
        }
        json_array_append_new(all, list);
    }
    return output_json(&j->out, json_pack("{s:o}", "masks", all), JSON_LINE);
}

static int visit(void *context, const fov_text *text, size_t index) {
    job *j = context;
    fov_error error;
    size_t masks = MOST_MASKS, top = (size_t)j->settings->top;
    if (fov_fill_mask(j->engine.session, text, top, j->candidates, &masks, &error)) return complain_api(EXIT_FAILED, &error);
    if (!strcmp(j->settings->format, "jsonl")) return write_jsonl(j, masks);
    bool tsv = !strcmp(j->settings->format, "tsv");
    for (size_t m = 0; m < masks; m++) {
        if (!tsv && (m || index)) putchar('\n');
        for (size_t i = 0; i < top; i++) {
            const fov_candidate *c = &j->candidates[m * top + i];
            if (tsv)
                printf("%zu\t%zu\t%.9g\t%d\t%s\n", index + 1, m + 1, (double)c->probability, (int)c->id,
                       engine_piece(&j->engine, c->id));
            else
                printf("%7.4f  %s\n", (double)c->probability, engine_piece(&j->engine, c->id));
        }
    }
    return output_check(&j->out);
}

static int run(void *given) {
    const settings *s = given;
    job j = {.settings = s, .out = {.file = stdout, .slot = -1}};
    int code = engine_load(&j.engine, &s->shared);
    if (!code && j.engine.info->head != FOV_HEAD_MASKED_LM)
        code = complain(EXIT_FAILED, "%s: the model has no masked-LM head: give a --model that has one, e.g. bert-base-uncased",
                        j.engine.info->name);
    if (!code && s->top > j.engine.info->vocabulary)
        code = complain(EXIT_USAGE, "--top: the vocabulary has only %zu tokens: give at most that", j.engine.info->vocabulary);
    if (!code) code = engine_session(&j.engine, &s->shared, NULL);
    if (!code && !(j.candidates = calloc(MOST_MASKS * (size_t)s->top, sizeof *j.candidates))) code = complain_memory();
    if (!code) code = texts_visit(&s->shared, SIZE_MAX, visit, &j);
    free(j.candidates);
    engine_close(&j.engine);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"top", 'k', OPTION_NUMBER, FIELD(top), "N", "5", "candidates per mask", 1, MOST_TOP, HINT_NONE, 0},
    {"format", 'f', OPTION_CHOICE, FIELD(format), NULL, "table", "form of the results", 0, 0, HINT_NAMES, name_format},
    {0},
};

const command command_fill_mask = {
    .name = "fill-mask",
    .arguments = "[TEXT...]",
    .summary = "Say which words likely stand at each [MASK] of a text.",
    .detail = "Texts are the arguments, or the lines of standard input. Needs a model with a masked-LM head. tsv: text, mask, "
              "probability, id, token.",
    .shared = SHARED_MODEL | SHARED_METHODS | SHARED_RUN,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = SIZE_MAX,
    .run = run,
    .example = "foveate fill-mask --model bert-base-uncased 'The capital of France is [MASK].'",
};
