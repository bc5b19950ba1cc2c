/* cmd_rerank.c: documents in the order in which a cross-encoder finds them fit for their query. */
#include "block.h"
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_COLUMNS = 100 };

typedef struct settings {
    shared_settings shared;
    uint64_t top;
    const char *format;
} settings;

typedef struct document {
    char *text; /* [size] */
    size_t size, line;
    double score;
} document;

/* The documents of one query: lines that follow each other. */
typedef struct job {
    const settings *settings;
    engine engine;
    output out;
    char *query;
    size_t query_size, queries, count, room;
    document *documents;
} job;

/* Best first; NaN last; equal scores in the order given. */
static int compare(const void *a, const void *b) {
    const document *x = a, *y = b;
    if (x->score > y->score) return -1;
    if (x->score < y->score) return 1;
    int x_nan = x->score != x->score, y_nan = y->score != y->score;
    if (x_nan != y_nan) return x_nan - y_nan;
    return (x->line > y->line) - (x->line < y->line);
}

static int write_one(job *j, const document *d, size_t rank) {
    if (!strcmp(j->settings->format, "jsonl"))
        return output_json(&j->out,
                           json_pack("{s:I, s:o, s:o, s:I, s:o}", "rank", (json_int_t)rank, "score", json_number(d->score), "query",
                                     json_text(j->query), "line", (json_int_t)d->line, "document", json_text(d->text)),
                           JSON_LINE);
    bool tsv = !strcmp(j->settings->format, "tsv");
    if (tsv)
        printf("%zu\t%zu\t%.9g\t%zu\t", j->queries, rank, d->score, d->line);
    else
        printf("%4zu %9.4f  ", rank, d->score);
    output_cell(stdout, d->text, d->size, tsv ? SIZE_MAX : TEXT_COLUMNS);
    putchar('\n');
    return 0;
}

/* Sort, write and forget the documents of the query. */
static int finish_query(job *j) {
    int code = 0;
    if (j->count) {
        qsort(j->documents, j->count, sizeof *j->documents, compare);
        if (!strcmp(j->settings->format, "table")) {
            if (j->queries > 1) putchar('\n');
            output_cell(stdout, j->query, j->query_size, TEXT_COLUMNS);
            putchar('\n');
        }
    }
    size_t most = j->settings->top && j->settings->top < j->count ? (size_t)j->settings->top : j->count;
    for (size_t i = 0; i < most && !code; i++) code = write_one(j, &j->documents[i], i + 1);
    for (size_t i = 0; i < j->count; i++) free(j->documents[i].text);
    j->count = 0;
    return code ? code : output_check(&j->out);
}

static char *copy(const char *text, size_t size) {
    char *made = malloc(size + 1);
    if (!made) return NULL;
    if (size) memcpy(made, text, size);
    made[size] = '\0';
    return made;
}

static int add(job *j, const fov_text *text, size_t line, double score) {
    int code = 0;
    if (!j->query || j->query_size != text->a_size || (text->a_size && memcmp(j->query, text->a, text->a_size))) {
        if ((code = finish_query(j))) return code;
        free(j->query);
        j->query = copy(text->a, text->a_size);
        j->query_size = text->a_size;
        j->queries++;
    }
    if (j->count == j->room) {
        size_t room = j->room ? 2 * j->room : 64;
        document *larger = realloc(j->documents, room * sizeof *larger);
        if (!larger) return complain_memory();
        j->documents = larger;
        j->room = room;
    }
    document d = {copy(text->b, text->b_size), text->b_size, line, score};
    if (!d.text || !j->query) {
        free(d.text);
        return complain_memory();
    }
    j->documents[j->count++] = d;
    return 0;
}

/* One logit as it is; else the probability of the last label, the usual "relevant". */
static double score_of(const job *j, const float *logits, float *scores) {
    size_t labels = j->engine.info->labels;
    if (labels == 1) return (double)logits[0];
    fov_scores(j->engine.model, logits, scores);
    return (double)scores[labels - 1];
}

static int stream(job *j, reader *r) {
    size_t labels = j->engine.info->labels, done = 0;
    float *logits = calloc((BLOCK_LINES + 1) * labels, sizeof *logits);
    block b = {0};
    progress p;
    fov_error error;
    progress_start(&p, "documents", j->settings->shared.quiet || reader_is_terminal(r));
    p.stream = true;
    fov_session_set_progress(j->engine.session, progress_callback, &p);
    int code = logits ? 0 : complain_memory();
    while (!code && !(code = block_read(&b, r, BLOCK_LINES, true)) && b.count) {
        p.base = done;
        p.share = p.next;
        p.next = reader_share(r);
        bool failed = fov_classify(j->engine.session, b.texts, b.count, logits, NULL, &error);
        progress_end(&p);
        if (failed) code = complain_api(EXIT_FAILED, &error);
        for (size_t i = 0; i < b.count && !code; i++)
            code = add(j, &b.texts[i], done + i + 1, score_of(j, logits + i * labels, logits + BLOCK_LINES * labels));
        done += b.count;
    }
    progress_end(&p);
    if (!code) code = finish_query(j);
    block_free(&b);
    free(logits);
    return code;
}

static int run(void *given) {
    const settings *s = given;
    job j = {.settings = s, .out = {.file = stdout, .slot = -1}};
    reader *r = NULL;
    int code = reader_open(&r, s->shared.argument_count ? s->shared.arguments[0] : NULL,
                           "type lines of a query, a TAB and a document, and end with Ctrl-D; or give a FILE");
    if (!code) code = engine_load(&j.engine, &s->shared);
    if (!code && j.engine.info->head != FOV_HEAD_REGRESSION && j.engine.info->head != FOV_HEAD_SINGLE_LABEL &&
        j.engine.info->head != FOV_HEAD_MULTI_LABEL)
        code = complain(EXIT_FAILED, "%s: the model does not score pairs: give a --model of a ...ForSequenceClassification class",
                        j.engine.info->name);
    if (!code) code = engine_session(&j.engine, &s->shared, NULL);
    if (!code) code = stream(&j, r);
    for (size_t i = 0; i < j.count; i++) free(j.documents[i].text);
    free(j.documents);
    free(j.query);
    engine_close(&j.engine);
    reader_close(r);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"top", 'k', OPTION_NUMBER, FIELD(top), "N", NULL, "documents shown of a query [all]", 1, 1u << 20, HINT_NONE, 0},
    {"format", 'f', OPTION_CHOICE, FIELD(format), NULL, "table", "form of the results", 0, 0, HINT_NAMES, name_format},
    {0},
};

const command command_rerank = {
    .name = "rerank",
    .arguments = "[FILE]",
    .summary = "Sort documents by a cross-encoder's score for their query.",
    .detail =
        "A line of FILE or standard input is a query, a TAB and a document; lines of one query follow each other. The score is "
        "the model's one logit, or the probability of its last label. tsv: number of the query, rank, score, line, document.",
    .shared = SHARED_ALL,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 1,
    .run = run,
    .example = "foveate rerank --model ms-marco-MiniLM-L-6-v2 --top 10 pairs.tsv",
};
