/* cmd_methods.c: the methods of each place, from the library's tables. */
#include "commands.h"
#include "names.h"
#include "output.h"
#include "report.h"

#include "foveate/foveate.h"

#include <string.h>

typedef struct settings {
    shared_settings shared;
    bool json;
} settings;

static const struct {
    fov_place place;
    const char *option, *what;
} places[] = {
    {FOV_PLACE_ATTENTION, "attention", "which tokens attend to which, with what weight"},
    {FOV_PLACE_VALUES, "values", "how the value projection X Wv is computed"},
    {FOV_PLACE_FFN, "ffn", "how the feed-forward layer is computed"},
};

static const struct {
    unsigned flag;
    const char *name, *text;
} flags[] = {
    {FOV_METHOD_EXACT_LIMIT, "exact_limit", "some setting gives the exact result"},
    {FOV_METHOD_NEEDS_IMPORTANCE, "needs_importance", "needs an attention of the softmax family"},
    {FOV_METHOD_HAS_IMPORTANCE, "has_importance", "of the softmax family"},
    {FOV_METHOD_HAS_BACKWARD, "has_backward", "has a backward pass"},
    {FOV_METHOD_RANDOM, "random", "draws; reproducible from --seed"},
    {FOV_METHOD_CAUSAL, "causal", "can be causal"},
    {FOV_METHOD_MODEL, "model", "makes projections of a model anew: not for raw buffers"},
};

static void value_text(const fov_param_info *p, double value, char *text, size_t size) {
    if (p->type == FOV_PARAM_CHOICE) {
        const char *at = p->choices;
        for (int i = (int)value; i > 0 && at; i--) at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL;
        snprintf(text, size, "%.*s", at ? (int)strcspn(at, "|") : 0, at ? at : "");
    } else if (p->type == FOV_PARAM_LENGTH) {
        if (value > 0)
            snprintf(text, size, "padded:%.0f", value);
        else
            snprintf(text, size, "real");
    } else {
        snprintf(text, size, "%g", value);
    }
}

static void bounds_text(const fov_param_info *p, char *text, size_t size) {
    if (p->type == FOV_PARAM_CHOICE)
        snprintf(text, size, "%s", p->choices);
    else if (p->type == FOV_PARAM_LENGTH)
        snprintf(text, size, "real|padded:N");
    else
        snprintf(text, size, "%s%g, %g]", p->low_open ? "(" : "[", p->low, p->high);
}

static json_t *pack_param(const fov_param_info *p) {
    static const char *const types[] = {"float", "int", "choice", "length"};
    char value[60];
    value_text(p, p->value, value, sizeof value);
    json_t *out = json_pack("{s:s, s:s, s:s, s:s}", "name", p->name, "type", types[p->type], "default", value, "help", p->help);
    if (out && (p->type == FOV_PARAM_FLOAT || p->type == FOV_PARAM_INT)) {
        json_object_set_new(out, "low", json_number(p->low));
        json_object_set_new(out, "high", json_number(p->high));
        json_object_set_new(out, "low_open", json_boolean(p->low_open));
    }
    if (out && p->type == FOV_PARAM_CHOICE) json_object_set_new(out, "choices", json_text(p->choices));
    return out;
}

static json_t *pack_method(const fov_method_info *m, const char *place) {
    json_t *params = json_array(), *marks = json_array();
    for (size_t i = 0; i < m->param_count; i++) json_array_append_new(params, pack_param(&m->params[i]));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (m->flags & flags[i].flag) json_array_append_new(marks, json_string(flags[i].name));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "place", place, "name", m->name, "help", m->help, "citation",
                     m->citation ? m->citation : "", "flags", marks, "params", params);
}

static void print_method(const fov_method_info *m) {
    printf("\n  %s: %s\n", m->name, m->help);
    if (m->citation && *m->citation) printf("      %s\n", m->citation);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (m->flags & flags[i].flag) printf("      - %s\n", flags[i].text);
    for (size_t i = 0; i < m->param_count; i++) {
        const fov_param_info *p = &m->params[i];
        char value[60], bounds[120];
        value_text(p, p->value, value, sizeof value);
        bounds_text(p, bounds, sizeof bounds);
        printf("      %s=%s  %s  %s\n", p->name, value, bounds, p->help);
    }
}

static int run(void *given) {
    const settings *s = given;
    json_t *all = s->json ? json_array() : NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const fov_method_info *m;
        if (!s->json) printf("%s--%s: %s\n", i ? "\n" : "", places[i].option, places[i].what);
        for (size_t j = 0; (m = fov_method_at(places[i].place, j)); j++) {
            if (s->json)
                json_array_append_new(all, pack_method(m, places[i].option));
            else
                print_method(m);
        }
    }
    output out = {.file = stdout, .slot = -1};
    if (s->json) return output_json(&out, all, JSON_PAGES);
    puts("\nA method is written NAME[:key=value[,key=value]...], e.g. --values mca:alpha=0.2");
    return 0;
}

static const option options[] = {
    {"json", 0, OPTION_FLAG, offsetof(settings, json), NULL, NULL, "as JSON", 0, 0, HINT_NONE, 0},
    {0},
};

const command command_methods = {
    .name = "methods",
    .arguments = "",
    .summary = "List the methods of each place with their parameters, bounds and defaults.",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
    .example = "foveate methods --json",
};
