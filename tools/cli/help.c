/* help.c: --help and the man page, from the tables of commands and options. */
#include "commands.h"
#include "names.h"
#include "report.h"

#include "foveate/foveate.h"

#include <string.h>

/* "table|jsonl|tsv", or the word that stands for the value. */
static void meta_text(const option *o, char *text, size_t size) {
    text[0] = '\0';
    if (o->type == OPTION_FLAG) return;
    if (o->meta) {
        snprintf(text, size, "%s", o->meta);
        return;
    }
    const char *name;
    for (size_t i = 0; o->names && (name = o->names(i)); i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i ? "|" : "", name);
    }
}

/* Paragraphs are separated by newlines in the tables and filled to 80 columns here. */
static void fill(FILE *file, const char *text, size_t indent, size_t column) {
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column > indent && column + 1 + word > 80) {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putc(' ', file);
            column++;
        }
        fwrite(text, 1, word, file);
        column += word;
        text += word;
        if (*text == '\n') {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
        }
        if (*text) text++;
    }
    putc('\n', file);
}

void help_overview(FILE *file) {
    fputs("usage: foveate COMMAND [options]\n\n"
          "Runs Transformer encoders on text and spends compute where attention looks.\n\nCommands:\n",
          file);
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++) fprintf(file, "  %-12s %s\n", c->name, c->summary);
    fputs("\n'foveate help COMMAND' tells more; 'foveate --version' prints the version.\n"
          "Try: echo 'a charming and often affecting journey' | foveate classify\n",
          file);
}

void help_command(FILE *file, const command *c) {
    fprintf(file, "usage: foveate %s [options]%s%s\n\n", c->name, *c->arguments ? " " : "", c->arguments);
    fill(file, c->summary, 0, 0);
    if (c->detail) {
        putc('\n', file);
        fill(file, c->detail, 0, 0);
    }
    fputs("\nOptions:\n", file);
    const option *o;
    for (size_t i = 0; (o = command_option(c, i)); i++) {
        char left[160], meta[120], help[300];
        meta_text(o, meta, sizeof meta);
        snprintf(left, sizeof left, "  %c%c%c --%s%s%s", o->alias ? '-' : ' ', o->alias ? o->alias : ' ', o->alias ? ',' : ' ',
                 o->name, *meta ? " " : "", meta);
        snprintf(help, sizeof help, o->value ? "%s [%s]" : "%s", o->help, o->value);
        fprintf(file, "%-30s", left);
        if (strlen(left) > 29) fprintf(file, "\n%30s", "");
        fill(file, help, 30, 30);
    }
    if (c->example) fprintf(file, "\nExample:\n  %s\n", c->example);
}

/* roff text: a backslash, and a dot or quote at the start of a line, must not be read as a request. */
static void roff(FILE *file, const char *text) {
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\'')) fputs("\\&", file);
        start = *text == '\n';
        if (*text == '\\')
            fputs("\\e", file);
        else if (*text == '-')
            fputs("\\-", file);
        else if (*text == '\n')
            fputs("\n.br\n", file);
        else
            putc(*text, file);
    }
}

static void man_option(FILE *file, const option *o) {
    char meta[120];
    meta_text(o, meta, sizeof meta);
    fputs(".TP\n", file);
    if (o->alias) fprintf(file, "\\fB\\-%c\\fR, ", o->alias);
    fputs("\\fB\\-\\-", file);
    roff(file, o->name);
    fputs("\\fR", file);
    if (*meta) {
        fputs(" \\fI", file);
        roff(file, meta);
        fputs("\\fR", file);
    }
    putc('\n', file);
    roff(file, o->help);
    if (o->value) {
        fputs(" [", file);
        roff(file, o->value);
        putc(']', file);
    }
    putc('\n', file);
}

void help_man(FILE *file) {
    fprintf(
        file,
        ".TH FOVEATE 1 \"\" \"foveate %s\" \"User Commands\"\n"
        ".SH NAME\nfoveate \\- run Transformer encoders on text, exactly or approximately\n"
        ".SH SYNOPSIS\n.B foveate\n.I COMMAND\n[options] [arguments]\n"
        ".SH DESCRIPTION\nfoveate runs BERT\\-family encoders on text and spends compute where attention looks. Models are Hugging "
        "Face folders, or files that \\fBfoveate import\\fR packed; without one, a small sentiment model inside the program is "
        "used.\n.SH COMMANDS\n",
        fov_version());
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++) {
        fputs(".SS \"foveate ", file);
        roff(file, c->name);
        fprintf(file, " [options]%s%s\"\n", *c->arguments ? " " : "", c->arguments);
        roff(file, c->summary);
        putc('\n', file);
        if (c->detail) {
            fputs(".PP\n", file);
            roff(file, c->detail);
            putc('\n', file);
        }
        const option *o;
        for (size_t j = 0; (o = command_option(c, j)); j++) man_option(file, o);
        if (!c->example) continue;
        fputs(".PP\nExample:\n.PP\n.nf\n.RS\n", file);
        roff(file, c->example);
        fputs("\n.RE\n.fi\n", file);
    }
    fputs(".SH METHODS\nA method is written NAME[:key=value[,key=value]...], e.g. mca:alpha=0.2. \\fBfoveate methods\\fR lists "
          "them.\n"
          ".SH EXIT STATUS\n0: done; 1: the work failed; 2: wrong usage.\n"
          ".SH ENVIRONMENT\n.TP\n.B FOV_CPU\nref, avx2 or avx512: use no better kernels than these.\n"
          ".TP\n.B NO_COLOR\nwhen set, no colour is written.\n",
          file);
}

typedef struct help_settings {
    shared_settings shared;
    bool man;
} help_settings;

static int run_help(void *settings) {
    const help_settings *s = settings;
    if (s->man) {
        help_man(stdout);
        return 0;
    }
    if (!s->shared.argument_count) {
        help_overview(stdout);
        return 0;
    }
    const command *c = command_find(s->shared.arguments[0]);
    if (!c) return complain(EXIT_USAGE, "'%s' is no command: 'foveate --help' lists them", s->shared.arguments[0]);
    help_command(stdout, c);
    return 0;
}

static const option help_options[] = {
    {"man", 0, OPTION_FLAG, offsetof(help_settings, man), NULL, NULL, "write the man page (roff)", 0, 0, HINT_NONE, 0},
    {0},
};

const command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Tell about a command.",
    .options = help_options,
    .settings_size = sizeof(help_settings),
    .max_arguments = 1,
    .argument_names = name_command,
    .run = run_help,
};
