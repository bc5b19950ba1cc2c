/* bench.c: rounds of exact and compared settings, and their paired ratios. */
#include "bench.h"
#include "progress.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const sentences[] = {
    "a charming and often affecting journey .",
    "the plot is thin , the jokes are older than the cast , and nobody seems to mind .",
    "unflinchingly bleak and desperate",
    "allows us to hope that the director is poised to embark on a major career as a commercial yet inventive filmmaker .",
    "it is slow .",
    ("the acting , costumes , music , cinematography and sound are all astounding given the production 's austere locales , and "
     "what little story there is moves along without once asking for more patience than it deserves ."),
    "in exactly ninety minutes , most of which passed as slowly as if i 'd been sitting naked on an igloo , it went nowhere .",
    "a gorgeous , witty , seductive movie .",
};

const char *bench_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown compiler";
#endif
}

int bench_parse(char *text, fov_session_options *options) {
    const struct {
        const char *name;
        const char **value;
    } places[] = {{"attention", &options->attention}, {"values", &options->values}, {"ffn", &options->ffn}};
    for (char *part = text; part;) {
        char *next = strchr(part, ';');
        if (next) *next++ = '\0';
        char *equals = strchr(part, '=');
        size_t found = 3;
        for (size_t i = 0; i < 3 && equals; i++)
            if (strlen(places[i].name) == (size_t)(equals - part) && !memcmp(places[i].name, part, (size_t)(equals - part)))
                found = i;
        if (found == 3 || !equals[1])
            return complain(EXIT_USAGE,
                            "--compare: '%s' is not attention=, values= or ffn= and a method: give e.g. values=mca:alpha=.2", part);
        *places[found].value = equals + 1;
        part = next;
    }
    return 0;
}

int bench_open(bench *b, const shared_settings *shared, const option_list *compare) {
    fov_error error;
    if (fov_machine_query(&b->machine, &error)) return complain_api(EXIT_FAILED, &error);
    b->threads = shared->threads ? (unsigned)shared->threads : b->machine.threads;
    b->settings = calloc(compare->count + 1, sizeof *b->settings);
    if (!b->settings) return complain_memory();
    b->count = compare->count + 1;
    for (size_t i = 0; i < b->count; i++) {
        bench_setting *one = &b->settings[i];
        one->text = i ? compare->items[i - 1] : "exact";
        one->rounds = calloc(b->repeat, sizeof *one->rounds);
        one->copy = strdup(one->text);
        if (!one->rounds || !one->copy) return complain_memory();
        one->options = (fov_session_options){.threads = b->threads, .max_length = (size_t)shared->max_length};
        int code = i ? bench_parse(one->copy, &one->options) : 0;
        if (code) return code;
    }
    double start = seconds_now();
    int code = engine_load(&b->engine, shared);
    if (code) return code;
    for (size_t i = 0; i < b->count; i++) {
        fov_session_options *options = &b->settings[i].options;
        size_t limit = b->engine.info->max_length;
        if (options->max_length > limit) options->max_length = limit;
        if (fov_session_create(b->engine.model, options, &b->settings[i].session, &error)) return complain_api(EXIT_USAGE, &error);
        if (!i) b->first_label = seconds_now() - start; /* load and session; the first text is added when it has run */
    }
    return 0;
}

/* A model without labels of whole texts is timed on vectors. */
static bool embeds(const bench *b) {
    fov_head head = b->engine.info->head;
    return head == FOV_HEAD_NONE || head == FOV_HEAD_MASKED_LM || head == FOV_HEAD_TOKENS;
}

int bench_texts(bench *b, const task *t, const char *path, size_t limit) {
    int code = 0;
    if (t) {
        code = dataset_read(&b->data, t, path, NULL, engine_label, b->engine.model, limit);
        b->texts = b->data.texts;
        b->text_count = b->data.count;
    } else {
        reader *r = NULL;
        if (path) code = reader_open(&r, path, NULL);
        if (!code && path) code = block_read(&b->lines, r, limit, false);
        if (!path) code = block_fill(&b->lines, sentences, sizeof sentences / sizeof *sentences, limit);
        reader_close(r);
        b->texts = b->lines.texts;
        b->text_count = b->lines.count;
    }
    if (!code && !b->text_count) code = complain(EXIT_FAILED, "%s: no texts: give a file with one per line", path);
    size_t outputs = embeds(b) ? b->engine.info->width : b->engine.info->labels;
    if (!code && !(b->results = calloc(b->text_count * outputs, sizeof *b->results))) code = complain_memory();
    return code;
}

static int run_once(bench *b, bench_setting *one, size_t count, double *seconds) {
    fov_error error;
    double start = seconds_now();
    fov_status status = embeds(b) ? fov_embed(one->session, b->texts, count, b->results, NULL, &error)
                                  : fov_classify(one->session, b->texts, count, b->results, NULL, &error);
    *seconds = seconds_now() - start;
    return status ? complain_api(EXIT_FAILED, &error) : 0;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : .5 * (values[n / 2 - 1] + values[n / 2]);
}

static int conclude(bench *b) {
    double *ratios = malloc(b->repeat * sizeof *ratios);
    if (!ratios) return complain_memory();
    for (size_t i = 0; i < b->count; i++) {
        bench_setting *one = &b->settings[i];
        fov_stats stats;
        fov_session_get_stats(one->session, &stats);
        one->share = stats.total_exact_real > 0 ? stats.total_done_real / stats.total_exact_real : 1;
        for (size_t r = 0; r < b->repeat; r++) ratios[r] = b->settings[0].rounds[r] / one->rounds[r];
        one->median = median(ratios, b->repeat);
        one->low = ratios[0];
        one->high = ratios[b->repeat - 1];
    }
    for (size_t i = 0; i < b->count; i++) b->settings[i].seconds = median(b->settings[i].rounds, b->repeat);
    fov_stats exact;
    fov_session_get_stats(b->settings[0].session, &exact);
    b->tokens = exact.tokens / b->repeat;
    b->tokens_per_second = (double)b->tokens / b->settings[0].seconds;
    b->flops = exact.seconds_total > 0 ? 2 * exact.total_done_real / exact.seconds_total : 0;
    free(ratios);
    return 0;
}

int bench_run(bench *b, bool quiet) {
    progress p;
    double seconds;
    int code = run_once(b, &b->settings[0], 1, &seconds);
    b->first_label += seconds;
    /* One round that does not count: scratch memory grows, pages are touched, clocks settle. */
    for (size_t i = 0; i < b->count && !code; i++) {
        code = run_once(b, &b->settings[i], b->text_count, &seconds);
        fov_session_reset_stats(b->settings[i].session);
    }
    progress_start(&p, "rounds", quiet);
    for (size_t r = 0; r < b->repeat && !code; r++) {
        b->peak = fmax(b->peak, fov_machine_peak_f32(b->threads, .1)); /* the best of all rounds: others may use the machine too */
        for (size_t i = 0; i < b->count && !code; i++)
            code = run_once(b, &b->settings[i], b->text_count, &b->settings[i].rounds[r]);
        progress_update(&p, r + 1, b->repeat);
    }
    progress_end(&p);
    return code ? code : conclude(b);
}

void bench_close(bench *b) {
    for (size_t i = 0; i < b->count; i++) {
        fov_session_free(b->settings[i].session);
        free(b->settings[i].rounds);
        free(b->settings[i].copy);
    }
    free(b->settings);
    free(b->results);
    dataset_free(&b->data);
    block_free(&b->lines);
    engine_close(&b->engine);
    *b = (bench){0};
}
