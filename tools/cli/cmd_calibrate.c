/* cmd_calibrate.c: statistics of a model's layers over texts, written as a profile for the calibrated methods. */
#include "block.h"
#include "commands.h"
#include "engine.h"
#include "progress.h"
#include "report.h"

#include <inttypes.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    const char *data, *output;
    bool pairs, compact;
} settings;

static int write_bytes(void *context, const void *data, size_t size) {
    output *out = context;
    return fwrite(data, 1, size, out->file) != size;
}

static int add_texts(fov_calibration *c, reader *r, const settings *s) {
    block b = {0};
    progress p;
    fov_error error;
    int code = 0;
    progress_start(&p, "texts", s->shared.quiet || reader_is_terminal(r));
    fov_calibration_set_progress(c, progress_callback, &p);
    for (size_t done = 0; !code && !(code = block_read(&b, r, BLOCK_LINES / 4, s->pairs)) && b.count; done += b.count) {
        p.base = done;
        if (fov_calibration_add(c, b.texts, b.count, &error)) {
            progress_end(&p);
            code = complain_api(EXIT_FAILED, &error);
        }
    }
    progress_end(&p);
    block_free(&b);
    return code;
}

static int check(const settings *s, char *path, size_t size) {
    if (!s->data) return complain(EXIT_USAGE, "--data is missing: give texts, one per line, e.g. --data texts.txt");
    if (s->shared.dtype && strcmp(s->shared.dtype, "f32"))
        return complain(EXIT_USAGE, "--dtype: statistics are gathered in f32: leave it out");
    if (!s->shared.model && !s->output)
        return complain(EXIT_USAGE, "--output is missing: the embedded model has no folder to put its profile in");
    if (!s->output && path_beside(s->shared.model, FOV_PROFILE_NAME, path, size)) return EXIT_USAGE;
    if (s->output && (size_t)snprintf(path, size, "%s", s->output) >= size)
        return complain(EXIT_USAGE, "--output: the path is longer than %zu bytes", size - 1);
    if (output_replaces(path, s->data)) return complain(EXIT_USAGE, "--output: it would replace %s: give another name", s->data);
    return output_probe(path);
}

static int calibrate(engine *e, reader *r, output *out, const settings *s) {
    fov_calibration *c = NULL;
    fov_calibration_counts counts;
    fov_error error;
    const double start = seconds_now();
    const fov_calibration_options options = {
        .threads = (unsigned)s->shared.threads, .max_length = (size_t)s->shared.max_length, .compact = s->compact};
    if (fov_calibration_create(e->model, &options, &c, &error)) return complain_api(EXIT_FAILED, &error);
    int code = add_texts(c, r, s);
    const double gathered = seconds_now();
    fov_calibration_get_counts(c, &counts);
    progress p;
    progress_start(&p, "fits", s->shared.quiet);
    fov_calibration_set_progress(c, progress_callback, &p);
    const bool failed = !code && fov_calibration_write(c, write_bytes, out, &error);
    progress_end(&p);
    if (failed) {
        if (error.status == FOV_ERR_IO) code = output_check(out); /* it knows why */
        if (!code) code = complain_api(EXIT_FAILED, &error);
    }
    fov_calibration_free(c);
    if (!code && !s->shared.quiet)
        remark("%" PRIu64 " texts, %" PRIu64 " tokens, %" PRIu64 " truncated: gathered in %.1f s, fitted in %.1f s", counts.texts,
               counts.tokens, counts.truncated_texts, gathered - start, seconds_now() - gathered);
    return code;
}

static int run(void *given) {
    const settings *s = given;
    engine e = {0};
    reader *r = NULL;
    output out = {.slot = -1};
    char path[4096];
    int code = check(s, path, sizeof path);
    if (!code) code = reader_open(&r, s->data, NULL);
    if (!code) code = engine_load(&e, &s->shared);
    if (!code && strcmp(e.info->dtype, "f32"))
        code = complain(EXIT_USAGE, "--model: statistics are gathered in f32, and it is packed as %s: give the checkpoint",
                        e.info->dtype);
    if (!code) code = output_open(&out, path);
    if (!code) code = calibrate(&e, r, &out, s);
    const int closed = output_close(&out, !code);
    reader_close(r);
    engine_close(&e);
    return code ? code : closed;
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"data", 'd', OPTION_TEXT, FIELD(data), "TEXTS", NULL, "texts like those to come, one per line; no labels", 0, 0, HINT_FILE, 0},
    {"pairs", 0, OPTION_FLAG, FIELD(pairs), NULL, NULL, "a line is two texts separated by one TAB", 0, 0, HINT_NONE, 0},
    {"output", 'o', OPTION_TEXT, FIELD(output), "FILE", NULL, "the profile [DIR/" FOV_PROFILE_NAME "]", 0, 0, HINT_FILE, 0},
    {"compact", 0, OPTION_FLAG, FIELD(compact), NULL, NULL, "a small profile: few levels, weights in f16", 0, 0, HINT_NONE, 0},
    {0},
};

const command command_calibrate = {
    .name = "calibrate",
    .arguments = "",
    .summary = "Gather a model's statistics over texts, for the methods that are calibrated.",
    .detail =
        "The profile is the same for any number of threads and any order of the texts. It belongs to these very weights: another "
        "model is refused. A thousand sentences are enough; more, and more like the texts to come, do no harm.",
    .shared = SHARED_MODEL | SHARED_RUN | SHARED_QUIET,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 0,
    .run = run,
    .example = "foveate calibrate --model bert-base-sst2 --data sentences.txt",
};
