/* cmd_classify.c: labels of texts, one result per input line, streamed in blocks so that memory is flat. */
#include "block.h"
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "progress.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    bool pairs;
    const char *format, *output;
} settings;

/* Everything a row is written from. */
typedef struct writer {
    output out;
    const fov_model *model;
    const fov_model_info *info;
    size_t label_width;
    bool json, tsv;
} writer;

static size_t best_label(const float *scores, size_t labels) {
    size_t best = 0;
    for (size_t i = 1; i < labels; i++)
        if (scores[i] > scores[best] || isnan(scores[best])) best = i;
    return best;
}

static json_t *jsonl_row(const writer *w, const float *logits, const float *scores, const fov_text_info *info) {
    json_t *row = json_object(), *all = json_object(), *raw = json_array(), *chosen = json_array();
    size_t best = best_label(scores, w->info->labels);
    int bad = 0;
    for (size_t i = 0; i < w->info->labels; i++) {
        bad |= json_object_set_new_nocheck(all, fov_model_label(w->model, i), json_number((double)scores[i]));
        bad |= json_array_append_new(raw, json_number((double)logits[i]));
        if (w->info->head == FOV_HEAD_MULTI_LABEL && scores[i] > .5f)
            bad |= json_array_append_new(chosen, json_text(fov_model_label(w->model, i)));
    }
    if (w->info->head == FOV_HEAD_SINGLE_LABEL)
        bad |= json_object_set_new(row, "label", json_text(fov_model_label(w->model, best)));
    if (w->info->head == FOV_HEAD_MULTI_LABEL) bad |= json_object_set(row, "labels", chosen);
    bad |= json_object_set_new(row, "score", json_number((double)scores[best]));
    bad |= json_object_set(row, "scores", all);
    bad |= json_object_set(row, "logits", raw);
    bad |= json_object_set_new(row, "tokens", json_integer((json_int_t)info->tokens));
    bad |= json_object_set_new(row, "truncated", json_integer((json_int_t)info->truncated));
    json_decref(all);
    json_decref(raw);
    json_decref(chosen);
    if (!bad) return row;
    json_decref(row);
    return NULL;
}

static void label_cell(const writer *w, const float *scores, size_t best) {
    FILE *file = w->out.file;
    if (w->info->head == FOV_HEAD_SINGLE_LABEL) {
        const char *label = fov_model_label(w->model, best);
        output_cell(file, label, strlen(label), SIZE_MAX);
    } else if (w->info->head == FOV_HEAD_MULTI_LABEL) {
        bool any = false;
        for (size_t i = 0; i < w->info->labels; i++) {
            if (!(scores[i] > .5f)) continue;
            const char *label = fov_model_label(w->model, i);
            if (any) putc(',', file);
            output_cell(file, label, strlen(label), SIZE_MAX);
            any = true;
        }
        if (!any) putc('-', file);
    } else {
        putc('-', file);
    }
}

static void tsv_row(const writer *w, const float *scores, const fov_text_info *info) {
    size_t best = best_label(scores, w->info->labels);
    label_cell(w, scores, best);
    fprintf(w->out.file, "\t%.9g\t%zu\t%zu", (double)scores[best], info->tokens, info->truncated);
    for (size_t i = 0; i < w->info->labels; i++) fprintf(w->out.file, "\t%.9g", (double)scores[i]);
    putc('\n', w->out.file);
}

static void table_row(const writer *w, const fov_text *text, const float *scores, const fov_text_info *info) {
    enum { TEXT_COLUMNS = 60 };
    FILE *file = w->out.file;
    size_t best = best_label(scores, w->info->labels);
    fprintf(file, "%7.4f %6zu%s  ", (double)scores[best], info->tokens, info->truncated ? "+" : " ");
    if (w->info->head == FOV_HEAD_SINGLE_LABEL) {
        const char *label = fov_model_label(w->model, best);
        output_cell(file, label, strlen(label), SIZE_MAX);
        fprintf(file, "%*s", (int)(w->label_width - strlen(label)), "");
    } else {
        label_cell(w, scores, best);
    }
    fputs("  ", file);
    output_cell(file, text->a, text->a_size, TEXT_COLUMNS);
    if (text->b) fputs(" | ", file);
    if (text->b) output_cell(file, text->b, text->b_size, TEXT_COLUMNS);
    putc('\n', file);
}

static int write_row(writer *w, const fov_text *text, const float *logits, float *scores, const fov_text_info *info) {
    fov_scores(w->model, logits, scores);
    if (w->json) return output_json(&w->out, jsonl_row(w, logits, scores, info), JSON_LINE);
    if (w->tsv)
        tsv_row(w, scores, info);
    else
        table_row(w, text, scores, info);
    return 0;
}

static int stream(engine *e, writer *w, reader *r, const settings *s, size_t *empty) {
    size_t labels = e->info->labels, done = 0;
    size_t lines = reader_is_terminal(r) ? 1 : BLOCK_LINES; /* someone typing wants the answer to each line */
    float *logits = calloc(BLOCK_LINES * labels, sizeof *logits), *scores = calloc(labels, sizeof *scores);
    fov_text_info *infos = calloc(BLOCK_LINES, sizeof *infos);
    block b = {0};
    progress p;
    fov_error error;
    progress_start(&p, "texts", s->shared.quiet || reader_is_terminal(r));
    p.stream = true;
    fov_session_set_progress(e->session, progress_callback, &p);
    int code = logits && scores && infos ? 0 : complain_memory();
    while (!code && !(code = block_read(&b, r, lines, s->pairs)) && b.count) {
        p.base = done;
        p.share = p.next;
        p.next = reader_share(r);
        if (fov_classify(e->session, b.texts, b.count, logits, infos, &error)) {
            progress_end(&p);
            code = complain_api(EXIT_FAILED, &error);
            break;
        }
        progress_end(&p);
        for (size_t i = 0; i < b.count && !code; i++) code = write_row(w, &b.texts[i], logits + i * labels, scores, &infos[i]);
        if (!code) code = output_check(&w->out);
        done += b.count;
        *empty += b.empty;
    }
    progress_end(&p);
    block_free(&b);
    free(infos);
    free(scores);
    free(logits);
    return code;
}

static int check_head(const engine *e) {
    fov_head head = e->info->head;
    if (head != FOV_HEAD_NONE && head != FOV_HEAD_MASKED_LM && head != FOV_HEAD_TOKENS) return 0;
    return complain(EXIT_FAILED, "%s: the model has no classification head: use 'foveate %s', or give another --model",
                    e->info->name,
                    head == FOV_HEAD_NONE     ? "embed"
                    : head == FOV_HEAD_TOKENS ? "tag"
                                              : "fill-mask");
}

static int run(void *given) {
    const settings *s = given;
    engine e = {0};
    reader *r = NULL;
    size_t empty = 0;
    double seconds = 0;
    writer w = {.json = !strcmp(s->format, "jsonl"), .tsv = !strcmp(s->format, "tsv")};
    int code = reader_open(&r, s->shared.argument_count ? s->shared.arguments[0] : NULL,
                           "type texts, one per line, and end with Ctrl-D; or give a FILE");
    if (!code) code = reader_spare(r, s->output);
    if (!code) code = output_open(&w.out, s->output);
    if (!code) code = engine_load(&e, &s->shared);
    if (!code) code = check_head(&e);
    if (!code) code = engine_session(&e, &s->shared, NULL);
    if (!code) {
        w.model = e.model;
        w.info = e.info;
        const char *label;
        for (size_t i = 0; (label = fov_model_label(e.model, i)); i++)
            if (strlen(label) > w.label_width) w.label_width = strlen(label);
        double start = seconds_now();
        code = stream(&e, &w, r, s, &empty);
        seconds = seconds_now() - start;
    }
    int closed = output_close(&w.out, !code);
    if (!code) code = closed;
    if (!code && !s->shared.quiet) engine_summary(&e, empty, seconds);
    engine_close(&e);
    reader_close(r);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"pairs", 0, OPTION_FLAG, FIELD(pairs), NULL, NULL, "a line is two texts separated by one TAB", 0, 0, HINT_NONE, 0},
    {"format", 'f', OPTION_CHOICE, FIELD(format), NULL, "table", "form of the results", 0, 0, HINT_NAMES, name_format},
    {"output", 'o', OPTION_TEXT, FIELD(output), "FILE", NULL, "write here, when all is done, rather than to standard output", 0, 0,
     HINT_FILE, 0},
    {0},
};

const command command_classify = {
    .name = "classify",
    .arguments = "[FILE]",
    .summary = "Classify texts: one per line of FILE or standard input.",
    .detail =
        "jsonl: one object per line of input. tsv: label, score, tokens, tokens cut off, then the score of every label in the "
        "model's order. table: score, tokens (+: cut off at the length limit), label, text.\n"
        "A FILE may be .xz. A summary goes to stderr.",
    .shared = SHARED_ALL,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 1,
    .run = run,
    .example = "foveate classify --values mca:alpha=0.2 --format jsonl reviews.txt",
};
