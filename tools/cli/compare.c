/* compare.c: settings on one task, in turn: metric, cost, time, and traces of some texts. */
#include "compare.h"
#include "bench.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_TEXTS = 64 };

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static spread spread_of(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare_doubles);
    return (spread){n % 2 ? values[n / 2] : .5 * (values[n / 2 - 1] + values[n / 2]), values[0], values[n - 1]};
}

/* ---- settings ---- */

static int open_item(compared *one, const engine *e, const shared_settings *shared, const char *text) {
    fov_session_options options = {0};
    one->settings = *shared;
    one->engine = (engine){.model = e->model, .info = e->info, .seconds_load = e->seconds_load};
    one->text = strdup(text ? text : "exact");
    one->copy = strdup(text ? text : fov_session_baseline(e->session));
    if (!one->text || !one->copy) return complain_memory();
    int code = text ? bench_parse(one->copy, &options) : 0;
    if (code) return code;
    one->settings.attention = text ? options.attention : one->copy;
    one->settings.values = options.values ? options.values : "exact";
    one->settings.ffn = options.ffn ? options.ffn : "exact";
    return engine_session(&one->engine, &one->settings, NULL);
}

/* The command's own setting in the words of --compare: the places that are not exact. */
static void describe(const engine *e, const shared_settings *shared, char *text, size_t size) {
    static const char *const names[] = {"attention", "values", "ffn"};
    const char *const exact[] = {fov_session_baseline(e->session), "exact", "exact"};
    const char *const given[] = {shared->attention, shared->values, shared->ffn};
    text[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        const char *method = fov_session_method(e->session, (fov_place)i);
        const size_t used = strlen(text);
        if (!strcmp(method, exact[i])) continue;
        const bool short_form = given[i] && strcmp(given[i], "exact"); /* as typed, where it was */
        snprintf(text + used, size - used, "%s%s=%s", used ? ";" : "", names[i], short_form ? given[i] : method);
    }
}

int comparison_open(comparison *c, const engine *e, const shared_settings *shared, const option_list *list) {
    char own[1024];
    describe(e, shared, own, sizeof own);
    *c = (comparison){.items = calloc(list->count + 2, sizeof *c->items)};
    if (!c->items) return complain_memory();
    int code = open_item(&c->items[c->count++], e, shared, NULL);
    if (!code && *own) {
        c->given = c->count;
        code = open_item(&c->items[c->count++], e, shared, own);
    }
    for (size_t i = 0; i < list->count && !code; i++) code = open_item(&c->items[c->count++], e, shared, list->items[i]);
    return code;
}

/* ---- measurement ---- */

static int begin_item(compared *one, const task *t, const dataset *data, size_t seeds, size_t passes) {
    shared_settings silent = one->settings;
    silent.quiet = true;
    evaluation *v = &one->evaluation;
    *v = (evaluation){.task = t, .data = *data};
    one->seconds = calloc(passes, sizeof *one->seconds);
    int code = evaluation_begin(v, &one->engine, &silent, seeds);
    if (!code && !one->seconds) code = complain_memory();
    if (code) return code;
    /* What does not count: scratch memory is touched for the first time. */
    fov_stats stats;
    if (v->data.count > WARM_TEXTS) v->data.count = WARM_TEXTS;
    code = evaluation_pass(v, &one->engine, &silent, v->seeds, &stats);
    v->data.count = data->count;
    return code;
}

static size_t count_changed(const evaluation *v, const evaluation *exact) {
    const size_t columns = v->data.columns;
    size_t changed = 0;
    for (size_t i = 0; i < v->data.count; i++)
        changed += memcmp(v->predicted + i * columns, exact->predicted + i * columns, columns * sizeof *v->predicted) != 0;
    return changed;
}

static int conclude_item(compared *one, const compared *exact, size_t passes) {
    double *work = malloc(passes * sizeof *work);
    if (!work) return complain_memory();
    for (size_t r = 0; r < passes; r++) work[r] = exact->seconds[r] / one->seconds[r];
    one->speed = spread_of(work, passes);
    memcpy(work, one->seconds, passes * sizeof *work);
    one->time = spread_of(work, passes);
    free(work);
    one->changed = count_changed(&one->evaluation, &exact->evaluation);
    return evaluation_conclude(&one->evaluation);
}

int comparison_run(comparison *c, const task *t, const dataset *data, size_t rounds, size_t seeds) {
    int code = 0;
    bool draws = false;
    c->passes = rounds;
    for (size_t i = 0; i < c->count; i++) draws |= engine_is_random(&c->items[i].engine);
    if (draws && seeds > rounds) c->passes = seeds;
    if (!draws && seeds > 1 && !c->items[0].settings.quiet) remark("no method here draws: one seed is enough");
    for (size_t i = 0; i < c->count && !code; i++) code = begin_item(&c->items[i], t, data, seeds, c->passes);
    for (size_t r = 0; r < c->passes && !code; r++)
        for (size_t i = 0; i < c->count && !code; i++) {
            compared *one = &c->items[i];
            fov_stats stats;
            code = evaluation_pass(&one->evaluation, &one->engine, &one->settings, r, &stats);
            if (!code) one->seconds[r] = stats.seconds_total;
        }
    for (size_t i = 0; i < c->count && !code; i++) code = conclude_item(&c->items[i], &c->items[0], c->passes);
    return code;
}

/* ---- traces ---- */

static int keep_text(compared *one, const fov_explanation *x, size_t index) {
    traced_text *t = &one->shown[one->shown_count++];
    *t = (traced_text){.index = index,
                       .tokens = x->tokens,
                       .ids = calloc(x->tokens, sizeof *t->ids),
                       .importance = calloc(x->tokens, sizeof *t->importance),
                       .work = calloc(x->tokens, sizeof *t->work)};
    if (!t->ids || !t->importance || !t->work) return complain_memory();
    memcpy(t->ids, x->ids, x->tokens * sizeof *t->ids);
    for (size_t l = 0; l < x->layers; l++)
        for (size_t i = 0; i < x->tokens; i++) {
            t->importance[i] += x->importance[l * x->tokens + i] / (float)x->layers;
            t->work[i] += x->work[l * x->tokens + i] / (float)x->layers;
        }
    return 0;
}

static int trace_text(compared *one, size_t index, bool kept) {
    fov_text text = one->evaluation.data.texts[index];
    if (one->evaluation.by_cosine) text = (fov_text){.a = text.a, .a_size = text.a_size}; /* sides are embedded on their own */
    fov_explanation x;
    fov_error error;
    const fov_status status = fov_explain(one->engine.session, &text, &x, &error);
    if (status == FOV_ERR_UNSUPPORTED) { /* an attention that forms no weights */
        memcpy(one->untraced, error.message, sizeof one->untraced);
        return 0;
    }
    if (status) return complain_api(EXIT_FAILED, &error);
    for (size_t i = 0; i < x.layers * x.heads; i++) {
        one->head_importance[i] += (double)x.head_importance[i] * (double)x.tokens;
        one->head_work[i] += (double)x.head_work[i] * (double)x.tokens;
    }
    one->traced++;
    one->traced_tokens += x.tokens;
    return kept ? keep_text(one, &x, index) : 0;
}

static int trace_item(compared *one) {
    const size_t cells = one->engine.info->layers * one->engine.info->heads, count = one->evaluation.data.count;
    const size_t traced = count < COMPARE_TRACED ? count : COMPARE_TRACED, every = traced > COMPARE_SHOWN ? 2 : 1;
    one->head_importance = calloc(cells, sizeof *one->head_importance);
    one->head_work = calloc(cells, sizeof *one->head_work);
    if (!one->head_importance || !one->head_work) return complain_memory();
    int code = 0;
    for (size_t i = 0; i < traced && !code && !one->untraced[0]; i++)
        code = trace_text(one, i * count / traced, i % every == 0 && one->shown_count < COMPARE_SHOWN);
    for (size_t i = 0; i < cells && one->traced_tokens; i++) {
        one->head_importance[i] /= (double)one->traced_tokens;
        one->head_work[i] /= (double)one->traced_tokens;
    }
    return code;
}

int comparison_trace(comparison *c) {
    int code = 0;
    for (size_t i = 0; i < c->count && !code; i++) code = trace_item(&c->items[i]);
    return code;
}

void comparison_close(comparison *c) {
    for (size_t i = 0; i < c->count; i++) {
        compared *one = &c->items[i];
        one->evaluation.data = (dataset){0}; /* borrowed */
        evaluation_free(&one->evaluation);
        fov_session_free(one->engine.session);
        for (size_t k = 0; k < one->shown_count; k++) {
            free(one->shown[k].ids);
            free(one->shown[k].importance);
            free(one->shown[k].work);
        }
        free(one->head_importance);
        free(one->head_work);
        free(one->seconds);
        free(one->copy);
        free(one->text);
    }
    free(c->items);
    *c = (comparison){0};
}
