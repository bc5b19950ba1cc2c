/* report_work.c: where the work went: heat maps by layer and head, and texts shaded token by token. Both come from fov_explain on a
 * few texts of the data. */
#include "html.h"
#include "pieces.h"
#include "report_html.h"
#include "svg.h"

#include <math.h>
#include <string.h>

enum { TOKENS_SHOWN = 240 };
static const double shade_most = .75; /* letters stay readable on the darkest cell, in light and in dark */

static void write_cell(FILE *file, const char *tag, const char *class, double value, double most, int decimals) {
    const double shade = most > 0 && isfinite(value) ? shade_most * fmin(1, value / most) : 0;
    fprintf(file, "<%s class=\"w\" style=\"--a:%.3f\">", tag, shade);
    html_number(file, class, value, decimals);
    fprintf(file, "</%s>", tag);
}

static void write_heat(FILE *file, const compared *one, const double *cells, const char *class, double most) {
    const size_t layers = one->engine.info->layers, heads = one->engine.info->heads;
    fputs("<div class=\"wide\"><table class=\"heat\">\n<tr><th>layer</th>", file);
    for (size_t h = 0; h < heads; h++) fprintf(file, "<th>head %zu</th>", h + 1);
    fputs("<th>mean</th></tr>\n", file);
    for (size_t l = 0; l < layers; l++) {
        double sum = 0;
        fprintf(file, "<tr><th>%zu</th>", l + 1);
        for (size_t h = 0; h < heads; h++) {
            write_cell(file, "td", class, cells[l * heads + h], most, 3);
            sum += cells[l * heads + h];
        }
        write_cell(file, "td", "layer-mean", sum / (double)heads, most, 3);
        fputs("</tr>\n", file);
    }
    fputs("</table></div>\n", file);
}

static double largest(const double *cells, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, cells[i]);
    return most;
}

/* Whether anything was saved: exact values show a plain sentence, not a table of ones. */
static bool saves(const compared *one) {
    for (size_t i = 0; i < one->engine.info->layers * one->engine.info->heads; i++)
        if (one->head_work[i] < .999999) return true;
    return false;
}

static void write_title(FILE *file, const compared *one, size_t number) {
    fprintf(file, "<span class=\"no k%zu\">%zu</span> ", number % SVG_COLORS, number);
    html_string(file, one->text);
}

void report_work(FILE *file, const report_source *s) {
    const comparison *c = s->compared;
    const compared *exact = &c->items[0];
    const size_t cells = exact->engine.info->layers * exact->engine.info->heads;
    fputs("<h2>Where the work went, by layer and head</h2>\n<figure>\n", file);
    for (size_t i = 0; i < c->count; i++) {
        const compared *one = &c->items[i];
        fputs("<h3>", file);
        write_title(file, one, i);
        fputs("</h3>\n", file);
        if (!one->traced) {
            fputs("<p>No weights to show: ", file);
            html_string(file, one->untraced);
            fputs("</p>\n", file);
            continue;
        }
        if (saves(one))
            write_heat(file, one, one->head_work, "head-work", 1);
        else
            fputs("<p>Every head computed the whole value projection of every token.</p>\n", file);
    }
    if (!exact->traced) {
        fputs("</figure>\n", file);
        return;
    }
    fprintf(
        file,
        "<figcaption>Share of the value projection computed (1: all of it), mean over the %zu tokens of %zu texts spaced evenly "
        "over the data.",
        exact->traced_tokens, exact->traced);
    report_origin(file, s);
    fputs("</figcaption>\n</figure>\n", file);
    fputs("<h3>Importance in the exact setting</h3>\n<figure>\n", file);
    write_heat(file, exact, exact->head_importance, "head-importance", largest(exact->head_importance, cells));
    fprintf(
        file,
        "<figcaption>The largest attention weight that a token receives, mean over the same %zu tokens: what the estimators spend "
        "their work by. In the last layer only the rows that the head reads look at others.",
        exact->traced_tokens);
    report_origin(file, s);
    fputs("</figcaption>\n</figure>\n", file);
}

/* ---- texts ---- */

static void write_tokens(FILE *file, const compared *one, const traced_text *t, const float *amounts, double most) {
    fputs("<p class=\"tokens\" dir=\"auto\">", file);
    const size_t shown = t->tokens < TOKENS_SHOWN ? t->tokens : TOKENS_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        const piece p = piece_of(one->engine.model, t->ids[i]);
        const double amount = (double)amounts[i], shade = most > 0 && isfinite(amount) ? shade_most * fmin(1, amount / most) : 0;
        fprintf(file, "%s<span class=\"w\" style=\"--a:%.3f\" title=\"%.4f\">", i && p.spaced ? " " : "", shade, amount);
        html_string(file, p.text);
        fputs("</span>", file);
    }
    if (shown < t->tokens) fprintf(file, " <small>and %zu more tokens</small>", t->tokens - shown);
    fputs("</p>\n", file);
}

static void write_answer(FILE *file, const evaluation *v, const fov_model *model, const double *answers, size_t index) {
    if (v->task->regression) {
        fprintf(file, "%.3f", answers[index]);
        return;
    }
    bool any = false;
    for (size_t k = 0; k < (v->task->multi_label ? v->data.columns : 1); k++) {
        const double answer = answers[index * v->data.columns + k];
        if (v->task->multi_label && !(answer > 0)) continue;
        const char *label = answer < 0 ? NULL : fov_model_label(model, v->task->multi_label ? k : (size_t)answer);
        if (any) fputs(", ", file);
        html_string(file, label ? label : "none");
        any = true;
    }
    if (!any) fputs("none", file);
}

static void write_text(FILE *file, const report_source *s, size_t index) {
    const comparison *c = s->compared;
    const compared *exact = &c->items[0];
    const evaluation *v = &exact->evaluation;
    const traced_text *base = &exact->shown[index];
    fprintf(file, "<div class=\"text\">\n<h3>Example %zu, gold: ", base->index + 1);
    write_answer(file, v, exact->engine.model, v->data.gold, base->index);
    fputs("</h3>\n", file);
    double most = 0;
    for (size_t i = 0; i < base->tokens; i++) most = fmax(most, (double)base->importance[i]);
    fputs("<small>", file);
    write_title(file, exact, 0);
    fputs(": ", file);
    write_answer(file, v, exact->engine.model, v->predicted, base->index);
    fprintf(file, "; shaded by importance, largest %.3f</small>\n", most);
    write_tokens(file, exact, base, base->importance, most);
    for (size_t i = 1; i < c->count; i++) {
        const compared *one = &c->items[i];
        if (index >= one->shown_count || !saves(one)) continue;
        const traced_text *t = &one->shown[index];
        double sum = 0;
        for (size_t k = 0; k < t->tokens; k++) sum += (double)t->work[k] / (double)t->tokens;
        fputs("<small>", file);
        write_title(file, one, i);
        fputs(": ", file);
        write_answer(file, &one->evaluation, one->engine.model, one->evaluation.predicted, t->index);
        fprintf(file, "; shaded by work, mean %.3f</small>\n", sum);
        write_tokens(file, one, t, t->work, 1);
    }
    fputs("</div>\n", file);
}

void report_texts(FILE *file, const report_source *s) {
    const compared *exact = &s->compared->items[0];
    fputs("<h2>Texts, shaded by what each token got</h2>\n", file);
    if (!exact->shown_count) {
        fputs("<p>No weights to show: ", file);
        html_string(file, exact->untraced);
        fputs("</p>\n", file);
        return;
    }
    fputs("<p class=\"key\">", file);
    for (size_t i = 0; i <= 4; i++)
        fprintf(file, "<span class=\"w\" style=\"--a:%.3f\">%.2f</span> ", shade_most * (double)i / 4, (double)i / 4);
    fprintf(
        file,
        "of the value projection computed for a token, mean over layers and heads; for the exact setting, which computes all of "
        "it, the mean importance as a share of the text's largest. Tokens as the model sees them, %zu texts spaced evenly over "
        "the data, at most %d tokens of each.",
        exact->shown_count, TOKENS_SHOWN);
    report_origin(file, s);
    fputs("</p>\n", file);
    for (size_t i = 0; i < exact->shown_count; i++) write_text(file, s, i);
}
