/* tune.c: the two halves of the data, and one setting measured on one of them.
 *
 * Time is paired: a half is run in blocks, and in some of them exact runs right before or after the setting, in turn, so that a
 * slow minute of the machine hits both. The speed is the median of the blocks' ratios. */
#include "tune.h"
#include "block.h"
#include "evaluate.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 8, PAIRS = 4, LEAST_HALF = 20 };

void tune_name(const trial *one, char text[TUNE_NAME]) {
    const char *const names[] = {"attention", "values", "ffn"}, *const given[] = {one->attention, one->values, one->ffn};
    int used = 0;
    for (size_t i = 0; i < 3; i++)
        if (*given[i] && strcmp(given[i], "exact"))
            used += snprintf(text + used, TUNE_NAME - (size_t)used, "%s%s=%s", used ? ";" : "", names[i], given[i]);
    if (!used) snprintf(text, TUNE_NAME, "exact");
}

/* ---- halves ---- */

static void exchange(dataset *d, size_t a, size_t b) {
    const fov_text text = d->texts[a];
    d->texts[a] = d->texts[b];
    d->texts[b] = text;
    for (size_t c = 0; d->gold && c < d->columns; c++) {
        const double gold = d->gold[a * d->columns + c];
        d->gold[a * d->columns + c] = d->gold[b * d->columns + c];
        d->gold[b * d->columns + c] = gold;
    }
}

/* Fisher and Yates, with a fixed seed: files are often sorted by class. Backwards, the halves have changed places. */
static void shuffle(dataset *d, bool swap) {
    uint64_t state = 6021023;
    for (size_t i = d->count; i > 1; i--) exchange(d, i - 1, stats_below(&state, i));
    for (size_t i = 0; swap && i < d->count / 2; i++) exchange(d, i, d->count - 1 - i);
}

static bool one_answer(const double *answers, size_t n, size_t columns) {
    for (size_t i = columns; i < n * columns; i++)
        if (answers[i] != answers[i - columns]) return false;
    return true;
}

static int check_answers(const tune *t, const double *answers, int half, const char *whose) {
    if (!one_answer(answers, t->size[half], t->data.columns)) return 0;
    const bool class = t->judge.kind != JUDGE_SCORES && t->data.columns == 1 && answers[0] >= 0;
    const char *label = class ? fov_model_label(t->engine.model, (size_t)answers[0]) : NULL;
    return complain(EXIT_FAILED,
                    "--data: %s is the same for all %zu texts of the %s half%s%s%s: a loss on them says nothing: give texts "
                    "of every class",
                    whose, t->size[half], half ? "second" : "first", label ? " ('" : "", label ? label : "", label ? "')" : "");
}

static int check_count(const tune *t) {
    const double max_loss = t->goal.max_loss;
    size_t least = t->judge.kind == JUDGE_SCORES ? judge_least(&t->judge, max_loss) : LEAST_HALF;
    if (t->judge.kind != JUDGE_SCORES && max_loss > 0 && 100 / max_loss > (double)least) least = (size_t)ceil(100 / max_loss);
    const size_t shown = t->goal.demanded ? judge_least(&t->judge, max_loss) : 0;
    if (shown > least) least = shown;
    if (t->size[0] >= least) return 0;
    if (t->goal.demanded)
        return complain(
            EXIT_FAILED,
            "--data: too few texts: %zu; a bound of %g points at %g %% needs at least %zu, half of them to choose and half to "
            "report, even if no answer changes",
            t->data.count, max_loss, 100 * t->goal.confidence, 2 * least);
    return complain(EXIT_FAILED,
                    "--data: too few texts: %zu; a loss of %g points needs at least %zu, half of them to choose and half to "
                    "report",
                    t->data.count, max_loss, 2 * least);
}

static bool all_blank(const dataset *d) {
    for (size_t i = 0; i < d->count; i++)
        if (!text_is_blank(d->texts[i].a, d->texts[i].a_size) || !text_is_blank(d->texts[i].b, d->texts[i].b_size)) return false;
    return true;
}

int tune_halves(tune *t) {
    if (all_blank(&t->data))
        return complain(EXIT_FAILED, "--data: all %zu texts are blank: give texts like those to come", t->data.count);
    t->size[0] = t->data.count / 2;
    t->size[1] = t->data.count - t->size[0];
    t->start[1] = t->size[0];
    int code = check_count(t);
    if (!code) shuffle(&t->data, t->goal.swap);
    for (int half = 0; half < 2 && !code && t->data.gold; half++)
        code = check_answers(t, t->data.gold + t->start[half] * t->data.columns, half, "the label");
    return code;
}

/* ---- one setting on one half ---- */

typedef struct run_state {
    tune *t;
    fov_session *session;
    float *logits;
    size_t outputs, first, count; /* of the block */
    double seconds;
} run_state;

static int show(void *context, size_t done, size_t total) {
    tune *t = context;
    (void)total;
    progress_update(&t->progress, t->texts_done + done, t->planned > t->texts_done + done ? t->planned : 0);
    return 0;
}

static int run_block(run_state *r, fov_session *session) {
    fov_error error;
    const double start = seconds_now();
    if (fov_classify(session, r->t->data.texts + r->first, r->count, r->logits, NULL, &error)) {
        progress_end(&r->t->progress);
        return complain_api(EXIT_FAILED, &error);
    }
    r->seconds = seconds_now() - start;
    return 0;
}

/* A block of the setting and, when paired, of exact: in turn first and second. */
static int run_pair(run_state *r, size_t index, size_t b, bool pair, double *ratio) {
    const bool before = pair && b % 2;
    double exact = 0;
    int code = 0;
    if (before) {
        code = run_block(r, r->t->engine.session);
        exact = r->seconds;
    }
    double own = 0;
    if (!code) code = run_block(r, r->session);
    own = r->seconds;
    measured *m = &r->t->trials[index].halves[r->first >= r->t->start[1]];
    const size_t offset = r->first - r->t->start[r->first >= r->t->start[1]], columns = r->t->data.columns;
    for (size_t i = 0; i < r->count && !code; i++)
        evaluation_answer(r->t->engine.info->head, r->logits + i * r->outputs, r->outputs, m->predicted + (offset + i) * columns);
    m->seconds += own;
    if (!code && pair && !before) {
        code = run_block(r, r->t->engine.session);
        exact = r->seconds;
    }
    *ratio = own > 0 ? exact / own : 1;
    return code;
}

static int run_half(tune *t, size_t index, int half, fov_session *session) {
    measured *m = &t->trials[index].halves[half];
    const size_t n = t->size[half], per = (n + BLOCKS - 1) / BLOCKS;
    run_state r = {.t = t, .session = session, .outputs = t->engine.info->labels};
    double ratios[PAIRS + 1];
    size_t pairs = 0;
    int code = 0;
    r.logits = calloc(per * r.outputs, sizeof *r.logits);
    if (!r.logits) return complain_memory();
    fov_session_set_progress(session, show, t);
    /* The first block is not timed against exact: scratch memory grows in it. */
    for (size_t b = 0; b * per < n && !code; b++) {
        r.first = t->start[half] + b * per;
        r.count = n - b * per < per ? n - b * per : per;
        const bool pair = index && b >= 1 && b <= PAIRS;
        code = run_pair(&r, index, b, pair, &ratios[pairs]);
        pairs += pair;
        t->texts_done += r.count;
    }
    free(r.logits);
    if (code) return code;
    fov_stats stats;
    fov_session_get_stats(session, &stats);
    m->share = stats.total_exact_real > 0 ? stats.total_done_real / stats.total_exact_real : 1;
    m->speed = pairs ? stats_median(ratios, pairs) : 1;
    m->speed_low = pairs ? ratios[0] : 1;
    m->speed_high = pairs ? ratios[pairs - 1] : 1;
    return 0;
}

/* ---- the journal's line ---- */

static json_t *pack(const tune *t, const trial *one, int half) {
    const measured *m = &one->halves[half];
    json_t *predicted = json_array();
    for (size_t i = 0; i < t->size[half] * t->data.columns; i++) json_array_append_new(predicted, json_number(m->predicted[i]));
    return json_pack("{s:s, s:s, s:s, s:i, s:f, s:[f,f,f], s:f, s:o}", "attention", one->attention, "values", one->values, "ffn",
                     one->ffn, "half", half, "seconds", m->seconds, "speed", m->speed, m->speed_low, m->speed_high, "share",
                     m->share, "predicted", predicted);
}

static int unpack(const tune *t, const json_t *line, trial *one, int half) {
    measured *m = &one->halves[half];
    const json_t *predicted = json_object_get(line, "predicted"), *speed = json_object_get(line, "speed");
    const size_t cells = t->size[half] * t->data.columns;
    if (json_array_size(predicted) != cells || json_array_size(speed) != 3)
        return complain(EXIT_FAILED, "%s: damaged: give --restart to begin anew", t->journal.path);
    for (size_t i = 0; i < cells; i++) {
        const json_t *cell = json_array_get(predicted, i);
        m->predicted[i] = json_is_number(cell) ? json_number_value(cell) : NAN;
    }
    m->seconds = json_number_value(json_object_get(line, "seconds"));
    m->speed = json_number_value(json_array_get(speed, 0));
    m->speed_low = json_number_value(json_array_get(speed, 1));
    m->speed_high = json_number_value(json_array_get(speed, 2));
    m->share = json_number_value(json_object_get(line, "share"));
    return 0;
}

/* ---- */

static int judge_half(tune *t, size_t index, int half) {
    measured *m = &t->trials[index].halves[half];
    const double *gold = t->data.gold ? t->data.gold + t->start[half] * t->data.columns : NULL;
    if (!index && !gold) {
        const int code = check_answers(t, m->predicted, half, "exact's answer");
        if (code) return code;
    }
    return judge_run(&t->judge, gold, t->trials[0].halves[half].predicted, m->predicted, t->size[half], &m->verdict)
               ? complain_memory()
               : 0;
}

int tune_measure(tune *t, size_t index, int half, fov_error *why) {
    trial *one = &t->trials[index];
    measured *m = &one->halves[half];
    why->status = FOV_OK;
    m->predicted = calloc(t->size[half] * t->data.columns, sizeof *m->predicted);
    if (!m->predicted) return complain_memory();
    const json_t *known = journal_find(&t->journal, one, half);
    int code = 0;
    if (known) {
        code = unpack(t, known, one, half);
    } else {
        fov_session_options options = {.threads = (unsigned)t->settings.threads,
                                       .seed = t->settings.seed,
                                       .attention = *one->attention ? one->attention : t->settings.attention,
                                       .values = one->values,
                                       .ffn = one->ffn,
                                       .profile = t->settings.profile,
                                       .max_length = (size_t)t->settings.max_length};
        fov_session *session = NULL;
        const fov_status status = fov_session_create(t->engine.model, &options, &session, why);
        if (status == FOV_ERR_UNSUPPORTED) return 0;
        if (status) {
            progress_end(&t->progress);
            return complain_api(EXIT_FAILED, why);
        }
        code = run_half(t, index, half, session);
        fov_session_free(session);
        if (!code) code = journal_add(&t->journal, pack(t, one, half));
    }
    if (!code) code = judge_half(t, index, half);
    m->done = !code;
    return code;
}

double tune_gain(const tune *t, size_t index, int half) {
    const measured *m = &t->trials[index].halves[half];
    if (!t->goal.by_work) return m->speed;
    return m->share > 0 ? t->trials[0].halves[half].share / m->share : 1;
}

bool tune_has_time(const tune *t, double after) {
    if (!(t->goal.budget > 0)) return true;
    const double pass = t->trials[0].halves[0].seconds, one = 1.5 * pass; /* half of the blocks are paired with exact */
    return seconds_now() - t->began + (1 + after) * one <= t->until;
}

void tune_free(tune *t) {
    for (size_t i = 0; i < t->count; i++)
        for (int half = 0; half < 2; half++) free(t->trials[i].halves[half].predicted);
    free(t->trials);
    json_decref(t->left_out);
    dataset_free(&t->data);
    engine_close(&t->engine);
}
