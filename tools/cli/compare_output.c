/* compare_output.c: a comparison as JSON and as a table. */
#include "compare.h"

static json_t *pack_spread(const spread *s) {
    return json_pack("{s:o, s:o, s:o}", "median", json_number(s->median), "min", json_number(s->low), "max", json_number(s->high));
}

static json_t *pack_interval(const evaluation *v) {
    return json_pack("{s:s, s:o, s:o, s:o}", "name", v->metrics[0].name, "mean", json_number(v->intervals[0].mean), "low",
                     json_number(v->intervals[0].low), "high", json_number(v->intervals[0].high));
}

static json_t *pack_ratio(double done, double exact) {
    return json_pack("{s:o, s:o}", "done", json_count(done), "exact", json_count(exact));
}

static json_t *pack_item(const compared *one) {
    const fov_session *session = one->engine.session;
    const evaluation *v = &one->evaluation;
    const fov_stats *t = &v->stats;
    json_t *item =
        json_pack("{s:o, s:s, s:s, s:s, s:I, s:I}", "setting", json_text(one->text), "attention",
                  fov_session_method(session, FOV_PLACE_ATTENTION), "values", fov_session_method(session, FOV_PLACE_VALUES), "ffn",
                  fov_session_method(session, FOV_PLACE_FFN), "seeds", (json_int_t)v->seeds, "changed", (json_int_t)one->changed);
    if (!item) return NULL;
    int bad = json_object_set_new(item, "metric", pack_interval(v));
    bad |= json_object_set_new(item, "flops_real",
                               json_pack("{s:o, s:o}", "values", pack_ratio(t->values_done_real, t->values_exact_real), "total",
                                         pack_ratio(t->total_done_real, t->total_exact_real)));
    bad |= json_object_set_new(item, "flops_padded",
                               json_pack("{s:o}", "values", pack_ratio(t->values_done_padded, t->values_exact_padded)));
    bad |= json_object_set_new(item, "seconds", pack_spread(&one->time));
    bad |= json_object_set_new(item, "speedup", pack_spread(&one->speed));
    if (!bad) return item;
    json_decref(item);
    return NULL;
}

json_t *comparison_pack(const comparison *c) {
    json_t *all = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (json_array_append_new(all, pack_item(&c->items[i]))) {
            json_decref(all);
            return NULL;
        }
    return all;
}

void comparison_print(const comparison *c) {
    printf(
        "\ncompared, %zu passes in turn; seconds and speed-up: median [min, max]; multiply-adds: %% of the exact path's with every "
        "row\n  %8s %-18s %7s %7s %7s  %-24s  %-24s  %s\n",
        c->passes, c->items[0].evaluation.metrics[0].name, "95 %", "changed", "values", "all", "seconds", "speed-up", "setting");
    for (size_t i = 0; i < c->count; i++) {
        const compared *one = &c->items[i];
        const interval *m = &one->evaluation.intervals[0];
        const fov_stats *t = &one->evaluation.stats;
        printf("  %8.4f [%7.4f, %6.4f] %7zu %6.1f%% %6.1f%%  %7.3f [%6.3f, %6.3f]  %7.3f [%6.3f, %6.3f]  %s\n", m->mean, m->low,
               m->high, one->changed, 100 * t->values_done_real / t->values_exact_real,
               100 * t->total_done_real / t->total_exact_real, one->time.median, one->time.low, one->time.high, one->speed.median,
               one->speed.low, one->speed.high, one->text);
    }
}
