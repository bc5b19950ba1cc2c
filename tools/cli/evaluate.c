/* evaluate.c: predictions on a dataset, their metrics and intervals. */
#include "evaluate.h"
#include "progress.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BOOTSTRAP_ROUNDS = 1000 };

int evaluation_check(const engine *e, const task *t) {
    fov_head head = e->info->head;
    bool fits = t->regression ? head == FOV_HEAD_REGRESSION || head == FOV_HEAD_NONE
                              : head == (t->multi_label ? FOV_HEAD_MULTI_LABEL : FOV_HEAD_SINGLE_LABEL);
    if (fits) return 0;
    return complain(EXIT_FAILED, "%s: its head (%s) does not fit task %s: give a --model with a %s head", e->info->name,
                    head_name(head), t->name,
                    t->regression    ? "regression"
                    : t->multi_label ? "multi-label"
                                     : "single-label");
}

/* Class of the largest logit; a NaN among them makes the example wrong, not lucky. */
static double predict_class(const float *logits, size_t labels) {
    size_t best = 0;
    for (size_t i = 0; i < labels; i++) {
        if (isnan(logits[i])) return -1;
        if (logits[i] > logits[best]) best = i;
    }
    return (double)best;
}

void evaluation_answer(fov_head head, const float *logits, size_t outputs, double *answer) {
    if (head == FOV_HEAD_MULTI_LABEL) { /* sigmoid above .5; a NaN is no label */
        for (size_t c = 0; c < outputs; c++) answer[c] = logits[c] > 0;
        return;
    }
    *answer = head == FOV_HEAD_REGRESSION ? (double)logits[0] : predict_class(logits, outputs);
}

static double cosine(const float *a, const float *b, size_t width) {
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < width; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* Each side of the pairs is embedded on its own; a block at a time, so that vectors stay small. */
static int predict_cosines(evaluation *v, engine *e, progress *p) {
    enum { BLOCK = 1024 };
    size_t width = e->info->width, count = v->data.count;
    float *vectors = calloc(2 * BLOCK * width, sizeof *vectors);
    fov_text *texts = calloc(2 * BLOCK, sizeof *texts);
    fov_text_info *infos = calloc(2 * BLOCK, sizeof *infos);
    fov_error error;
    int code = vectors && texts && infos ? 0 : complain_memory();
    for (size_t done = 0; done < count && !code; done += BLOCK) {
        size_t n = count - done < BLOCK ? count - done : BLOCK;
        for (size_t i = 0; i < n; i++) {
            const fov_text *pair = &v->data.texts[done + i];
            texts[2 * i] = (fov_text){.a = pair->a, .a_size = pair->a_size};
            texts[2 * i + 1] = (fov_text){.a = pair->b, .a_size = pair->b_size};
        }
        p->base = 2 * done;
        if (fov_embed(e->session, texts, 2 * n, vectors, infos, &error)) code = complain_api(EXIT_FAILED, &error);
        for (size_t i = 0; i < n && !code; i++) {
            v->predicted[done + i] = cosine(vectors + 2 * i * width, vectors + (2 * i + 1) * width, width);
            v->logits[done + i] = (float)v->predicted[done + i];
            v->infos[done + i].tokens = infos[2 * i].tokens + infos[2 * i + 1].tokens;
        }
    }
    free(infos);
    free(texts);
    free(vectors);
    return code;
}

static int predict(evaluation *v, engine *e, progress *p) {
    fov_error error;
    if (v->by_cosine) return predict_cosines(v, e, p);
    p->base = 0;
    if (fov_classify(e->session, v->data.texts, v->data.count, v->logits, v->infos, &error)) {
        progress_end(p);
        return complain_api(EXIT_FAILED, &error);
    }
    for (size_t i = 0; i < v->data.count; i++)
        evaluation_answer(e->info->head, v->logits + i * v->outputs, v->outputs, v->predicted + i * v->data.columns);
    return 0;
}

/* total += stats / n, field by field */
static void add_stats(fov_stats *total, const fov_stats *one, double n) {
    total->texts = one->texts;
    total->tokens = one->tokens;
    total->truncated_texts = one->truncated_texts;
    total->invalid_texts = one->invalid_texts;
    total->values_done_real += one->values_done_real / n;
    total->values_exact_real += one->values_exact_real / n;
    total->values_done_padded += one->values_done_padded / n;
    total->values_exact_padded += one->values_exact_padded / n;
    total->total_done_real += one->total_done_real / n;
    total->total_exact_real += one->total_exact_real / n;
    total->seconds_tokenize += one->seconds_tokenize / n;
    total->seconds_values += one->seconds_values / n;
    total->seconds_total += one->seconds_total / n;
}

static int allocate(evaluation *v, const engine *e) {
    size_t n = v->data.count;
    v->outputs = v->by_cosine ? 1 : e->info->labels;
    v->logits = calloc(n * v->outputs, sizeof *v->logits);
    v->predicted = calloc(n * v->data.columns, sizeof *v->predicted);
    v->infos = calloc(n, sizeof *v->infos);
    v->figures = calloc(EVALUATION_METRICS * v->seeds, sizeof *v->figures);
    return v->logits && v->predicted && v->infos && v->figures ? 0 : complain_memory();
}

int evaluation_conclude(evaluation *v) {
    for (size_t m = 0; m < v->metric_count; m++) {
        interval *out = &v->intervals[m];
        if (v->seeds > 1)
            *out = metric_over_seeds(v->figures + m * v->seeds, v->seeds);
        else if (metric_bootstrap(v->metrics[m].value, v->data.gold, v->predicted, v->data.count, v->data.columns, BOOTSTRAP_ROUNDS,
                                  out))
            return complain_memory();
    }
    return 0;
}

int evaluation_begin(evaluation *v, const engine *e, const shared_settings *settings, size_t seeds) {
    v->by_cosine = v->task->regression && e->info->head == FOV_HEAD_NONE;
    v->metric_count = v->by_cosine ? 1 : v->task->metric_count;
    memcpy(v->metrics, v->task->metrics, sizeof v->metrics);
    if (v->by_cosine) v->metrics[0] = (metric){"spearman (cosine)", metric_spearman};
    v->seeds = engine_is_random(e) ? seeds : 1; /* without draws every seed gives the same figures */
    if (v->seeds < seeds && !settings->quiet) remark("no method here draws: one seed is enough");
    return allocate(v, e);
}

int evaluation_pass(evaluation *v, engine *e, const shared_settings *settings, size_t seed, fov_stats *stats) {
    shared_settings one = *settings;
    one.seed = settings->seed + seed;
    const bool again = seed >= v->seeds;
    int code = seed && !again ? engine_session(e, &one, NULL) : 0;
    double *scratch = code ? NULL : malloc(v->data.count * v->data.columns * METRIC_SCRATCH * sizeof *scratch);
    if (!code && !scratch) code = complain_memory();
    if (code) return code;
    progress p;
    progress_start(&p, "texts", settings->quiet);
    fov_session_reset_stats(e->session);
    fov_session_set_progress(e->session, progress_callback, &p);
    code = predict(v, e, &p);
    progress_end(&p);
    fov_session_set_progress(e->session, NULL, NULL);
    fov_session_get_stats(e->session, stats);
    for (size_t m = 0; m < v->metric_count && !code && !again; m++)
        v->figures[m * v->seeds + seed] = v->metrics[m].value(v->data.gold, v->predicted, v->data.count * v->data.columns, scratch);
    free(scratch);
    if (!code && !again) add_stats(&v->stats, stats, (double)v->seeds);
    return code;
}

int evaluation_run(evaluation *v, engine *e, const shared_settings *settings, size_t seeds) {
    int code = evaluation_begin(v, e, settings, seeds);
    fov_stats stats;
    for (size_t i = 0; i < v->seeds && !code; i++) code = evaluation_pass(v, e, settings, i, &stats);
    return code ? code : evaluation_conclude(v);
}

void evaluation_free(evaluation *v) {
    dataset_free(&v->data);
    free(v->logits);
    free(v->predicted);
    free(v->infos);
    free(v->figures);
    *v = (evaluation){0};
}
