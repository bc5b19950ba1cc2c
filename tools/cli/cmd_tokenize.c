/* cmd_tokenize.c: the ids and pieces a model sees. */
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
    bool pairs;
} settings;

typedef struct job {
    const settings *settings;
    engine engine;
    output out;
    int32_t *ids;
    uint8_t *types;
    size_t room;
} job;

static int write_jsonl(job *j, size_t count, const fov_text_info *info) {
    json_t *ids = json_array(), *types = json_array(), *pieces = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(ids, json_integer(j->ids[i]));
        json_array_append_new(types, json_integer(j->types[i]));
        json_array_append_new(pieces, json_text(engine_piece(&j->engine, j->ids[i])));
    }
    return output_json(&j->out,
                       json_pack("{s:o, s:o, s:o, s:I, s:I, s:I}", "ids", ids, "pieces", pieces, "types", types, "tokens",
                                 (json_int_t)info->tokens, "truncated", (json_int_t)info->truncated, "invalid",
                                 (json_int_t)info->invalid),
                       JSON_LINE);
}

static int visit(void *context, const fov_text *given, size_t index) {
    job *j = context;
    fov_text text = *given;
    fov_text_info info;
    fov_error error;
    size_t count = 0;
    const char *tab = j->settings->pairs && text.a_size ? memchr(text.a, '\t', text.a_size) : NULL;
    if (j->settings->pairs && !tab)
        return complain(EXIT_FAILED, "text %zu: no TAB: --pairs wants two texts separated by one TAB", index + 1);
    if (tab) {
        text.b = tab + 1;
        text.b_size = text.a_size - (size_t)(tab + 1 - text.a);
        text.a_size = (size_t)(tab - text.a);
    }
    if (fov_tokenize(j->engine.session, &text, j->ids, j->types, j->room, &count, &info, &error))
        return complain_api(EXIT_FAILED, &error);
    if (!strcmp(j->settings->format, "jsonl")) return write_jsonl(j, count, &info);
    bool tsv = !strcmp(j->settings->format, "tsv");
    if (!tsv && index) putchar('\n');
    for (size_t i = 0; i < count; i++) {
        if (tsv)
            printf("%zu\t%d\t%d\t%s\n", index + 1, (int)j->ids[i], j->types[i], engine_piece(&j->engine, j->ids[i]));
        else
            printf("%6d  %s\n", (int)j->ids[i], engine_piece(&j->engine, j->ids[i]));
    }
    if (!tsv && info.truncated) printf("(%zu more cut off at the length limit)\n", info.truncated);
    return output_check(&j->out);
}

static int run(void *given) {
    const settings *s = given;
    job j = {.settings = s, .out = {.file = stdout, .slot = -1}};
    int code = engine_open(&j.engine, &s->shared);
    if (!code) {
        j.room = j.engine.info->max_length;
        j.ids = calloc(j.room, sizeof *j.ids);
        j.types = calloc(j.room, sizeof *j.types);
        code = j.ids && j.types ? texts_visit(&s->shared, SIZE_MAX, visit, &j) : complain_memory();
    }
    free(j.types);
    free(j.ids);
    engine_close(&j.engine);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"pairs", 0, OPTION_FLAG, FIELD(pairs), NULL, NULL, "a text is two, separated by one TAB", 0, 0, HINT_NONE, 0},
    {"format", 'f', OPTION_CHOICE, FIELD(format), NULL, "table", "form of the results", 0, 0, HINT_NAMES, name_format},
    {0},
};

const command command_tokenize = {
    .name = "tokenize",
    .arguments = "[TEXT...]",
    .summary = "Show the ids and pieces that a model sees of a text.",
    .detail = "Texts are the arguments, or the lines of standard input. tsv: text, id, segment, piece.",
    .shared = SHARED_MODEL | SHARED_RUN,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = SIZE_MAX,
    .run = run,
    .example = "foveate tokenize 'Unaffordable charm.'",
};
