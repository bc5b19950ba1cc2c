/* cmd_embed.c: vectors of texts, to an .npy file (resumable) or as text lines. */
#include "block.h"
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "npy.h"
#include "progress.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    bool pairs, normalize, no_normalize, resume;
    const char *format, *output, *pooling;
} settings;

/* Where rows go: `npy` when --output is given, else `out`. */
typedef struct sink {
    output out;
    npy_file npy;
    bool is_npy, json, tsv;
} sink;

static json_t *jsonl_row(const float *vector, size_t width, const fov_text_info *info) {
    json_t *row = json_object(), *values = json_array();
    int bad = 0;
    for (size_t i = 0; i < width; i++) bad |= json_array_append_new(values, json_number((double)vector[i]));
    bad |= json_object_set(row, "vector", values);
    bad |= json_object_set_new(row, "tokens", json_integer((json_int_t)info->tokens));
    bad |= json_object_set_new(row, "truncated", json_integer((json_int_t)info->truncated));
    json_decref(values);
    if (!bad) return row;
    json_decref(row);
    return NULL;
}

static int write_row(sink *k, const fov_text *text, const float *vector, size_t width, const fov_text_info *info) {
    enum { SHOWN = 6, TEXT_COLUMNS = 40 };
    FILE *file = k->out.file;
    if (k->json) return output_json(&k->out, jsonl_row(vector, width, info), JSON_LINE);
    size_t most = k->tsv || width < SHOWN ? width : SHOWN;
    for (size_t i = 0; i < most; i++)
        fprintf(file, k->tsv ? "%s%.9g" : "%s%8.4f", i ? (k->tsv ? "\t" : " ") : "", (double)vector[i]);
    if (!k->tsv) {
        double square = 0;
        for (size_t i = 0; i < width; i++) square += (double)vector[i] * (double)vector[i];
        fprintf(file, "%s  norm %.4f  ", most < width ? " ..." : "", sqrt(square));
        output_cell(file, text->a, text->a_size, TEXT_COLUMNS);
    }
    putc('\n', file);
    return 0;
}

static uint64_t hash_block(uint64_t hash, const block *b) {
    for (size_t i = 0; i < b->count; i++) {
        const fov_text *text = &b->texts[i];
        hash = npy_hash(hash, text->a, text->a_size);
        hash = npy_hash(hash, "\t", text->b != NULL);
        hash = npy_hash(hash, text->b, text->b_size);
        hash = npy_hash(hash, "\n", 1);
    }
    return hash;
}

/* Settings that change a vector; a resumed run must have the same, and the same model. */
static uint64_t hash_settings(const engine *e, const settings *s) {
    uint64_t hash = NPY_HASH;
    char text[500];
    for (int place = FOV_PLACE_ATTENTION; place <= FOV_PLACE_FFN; place++) {
        const char *method = fov_session_method(e->session, (fov_place)place);
        hash = npy_hash(hash, method, strlen(method) + 1);
    }
    int size =
        snprintf(text, sizeof text, "%s %llu %llu %s %d %d %d", e->info->dtype, (unsigned long long)s->shared.seed,
                 (unsigned long long)s->shared.max_length, s->pooling ? s->pooling : "", s->normalize, s->no_normalize, s->pairs);
    return npy_hash(hash, text, (size_t)size);
}

/* Skip the lines whose rows a previous run has written, making sure that they are the same lines. */
static int skip_done(const npy_file *f, reader *r, block *b, bool pairs) {
    uint64_t hash = NPY_HASH;
    for (size_t left = f->rows; left;) {
        int code = block_read(b, r, left, pairs);
        if (code) return code;
        if (!b->count) break;
        hash = hash_block(hash, b);
        left -= b->count;
    }
    if (hash == f->input) return 0;
    return complain(EXIT_FAILED, "%s: its first %zu lines are not those of %s: give the same input, or remove the partial file",
                    reader_name(r), f->rows, f->partial);
}

static int stream(engine *e, sink *k, reader *r, const settings *s, size_t *empty) {
    size_t width = e->info->width;
    size_t lines = reader_is_terminal(r) ? 1 : BLOCK_LINES / 4; /* rows are wide: 1024 x 768 x 4 bytes are 3 MiB */
    float *vectors = calloc(lines * width, sizeof *vectors);
    fov_text_info *infos = calloc(lines, sizeof *infos);
    block b = {0};
    progress p;
    fov_error error;
    progress_start(&p, "texts", s->shared.quiet || reader_is_terminal(r));
    fov_session_set_progress(e->session, progress_callback, &p);
    int code = vectors && infos ? 0 : complain_memory();
    if (!code && k->is_npy && k->npy.rows) {
        code = skip_done(&k->npy, r, &b, s->pairs);
        if (!code && !s->shared.quiet) remark("%s: %zu rows are done: going on from there", k->npy.partial, k->npy.rows);
        p.start = seconds_now();
        p.before = k->npy.rows;
    }
    p.stream = true;
    p.first = p.next = reader_share(r);
    for (size_t done = 0; !code && !(code = block_read(&b, r, lines, s->pairs)) && b.count; done += b.count) {
        p.base = done;
        p.share = p.next;
        p.next = reader_share(r);
        fov_status status = fov_embed(e->session, b.texts, b.count, vectors, infos, &error);
        progress_end(&p);
        if (status) {
            code = complain_api(EXIT_FAILED, &error);
        } else if (k->is_npy) {
            code = npy_append(&k->npy, vectors, b.count, hash_block(k->npy.input, &b));
        } else {
            for (size_t i = 0; i < b.count && !code; i++) code = write_row(k, &b.texts[i], vectors + i * width, width, &infos[i]);
            if (!code) code = output_check(&k->out);
        }
        *empty += b.empty;
    }
    block_free(&b);
    free(infos);
    free(vectors);
    return code;
}

static int check(const settings *s) {
    if (s->normalize && s->no_normalize) return complain(EXIT_USAGE, "--normalize and --no-normalize: give one of them");
    if (s->resume && !s->output) return complain(EXIT_USAGE, "--resume: there is no --output to take up: give --output X.npy");
    return s->output ? output_probe(s->output) : 0; /* before the model is loaded: its width is needed to open the file */
}

static int run(void *given) {
    const settings *s = given;
    engine e = {0};
    reader *r = NULL;
    size_t empty = 0;
    double seconds = 0;
    sink k = {.is_npy = s->output != NULL, .json = !strcmp(s->format, "jsonl"), .tsv = !strcmp(s->format, "tsv")};
    k.out.slot = k.npy.slot = k.npy.fd = -1;
    fov_session_options extra = {.normalize = s->normalize ? 1 : s->no_normalize ? -1 : 0};
    if (s->pooling) extra.pooling = !strcmp(s->pooling, "mean") ? FOV_POOLING_MEAN : FOV_POOLING_CLS;
    int code = check(s);
    if (!code)
        code = reader_open(&r, s->shared.argument_count ? s->shared.arguments[0] : NULL,
                           "type texts, one per line, and end with Ctrl-D; or give a FILE");
    if (!code) code = reader_spare(r, s->output);
    if (!code && !k.is_npy) code = output_open(&k.out, NULL);
    if (!code) code = engine_load(&e, &s->shared);
    if (!code) code = engine_session(&e, &s->shared, &extra);
    if (!code && k.is_npy)
        code = npy_open(&k.npy, s->output, e.info->width, hash_settings(&e, s), fov_model_hash(e.model), s->resume);
    if (!code) {
        double start = seconds_now();
        code = stream(&e, &k, r, s, &empty);
        seconds = seconds_now() - start;
    }
    int closed = k.is_npy ? npy_close(&k.npy, !code) : output_close(&k.out, !code);
    if (!code) code = closed;
    if (!code && !s->shared.quiet) engine_summary(&e, empty, seconds);
    engine_close(&e);
    reader_close(r);
    return code;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"pairs", 0, OPTION_FLAG, FIELD(pairs), NULL, NULL, "a line is two texts separated by one TAB", 0, 0, HINT_NONE, 0},
    {"pooling", 0, OPTION_CHOICE, FIELD(pooling), NULL, NULL, "how token vectors become one [the model's]", 0, 0, HINT_NAMES,
     name_pooling},
    {"normalize", 0, OPTION_FLAG, FIELD(normalize), NULL, NULL, "scale vectors to length 1 [as the model says]", 0, 0, HINT_NONE,
     0},
    {"no-normalize", 0, OPTION_FLAG, FIELD(no_normalize), NULL, NULL, "leave vectors as they are", 0, 0, HINT_NONE, 0},
    {"output", 'o', OPTION_TEXT, FIELD(output), "X.npy", NULL, "write a numpy array, f32 [texts, width]", 0, 0, HINT_FILE, 0},
    {"resume", 0, OPTION_FLAG, FIELD(resume), NULL, NULL, "keep finished rows in X.npy.partial and go on from them", 0, 0,
     HINT_NONE, 0},
    {"format", 'f', OPTION_CHOICE, FIELD(format), NULL, "jsonl", "form of the results without --output", 0, 0, HINT_NAMES,
     name_format},
    {0},
};

const command command_embed = {
    .name = "embed",
    .arguments = "[FILE]",
    .summary = "Turn texts into vectors: one text per line of FILE or standard input.",
    .detail =
        "With --output the vectors go to a numpy array that appears when it is complete. With --resume as well, finished rows are "
        "kept when the run is interrupted, and the same command goes on from there. What an unfinished run left is never thrown "
        "away: without --resume it is an error.",
    .shared = SHARED_ALL,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 1,
    .run = run,
    .example = "foveate embed --model all-MiniLM-L6-v2 --output vectors.npy --resume texts.txt",
};
