/* cmd_explain.c: one text, its tokens shaded by how strongly they are attended, and the work spent per layer. */
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "pieces.h"
#include "report.h"
#include "texts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct settings {
    shared_settings shared;
    bool json;
    const char *color;
} settings;

typedef struct job {
    const settings *settings;
    engine engine;
    output out;
} job;

static bool wants_color(const settings *s) {
    if (!strcmp(s->color, "always")) return true;
    const char *no = getenv("NO_COLOR");
    return !strcmp(s->color, "auto") && isatty(STDOUT_FILENO) && !(no && *no);
}

/* Mean over layers of row [layer][token]. */
static double over_layers(const fov_explanation *x, const float *rows, size_t token) {
    double sum = 0;
    for (size_t l = 0; l < x->layers; l++) sum += (double)rows[l * x->tokens + token];
    return sum / (double)x->layers;
}

static double over_tokens(const fov_explanation *x, const float *rows, size_t layer) {
    double sum = 0;
    for (size_t t = 0; t < x->tokens; t++) sum += (double)rows[layer * x->tokens + t];
    return sum / (double)x->tokens;
}

/* A vocabulary comes from outside: its control characters must not drive the terminal. */
static void print_piece(const char *text) {
    output_cell(stdout, text, strlen(text), strlen(text));
}

/* Shades of the 256-colour cube's blue edge, dark text on the light ones; `most` gets the darkest. */
static void print_shaded(const job *j, const fov_explanation *x, const char *name, const float *rows, double most) {
    static const int shades[] = {231, 195, 159, 123, 87, 51, 45, 39};
    enum { SHADES = sizeof shades / sizeof *shades };
    printf("%-12s", name);
    for (size_t t = 0; t < x->tokens; t++) {
        const double share = most > 0 ? fmin(1, over_layers(x, rows, t) / most) : 0;
        const int shade = isfinite(share) ? (int)(share * (SHADES - 1) + .5) : 0;
        const piece p = piece_of(j->engine.model, x->ids[t]);
        printf("%s\033[38;5;16;48;5;%dm", t && p.spaced ? " " : "", shades[shade < 0 ? 0 : shade]);
        print_piece(p.text);
        fputs("\033[0m", stdout);
    }
    puts("\n");
}

/* Both on one text: white is none; the darkest is the text's largest importance, and the whole value projection. */
static void print_shades(const job *j, const fov_explanation *x) {
    double most = 0;
    for (size_t t = 0; t < x->tokens; t++) most = fmax(most, over_layers(x, x->importance, t));
    print_shaded(j, x, "importance", x->importance, most);
    print_shaded(j, x, "work", x->work, 1);
}

static void print_bars(const job *j, const fov_explanation *x) {
    static const char bar[] = "####################";
    double most = 0;
    for (size_t t = 0; t < x->tokens; t++) most = fmax(most, over_layers(x, x->importance, t));
    puts("importance   work");
    for (size_t t = 0; t < x->tokens; t++) {
        double importance = over_layers(x, x->importance, t);
        int length = most > 0 ? (int)(importance / most * (sizeof bar - 1) + .5) : 0;
        printf("    %6.4f %6.3f  %-20.*s  ", importance, over_layers(x, x->work, t), length, bar);
        print_piece(engine_piece(&j->engine, x->ids[t]));
        putchar('\n');
    }
    putchar('\n');
}

/* Exactly `columns` code points. */
static void print_column(const char *text, size_t columns) {
    size_t count = 0;
    for (const char *c = text; *c; c++) count += ((unsigned char)*c & 0xc0) != 0x80;
    output_cell(stdout, text, strlen(text), columns);
    if (count < columns) printf("%*s", (int)(columns - count), "");
}

static void print_layers(const job *j, const fov_explanation *x) {
    puts("layer  mean importance  most important          mean work");
    for (size_t l = 0; l < x->layers; l++) {
        size_t best = 0;
        for (size_t t = 1; t < x->tokens; t++)
            if (x->importance[l * x->tokens + t] > x->importance[l * x->tokens + best]) best = t;
        printf("%5zu  %15.4f  ", l + 1, over_tokens(x, x->importance, l));
        print_column(engine_piece(&j->engine, x->ids[best]), 14);
        printf(" %8.4f  %9.4f\n", (double)x->importance[l * x->tokens + best], over_tokens(x, x->work, l));
    }
}

static int print_scores(const job *j, const fov_explanation *x) {
    size_t labels = j->engine.info->labels;
    if (!x->logits || !labels) return 0;
    float *scores = malloc(labels * sizeof *scores);
    if (!scores) return complain_memory();
    fov_scores(j->engine.model, x->logits, scores);
    for (size_t i = 0; i < labels; i++) {
        const char *label = fov_model_label(j->engine.model, i);
        printf("%s%s %.4f", i ? ", " : "", label ? label : "score", (double)scores[i]);
    }
    puts("\n");
    free(scores);
    return 0;
}

static json_t *pack_rows(const float *rows, size_t layers, size_t columns) {
    json_t *all = json_array();
    for (size_t l = 0; l < layers; l++) {
        json_t *row = json_array();
        for (size_t i = 0; i < columns; i++) json_array_append_new(row, json_number((double)rows[l * columns + i]));
        json_array_append_new(all, row);
    }
    return all;
}

static json_t *pack(const job *j, const fov_explanation *x) {
    const fov_session *session = j->engine.session;
    json_t *ids = json_array(), *pieces = json_array(), *logits = json_array();
    for (size_t t = 0; t < x->tokens; t++) {
        json_array_append_new(ids, json_integer(x->ids[t]));
        json_array_append_new(pieces, json_text(engine_piece(&j->engine, x->ids[t])));
    }
    for (size_t i = 0; x->logits && i < j->engine.info->labels; i++)
        json_array_append_new(logits, json_number((double)x->logits[i]));
    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "checkpoint", json_text(j->engine.info->name),
                     "attention", fov_session_method(session, FOV_PLACE_ATTENTION), "values",
                     fov_session_method(session, FOV_PLACE_VALUES), "ffn", fov_session_method(session, FOV_PLACE_FFN), "ids", ids,
                     "pieces", pieces, "importance", pack_rows(x->importance, x->layers, x->tokens), "work",
                     pack_rows(x->work, x->layers, x->tokens), "head_importance",
                     pack_rows(x->head_importance, x->layers, x->heads), "head_work", pack_rows(x->head_work, x->layers, x->heads),
                     "logits", logits);
}

static int visit(void *context, const fov_text *text, size_t index) {
    job *j = context;
    fov_explanation x;
    fov_error error;
    (void)index;
    if (fov_explain(j->engine.session, text, &x, &error)) return complain_api(EXIT_FAILED, &error);
    if (j->settings->json) return output_json(&j->out, pack(j, &x), JSON_LINE);
    int code = print_scores(j, &x);
    if (code) return code;
    if (wants_color(j->settings))
        print_shades(j, &x);
    else
        print_bars(j, &x);
    print_layers(j, &x);
    return output_check(&j->out);
}

static int run(void *given) {
    const settings *s = given;
    job j = {.settings = s, .out = {.file = stdout, .slot = -1}};
    int code = engine_open(&j.engine, &s->shared);
    if (!code) code = texts_visit(&s->shared, 1, visit, &j);
    engine_close(&j.engine);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"json", 0, OPTION_FLAG, FIELD(json), NULL, NULL, "as one JSON object", 0, 0, HINT_NONE, 0},
    {"color", 0, OPTION_CHOICE, FIELD(color), NULL, "auto", "shade tokens with colours (NO_COLOR is respected)", 0, 0, HINT_NAMES,
     name_color},
    {0},
};

const command command_explain = {
    .name = "explain",
    .arguments = "[TEXT]",
    .summary = "Show where the attention and the work of one text went.",
    .detail =
        "The text is the argument, or the first line of standard input. importance: mean over heads (and layers) of the largest "
        "attention weight a token receives. work: share of its value projection that was computed, 1 is exact. On a terminal the "
        "text is shown twice, shaded by each.",
    .shared = SHARED_MODEL | SHARED_METHODS | SHARED_RUN,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 1,
    .run = run,
    .example = "foveate explain --values mca:alpha=0.4 'a charming and often affecting journey'",
};
