/* options.c: the option parser. First the table's defaults, then the command line; every value goes through store(), so a
 * default is checked like anything typed. */
#include "options.h"
#include "names.h"
#include "nearest.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHARED(field) offsetof(shared_settings, field)

static const struct {
    unsigned group;
    option row;
} shared_rows[] = {
    {SHARED_MODEL,
     {"model", 'm', OPTION_TEXT, SHARED(model), "DIR", NULL, "Hugging Face folder, or a packed file [embedded tiny-sentiment]", 0,
      0, HINT_FILE, 0}},
    {SHARED_METHODS,
     {"attention", 0, OPTION_TEXT, SHARED(attention), "METHOD", NULL, "which tokens attend to which [the checkpoint's own]", 0, 0,
      HINT_NAMES, name_attention}},
    {SHARED_METHODS,
     {"values", 0, OPTION_TEXT, SHARED(values), "METHOD", "exact", "how the value projection is computed", 0, 0, HINT_NAMES,
      name_values}},
    {SHARED_METHODS,
     {"ffn", 0, OPTION_TEXT, SHARED(ffn), "METHOD", "exact", "how the feed-forward layer is computed", 0, 0, HINT_NAMES, name_ffn}},
    {SHARED_METHODS,
     {"profile", 0, OPTION_TEXT, SHARED(profile), "FILE", NULL,
      "calibration of the model, for methods that need one [the one beside the model]", 0, 0, HINT_FILE, 0}},
    {SHARED_RUN,
     {"dtype", 0, OPTION_TEXT, SHARED(dtype), "TYPE", NULL,
      "f32, bf16 or int8: how the layers' weights are held and multiplied [f32, or as packed]", 0, 0, HINT_NONE, 0}},
    {SHARED_RUN,
     {"threads", 't', OPTION_NUMBER, SHARED(threads), "N", NULL, "threads [what this machine offers]", 1, 256, HINT_NONE, 0}},
    {SHARED_METHODS,
     {"tuned", 0, OPTION_FLAG, SHARED(tuned), NULL, NULL, "values and ffn as 'foveate tune' chose them for the model", 0, 0,
      HINT_NONE, 0}},
    {SHARED_METHODS, {"seed", 0, OPTION_NUMBER, SHARED(seed), "N", "0", "seed of the random methods", 0, UINT64_MAX, HINT_NONE, 0}},
    {SHARED_RUN,
     {"max-length", 0, OPTION_NUMBER, SHARED(max_length), "N", NULL, "tokens kept of one text [the model's limit]", 3, 1u << 20,
      HINT_NONE, 0}},
    {SHARED_QUIET,
     {"quiet", 'q', OPTION_FLAG, SHARED(quiet), NULL, NULL, "no summary and no progress on stderr", 0, 0, HINT_NONE, 0}},
    {~0u, {"help", 'h', OPTION_FLAG, SHARED(help), NULL, NULL, "print this help", 0, 0, HINT_NONE, 0}},
};

const option *command_option(const command *c, size_t index) {
    size_t at = 0;
    for (; c->options && c->options[at].name; at++)
        if (at == index) return &c->options[at];
    for (size_t i = 0; i < sizeof shared_rows / sizeof *shared_rows; i++) {
        if (shared_rows[i].group != ~0u && !(shared_rows[i].group & c->shared)) continue;
        /* A command's own row hides the shared one of the same name (another default, another help). */
        bool hidden = false;
        for (size_t own = 0; c->options && c->options[own].name; own++)
            if (!strcmp(c->options[own].name, shared_rows[i].row.name)) hidden = true;
        if (hidden) continue;
        if (at++ == index) return &shared_rows[i].row;
    }
    return NULL;
}

static const char *option_name_at(const void *context, size_t index) {
    const option *o = command_option(context, index);
    return o ? o->name : NULL;
}

static const char *choice_at(const void *context, size_t index) {
    return ((const option *)context)->names(index);
}

static int store_number(const option *o, const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    bool digits = text[0] >= '0' && text[0] <= '9';
    if (!digits || *end)
        return complain(EXIT_USAGE, "--%s: '%s' is not a whole number: give one, e.g. --%s 4", o->name, text, o->name);
    if (errno == ERANGE || number < o->low || number > o->high)
        return complain(EXIT_USAGE, "--%s: %s is out of range: give %llu to %llu", o->name, text, (unsigned long long)o->low,
                        (unsigned long long)o->high);
    *out = number;
    return 0;
}

static int store_choice(const option *o, const char *text, const char **out) {
    char known[300] = "";
    const char *name;
    for (size_t i = 0; (name = o->names(i)); i++) {
        if (!strcmp(name, text)) {
            *out = name;
            return 0;
        }
        if (strlen(known) + strlen(name) + 3 > sizeof known) continue;
        if (i) strcat(known, ", ");
        strcat(known, name);
    }
    const char *near = nearest(text, choice_at, o);
    if (near) return complain(EXIT_USAGE, "--%s: '%s' is unknown: did you mean '%s'? (%s)", o->name, text, near, known);
    return complain(EXIT_USAGE, "--%s: '%s' is unknown: give one of %s", o->name, text, known);
}

static int store(const option *o, const char *text, void *settings) {
    char *place = (char *)settings + o->offset;
    switch (o->type) {
    case OPTION_FLAG:
        *(bool *)(void *)place = true;
        return 0;
    case OPTION_TEXT:
        if (!*text) return complain(EXIT_USAGE, "--%s: the value is empty: give one, or leave the option out", o->name);
        *(const char **)(void *)place = text;
        return 0;
    case OPTION_CHOICE:
        return store_choice(o, text, (const char **)(void *)place);
    case OPTION_NUMBER:
        return store_number(o, text, (uint64_t *)(void *)place);
    case OPTION_LIST: {
        option_list *list = (option_list *)(void *)place;
        const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
        if (!items) return complain_memory();
        list->items = items;
        items[list->count++] = text;
        return 0;
    }
    }
    return 0;
}

/* A value given twice is a slip; a flag given twice says the same. */
static int check_once(const command *c, const option *o, uint64_t *seen) {
    size_t index = 0;
    while (command_option(c, index) != o) index++;
    const bool again = *seen >> index & 1;
    *seen |= (uint64_t)1 << index;
    if (!again || o->type == OPTION_FLAG || o->type == OPTION_LIST) return 0;
    return complain(EXIT_USAGE, "--%s: given twice: leave one out", o->name);
}

static const option *find_long(const command *c, const char *name, size_t size) {
    const option *o;
    for (size_t i = 0; (o = command_option(c, i)); i++)
        if (strlen(o->name) == size && !memcmp(o->name, name, size)) return o;
    return NULL;
}

static const option *find_short(const command *c, char alias) {
    const option *o;
    for (size_t i = 0; (o = command_option(c, i)); i++)
        if (o->alias && o->alias == alias) return o;
    return NULL;
}

static int unknown_option(const command *c, const char *word, size_t size) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", size < 60 ? (int)size : 60, word);
    const char *near = nearest(name, option_name_at, c);
    if (near) return complain(EXIT_USAGE, "--%s: '%s' has no such option: did you mean --%s?", name, c->name, near);
    return complain(EXIT_USAGE, "--%s: '%s' has no such option: see 'foveate help %s'", name, c->name, c->name);
}

/* One option at argv[*i]; *i moves on when the value is the next word. */
static int parse_option(const command *c, int argc, char **argv, int *i, void *settings, uint64_t *seen) {
    const char *word = argv[*i], *value = NULL;
    const option *o;
    if (word[1] == '-') {
        const char *name = word + 2, *equals = strchr(name, '=');
        size_t size = equals ? (size_t)(equals - name) : strlen(name);
        o = find_long(c, name, size);
        if (!o) return unknown_option(c, name, size);
        if (equals) value = equals + 1;
        if (equals && o->type == OPTION_FLAG)
            return complain(EXIT_USAGE, "--%s: it takes no value: leave '=%s' out", o->name, value);
    } else {
        o = find_short(c, word[1]);
        if (!o) return complain(EXIT_USAGE, "-%c: '%s' has no such option: see 'foveate help %s'", word[1], c->name, c->name);
        if (word[2] && o->type == OPTION_FLAG)
            return complain(EXIT_USAGE, "%s: short options stand alone: write -%c and the rest apart", word, word[1]);
        if (word[2]) value = word + 2;
    }
    if (!value && o->type != OPTION_FLAG) {
        if (*i + 1 >= argc)
            return complain(EXIT_USAGE, "--%s: its value is missing: give --%s %s", o->name, o->name, o->meta ? o->meta : "NAME");
        value = argv[++*i];
    }
    const int code = check_once(c, o, seen);
    return code ? code : store(o, value, settings);
}

static int too_many(const command *c, const char *extra) {
    if (!c->max_arguments)
        return complain(EXIT_USAGE, "'%s': '%s' takes no argument: see 'foveate help %s'", extra, c->name, c->name);
    return complain(EXIT_USAGE, "'%s': one argument too many for '%s': quote texts with blanks, see 'foveate help %s'", extra,
                    c->name, c->name);
}

int settings_parse(const command *c, int argc, char **argv, void *settings) {
    shared_settings *shared = settings;
    memset(settings, 0, c->settings_size);
    const option *o;
    for (size_t i = 0; (o = command_option(c, i)); i++) {
        int code = o->value ? store(o, o->value, settings) : 0;
        if (code) return code;
    }
    shared->words = argv;
    shared->word_count = (size_t)argc;
    shared->arguments = calloc((size_t)argc + 1, sizeof *shared->arguments);
    if (!shared->arguments) return complain_memory();
    bool options_end = false;
    uint64_t seen = 0; /* a bit for each row of options */
    for (int i = 0; i < argc; i++) {
        if (!options_end && !strcmp(argv[i], "--")) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1]) {
            int code = parse_option(c, argc, argv, &i, settings, &seen);
            if (code) return code;
        } else if (shared->argument_count >= c->max_arguments) {
            return too_many(c, argv[i]);
        } else {
            shared->arguments[shared->argument_count++] = argv[i];
        }
    }
    return 0;
}

void settings_release(const command *c, void *settings) {
    const option *o;
    for (size_t i = 0; (o = command_option(c, i)); i++)
        if (o->type == OPTION_LIST) free(((option_list *)(void *)((char *)settings + o->offset))->items);
    free(((shared_settings *)settings)->arguments);
}
