/* method.c: see method.h. */
#include "core/method.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

enum { NAME_MAX_LENGTH = 63 };

/* A piece of the method string. */
typedef struct span {
    const char *text;
    size_t size;
} span;

static int span_is(span s, const char *name) {
    return strlen(name) == s.size && !memcmp(s.text, name, s.size);
}

/* Levenshtein distance of two short names. */
static size_t distance(span a, const char *b) {
    size_t row[NAME_MAX_LENGTH + 1], n = strlen(b);
    if (a.size > NAME_MAX_LENGTH || n > NAME_MAX_LENGTH) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a.text[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

/* Name of entry i, by a getter, so that methods and parameters share the search. */
typedef const char *(*name_of)(const void *context, size_t i);

static const char *nearest(span wanted, name_of name, const void *context, size_t count) {
    const char *best = "";
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(wanted, name(context, i));
        if (d < least) {
            least = d;
            best = name(context, i);
        }
    }
    return best;
}

static const char *method_name(const void *context, size_t i) {
    return ((const fov_method_info *const *)context)[i]->name;
}
static const char *param_name(const void *context, size_t i) {
    return ((const fov_method_info *)context)->params[i].name;
}

/* A plain decimal number, whole span, independent of the locale. */
static int parse_number(span s, double *value) {
    char text[NAME_MAX_LENGTH + 1], *end;
    if (!s.size || s.size > NAME_MAX_LENGTH) return 0;
    for (size_t i = 0; i < s.size; i++)
        if (!strchr("0123456789.+-eE", s.text[i])) return 0;
    memcpy(text, s.text, s.size);
    text[s.size] = '\0';
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* the caller's locale may write 0,2 */
    if (!c_locale) return 0;
    locale_t before = uselocale(c_locale);
    *value = strtod(text, &end);
    uselocale(before);
    freelocale(c_locale);
    return !*end && isfinite(*value);
}

static int parse_choice(span s, const char *choices, double *value) {
    for (size_t i = 0;; i++) {
        const char *bar = strchr(choices, '|');
        size_t size = bar ? (size_t)(bar - choices) : strlen(choices);
        if (size == s.size && !memcmp(choices, s.text, size)) {
            *value = (double)i;
            return 1;
        }
        if (!bar) return 0;
        choices = bar + 1;
    }
}

static int parse_length(span s, double *value) {
    if (span_is(s, "real")) {
        *value = 0;
        return 1;
    }
    if (s.size <= 7 || memcmp(s.text, "padded:", 7)) return 0;
    return parse_number((span){s.text + 7, s.size - 7}, value) && *value >= 1 && *value == floor(*value);
}

static fov_status parse_value(const fov_param_info *p, span s, double *value, const char *where, fov_error *error) {
    int size = (int)s.size;
    switch (p->type) {
    case FOV_PARAM_CHOICE:
        if (parse_choice(s, p->choices, value)) return FOV_OK;
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "%s='%.*s' is not one of %s", p->name, size, s.text, p->choices);
    case FOV_PARAM_LENGTH:
        if (parse_length(s, value) && *value <= p->high) return FOV_OK;
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "%s='%.*s' is neither 'real' nor 'padded:N' with N from 1 to %g", p->name,
                        size, s.text, p->high);
    case FOV_PARAM_INT:
    case FOV_PARAM_FLOAT:
        break;
    }
    if (!parse_number(s, value))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "%s='%.*s' is not a number; give a decimal one", p->name, size, s.text);
    if (p->type == FOV_PARAM_INT && *value != floor(*value))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "%s=%.*s must be a whole number", p->name, size, s.text);
    if (*value > p->high || *value < p->low || (p->low_open && *value <= p->low))
        return fov_fail(error, FOV_ERR_ARGUMENT, where, "%s=%.*s is outside %s%g, %g]", p->name, size, s.text,
                        p->low_open ? "(" : "[", p->low, p->high);
    return FOV_OK;
}

static fov_status parse_params(fov_setting *setting, const char *rest, const char *where, fov_error *error) {
    const fov_method_info *info = setting->info;
    unsigned seen = 0;
    while (*rest) {
        const char *comma = strchr(rest, ',');
        span item = {rest, comma ? (size_t)(comma - rest) : strlen(rest)};
        const char *equals = memchr(item.text, '=', item.size);
        if (!equals)
            return fov_fail(error, FOV_ERR_ARGUMENT, where, "'%.*s' is not key=value; write e.g. k=64", (int)item.size, item.text);
        span key = {item.text, (size_t)(equals - item.text)};
        span value = {equals + 1, item.size - key.size - 1};
        size_t i = 0;
        while (i < info->param_count && !span_is(key, info->params[i].name)) i++;
        if (i == info->param_count && !info->param_count)
            return fov_fail(error, FOV_ERR_ARGUMENT, where, "'%s' has no parameters, but '%.*s' was given; leave it out",
                            info->name, (int)key.size, key.text);
        if (i == info->param_count)
            return fov_fail(error, FOV_ERR_ARGUMENT, where, "'%s' has no parameter '%.*s'; did you mean '%s'?", info->name,
                            (int)key.size, key.text, nearest(key, param_name, info, info->param_count));
        if (seen >> i & 1) return fov_fail(error, FOV_ERR_ARGUMENT, where, "%s is given twice; give it once", info->params[i].name);
        seen |= 1u << i;
        fov_status status = parse_value(&info->params[i], value, &setting->values[i], where, error);
        if (status) return status;
        if (!comma) break;
        rest = comma + 1;
        if (!*rest)
            return fov_fail(error, FOV_ERR_ARGUMENT, where,
                            "a parameter is missing after the last ','; add it, or leave the comma out");
    }
    return FOV_OK;
}

fov_status fov_setting_parse(fov_setting *setting, const fov_method_info *const *rows, size_t count, const char *text,
                             fov_error *error) {
    const char *colon = strchr(text, ':');
    span name = {text, colon ? (size_t)(colon - text) : strlen(text)};
    size_t i = 0;
    while (i < count && !span_is(name, rows[i]->name)) i++;
    if (i == count)
        return fov_fail(error, FOV_ERR_ARGUMENT, text, "unknown method '%.*s'; did you mean '%s'? ('foveate methods' lists them)",
                        (int)(name.size > 60 ? 60 : name.size), name.text, nearest(name, method_name, rows, count));
    fov_setting result = {.info = rows[i]};
    for (size_t j = 0; j < rows[i]->param_count; j++) result.values[j] = rows[i]->params[j].value;
    if (colon && !colon[1])
        return fov_fail(error, FOV_ERR_ARGUMENT, text, "parameters are missing after ':'; add them, or leave the colon out");
    fov_status status = parse_params(&result, colon ? colon + 1 : "", text, error);
    if (!status) *setting = result;
    return status;
}

static void format_choice(const char *choices, size_t index, char *text, size_t size) {
    while (index--) choices = strchr(choices, '|') + 1;
    const char *bar = strchr(choices, '|');
    snprintf(text, size, "%.*s", bar ? (int)(bar - choices) : (int)strlen(choices), choices);
}

void fov_setting_format(const fov_setting *setting, char *text, size_t size) {
    const fov_method_info *info = setting->info;
    int used = snprintf(text, size, "%s", info->name);
    for (size_t i = 0; i < info->param_count && used > 0 && (size_t)used < size; i++) {
        const fov_param_info *p = &info->params[i];
        char value[64];
        if (p->type == FOV_PARAM_CHOICE)
            format_choice(p->choices, (size_t)setting->values[i], value, sizeof value);
        else if (p->type == FOV_PARAM_LENGTH && setting->values[i] <= 0)
            snprintf(value, sizeof value, "real");
        else if (p->type == FOV_PARAM_LENGTH)
            snprintf(value, sizeof value, "padded:%.0f", setting->values[i]);
        else
            snprintf(value, sizeof value, "%.9g", setting->values[i]);
        used += snprintf(text + used, size - (size_t)used, "%c%s=%s", i ? ',' : ':', p->name, value);
    }
}

double fov_setting_get(const fov_setting *setting, const char *name) {
    for (size_t i = 0; i < setting->info->param_count; i++)
        if (!strcmp(setting->info->params[i].name, name)) return setting->values[i];
    return NAN;
}

bool fov_setting_always(const fov_setting *setting) {
    (void)setting;
    return true;
}
