/* report_html.c: the page of `foveate eval --report`: the settings as a table; the figures are in report_figures.c and
 * report_work.c. Figure 2 of MCA (AAAI 2022) counts against a baseline padded to 128 tokens; here real multiply-adds come first and
 * the padded convention is named wherever it stands. Well-formed as HTML and as XML; every text passes html_text. */
#include "report_html.h"
#include "html.h"
#include "report.h"
#include "svg.h"

#include <inttypes.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d1f23;--page:#fff;--faint:#d8dbe0;--dim:#5a616b;--blue:38 110 205;"
    "--k0:#4a4f57;--k1:#1b6ac9;--k2:#c23b4e;--k3:#1f8a4c;--k4:#8447d6;--k5:#c4650f;--k6:#0b7d7f;--k7:#a5147f}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--page:#16181c;--faint:#3a3f47;--dim:#a2a9b3;--blue:70 140 240;"
    "--k0:#b6bcc6;--k1:#6aa9f7;--k2:#f07f8e;--k3:#5fc98b;--k4:#b993f5;--k5:#f0a057;--k6:#53c6c8;--k7:#ef7dcf}}\n"
    "@media print{:root{color-scheme:light;--ink:#000;--page:#fff;--faint:#ccc;--dim:#444}figure,tr,.text{break-inside:avoid}"
    "body{font-size:10pt!important}table{font-size:7.5pt!important}td small{white-space:normal!important}"
    "td.left{min-width:0!important}.wide{overflow:visible!important}}\n"
    "body{background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;"
    "padding:0 1.2rem;-webkit-print-color-adjust:exact;print-color-adjust:exact}\n"
    "h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.2rem;margin-top:2.4rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.875rem}"
    ".wide{overflow-x:auto}th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--faint);vertical-align:top}"
    "th{font-weight:600}th.left,td.left{text-align:left}td small{white-space:nowrap}td.left{min-width:17rem}td.left "
    "small{white-space:normal;overflow-wrap:break-word}.heat td{padding:.15rem .35rem;border:0}.heat th{border:0;font-weight:400;"
    "color:var(--dim)}\n"
    "small,.dim,figcaption{color:var(--dim)}figcaption{font-size:.85rem;max-width:60rem;margin-top:.4rem}code{font-size:.85em;"
    "overflow-wrap:anywhere}\n"
    "figure{margin:1rem 0}.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));gap:1rem}"
    "svg{width:100%;max-width:44rem;height:auto}svg text{fill:currentColor;font:12px system-ui,sans-serif}"
    "svg .tick{fill:var(--dim)}.grid{stroke:var(--faint)}.axis{stroke:var(--dim)}.span{stroke:var(--c);stroke-width:1.5;"
    "opacity:.65}.mark{fill:var(--c);stroke:var(--c);stroke-width:2}.hollow .mark{fill:var(--page)}svg .number{fill:var(--c);"
    "font-weight:700}.bar{fill:rgb(var(--blue))}\n"
    ".w{background:rgb(var(--blue) / var(--a,0))}.tokens{margin:.2rem 0 .5rem;line-height:1.9;overflow-wrap:anywhere}"
    ".tokens .w{border-radius:.2em;padding:.1em .12em}.key .w{padding:.15em .6em}.no{color:var(--c);font-weight:700}\n";

void report_origin(FILE *file, const report_source *s) {
    fputs(" Measured on ", file);
    html_string(file, s->machine->cpu);
    fputs(", kernels ", file);
    html_string(file, s->machine->tier);
    fprintf(file, ", %u thread%s, ", s->threads, s->threads == 1 ? "" : "s");
    html_string(file, s->compared->items[0].engine.info->dtype);
    fprintf(file, ", foveate %s, with <code>foveate eval", fov_version());
    for (size_t i = 0; i < s->shared->word_count; i++) {
        putc(' ', file);
        html_shell(file, s->shared->words[i]);
    }
    fputs("</code>.", file);
}

static void write_head(FILE *file, const report_source *s) {
    const evaluation *v = report_first(s);
    const compared *exact = &s->compared->items[0];
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"generator\" "
          "content=\"foveate\"/>\n"
          "<title>foveate: ",
          file);
    html_string(file, exact->engine.info->name);
    fputs(" on ", file);
    html_string(file, v->task->name);
    fprintf(file, "</title>\n<style>\n%s", style);
    for (size_t i = 0; i < SVG_COLORS; i++) fprintf(file, ".k%zu{--c:var(--k%zu)}", i, i);
    fputs("\n</style>\n</head>\n<body>\n<h1>", file);
    html_string(file, exact->engine.info->name);
    fputs(" on ", file);
    html_string(file, v->task->title);
    fprintf(file,
            "</h1>\n<p><data class=\"examples\" value=\"%zu\">%zu</data> examples, <data class=\"tokens-all\" value=\"%" PRIu64
            "\">%" PRIu64 "</data> tokens, %" PRIu64 " texts cut at %" PRIu64 " tokens, %" PRIu64
            " with invalid UTF-8; %zu rows without a label left out.",
            v->data.count, v->data.count, v->stats.tokens, v->stats.tokens, v->stats.truncated_texts, s->shared->max_length,
            v->stats.invalid_texts, v->data.dropped);
    report_origin(file, s);
    fputs("</p>\n", file);
}

/* ---- the table ---- */

static void write_bounds(FILE *file, const char *name, double mean, double low, double high, int decimals) {
    char class[48];
    snprintf(class, sizeof class, "%s-mean", name);
    fputs("<td>", file);
    html_number(file, class, mean, decimals);
    fputs("<br/><small>[", file);
    snprintf(class, sizeof class, "%s-low", name);
    html_number(file, class, low, decimals);
    fputs(", ", file);
    snprintf(class, sizeof class, "%s-high", name);
    html_number(file, class, high, decimals);
    fputs("]</small></td>", file);
}

static void write_share(FILE *file, const char *class, double done, double exact) {
    fputs("<td>", file);
    html_number(file, class, report_share(done, exact), 1);
    if (exact > 0 && done > 0) fprintf(file, "<br/><small>%.2fx fewer</small>", exact / done);
    fputs("</td>", file);
}

static void write_row(FILE *file, const compared *one, size_t number) {
    const evaluation *v = &one->evaluation;
    const fov_stats *t = &v->stats;
    const interval *m = &v->intervals[0];
    fprintf(file, "<tr class=\"setting\"><td class=\"no k%zu\">%zu</td><td class=\"left\">", number % SVG_COLORS, number);
    html_string(file, one->text);
    fputs("<br/><small>", file);
    static const char *const names[] = {"attention ", ", values ", ", ffn "};
    for (size_t i = 0; i < 3; i++) {
        fputs(names[i], file);
        html_string(file, fov_session_method(one->engine.session, (fov_place)i));
    }
    fputs("</small></td>", file);
    write_bounds(file, "metric", m->mean, m->low, m->high, 4);
    fprintf(file, "<td><data class=\"changed\" value=\"%zu\">%zu</data></td>", one->changed, one->changed);
    write_share(file, "total-share", t->total_done_real, t->total_exact_real);
    write_share(file, "values-share", t->values_done_real, t->values_exact_real);
    write_share(file, "padded-share", t->values_done_padded, t->values_exact_padded);
    write_bounds(file, "seconds", one->time.median, one->time.low, one->time.high, 3);
    write_bounds(file, "speed", one->speed.median, one->speed.low, one->speed.high, 3);
    fputs("</tr>\n", file);
}

static void write_explanation(FILE *file, const report_source *s) {
    const comparison *c = s->compared;
    bool over_seeds = false;
    for (size_t i = 0; i < c->count; i++) over_seeds |= c->items[i].evaluation.seeds > 1;
    fputs("<figcaption>The interval of the metric is by bootstrap over the examples", file);
    if (over_seeds) fputs("; over seeds (Student's t) where a random method ran with several", file);
    fputs(". Changed: examples whose prediction is not that of setting 0. Multiply-adds are counted, not estimated. Real: of the "
          "tokens there are, against the exact path with every row computed (attention ",
          file);
    html_string(file, fov_session_baseline(c->items[0].engine.session));
    fprintf(file,
            "); setting 0 itself computes only those rows of the last layer that the head reads. Padded: the papers' convention, "
            "whose baseline pads every text to 128 tokens, or as many as length=padded:N says; a dash where a text is longer. "
            "Seconds: from token ids to logits, one pass over all examples; %zu passes, every setting once in each. Speed-up: "
            "seconds of setting 0 over those of the setting, in the same pass.",
            c->passes);
    report_origin(file, s);
    fputs("</figcaption>\n", file);
}

static void write_table(FILE *file, const report_source *s) {
    const comparison *c = s->compared;
    fputs("<h2>Settings</h2>\n<figure>\n<div class=\"wide\"><table>\n<tr><th>no.</th><th class=\"left\">setting</th><th>", file);
    html_string(file, report_first(s)->metrics[0].name);
    fputs("<br/><small>95 %</small></th><th>predictions<br/>changed</th><th>multiply-adds,<br/>all, real<br/><small>% of exact"
          "</small></th><th>multiply-adds,<br/>values, real<br/><small>% of exact</small></th><th>multiply-adds,<br/>values, padded"
          "<br/><small>% of exact</small></th><th>seconds<br/><small>median [min, max]</small></th><th>speed-up"
          "<br/><small>median [min, max]</small></th></tr>\n",
          file);
    for (size_t i = 0; i < c->count; i++) write_row(file, &c->items[i], i);
    fputs("</table></div>\n", file);
    write_explanation(file, s);
    fputs("</figure>\n", file);
}

int report_html(output *out, const report_source *source) {
    write_head(out->file, source);
    write_table(out->file, source);
    int code = report_frontier(out->file, source);
    if (code) return code;
    report_work(out->file, source);
    if ((code = report_lengths(out->file, source))) return code;
    report_texts(out->file, source);
    fputs("</body>\n</html>\n", out->file);
    return output_check(out);
}
