/* cmd_tag.c: a label for each word piece of a text. */
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "report.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    const char *format;
} settings;

typedef struct job {
    const settings *settings;
    engine engine;
    output out;
    int32_t *ids;  /* [room] */
    float *logits; /* [room, labels] */
    float *scores; /* [labels] */
    size_t room;   /* the model's limit */
} job;

/* The likeliest label of a token and its probability. */
static size_t best_of(const job *j, size_t token, double *score) {
    size_t labels = j->engine.info->labels, best = 0;
    fov_scores(j->engine.model, j->logits + token * labels, j->scores);
    for (size_t i = 1; i < labels; i++)
        if (j->scores[i] > j->scores[best]) best = i;
    *score = (double)j->scores[best];
    return best;
}

/* The pieces between the first and the last id, which are special. */
static int write_jsonl(job *j, size_t count, const fov_text_info *info) {
    json_t *all = json_array();
    for (size_t t = 1; t + 1 < count; t++) {
        double score;
        size_t best = best_of(j, t, &score);
        json_array_append_new(all, json_pack("{s:o, s:i, s:o, s:o}", "token", json_text(engine_piece(&j->engine, j->ids[t])), "id",
                                             (int)j->ids[t], "label", json_text(fov_model_label(j->engine.model, best)), "score",
                                             json_number(score)));
    }
    return output_json(&j->out, json_pack("{s:o, s:I}", "tokens", all, "truncated", (json_int_t)info->truncated), JSON_LINE);
}

static int visit(void *context, const fov_text *text, size_t index) {
    job *j = context;
    fov_error error;
    fov_text_info info;
    size_t count = j->room, ids;
    if (fov_tokenize(j->engine.session, text, j->ids, NULL, j->room, &ids, &info, &error) ||
        fov_tag(j->engine.session, text, j->logits, &count, &error))
        return complain_api(EXIT_FAILED, &error);
    if (!strcmp(j->settings->format, "jsonl")) return write_jsonl(j, count, &info);
    bool tsv = !strcmp(j->settings->format, "tsv");
    if (!tsv && index) putchar('\n');
    for (size_t t = 1; t + 1 < count; t++) {
        double score;
        const char *label = fov_model_label(j->engine.model, best_of(j, t, &score));
        if (tsv)
            printf("%zu\t%zu\t%s\t%s\t%.9g\n", index + 1, t, engine_piece(&j->engine, j->ids[t]), label, score);
        else
            printf("%7.4f  %-16s  %s\n", score, label, engine_piece(&j->engine, j->ids[t]));
    }
    if (!tsv && info.truncated) printf("(%zu more cut off at the length limit)\n", info.truncated);
    return output_check(&j->out);
}

static int run(void *given) {
    const settings *s = given;
    job j = {.settings = s, .out = {.file = stdout, .slot = -1}};
    int code = engine_load(&j.engine, &s->shared);
    if (!code && j.engine.info->head != FOV_HEAD_TOKENS)
        code = complain(EXIT_FAILED, "%s: the model does not label tokens: give a --model of a ...ForTokenClassification class",
                        j.engine.info->name);
    if (!code) code = engine_session(&j.engine, &s->shared, NULL);
    if (!code) {
        j.room = j.engine.info->max_length;
        j.ids = calloc(j.room, sizeof *j.ids);
        j.logits = calloc(j.room * j.engine.info->labels, sizeof *j.logits);
        j.scores = calloc(j.engine.info->labels, sizeof *j.scores);
        if (!j.ids || !j.logits || !j.scores) code = complain_memory();
    }
    if (!code) code = texts_visit(&s->shared, SIZE_MAX, visit, &j);
    free(j.scores);
    free(j.logits);
    free(j.ids);
    engine_close(&j.engine);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"format", 'f', OPTION_CHOICE, FIELD(format), NULL, "table", "form of the results", 0, 0, HINT_NAMES, name_format},
    {0},
};

const command command_tag = {
    .name = "tag",
    .arguments = "[TEXT...]",
    .summary = "Label each word piece of a text (names, parts of speech, ...).",
    .detail =
        "Texts are the arguments, or the lines of standard input. Needs a token-classification model. tsv: text, place of the "
        "piece, piece, label, probability.",
    .shared = SHARED_MODEL | SHARED_METHODS | SHARED_RUN,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = SIZE_MAX,
    .run = run,
    .example = "foveate tag --model bert-base-NER 'Ada Lovelace lived in London.'",
};
