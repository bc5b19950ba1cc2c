/* completion.c: shell completion for bash, zsh and fish, from the tables of commands and options. */
#include "commands.h"
#include "names.h"
#include "report.h"

#include <string.h>

static void words(FILE *file, const char *(*names)(size_t index)) {
    const char *name;
    for (size_t i = 0; (name = names(i)); i++) fprintf(file, "%s%s", i ? " " : "", name);
}

/* What completes the value of an option, as a bash command that sets COMPREPLY. */
static void bash_value(FILE *file, const option *o) {
    if (o->names) {
        fputs("mapfile -t COMPREPLY < <(compgen -W '", file);
        words(file, o->names);
        fputs("' -- \"$cur\")", file);
    } else if (o->hint == HINT_FOLDER) {
        fputs("compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")", file);
    } else if (o->hint == HINT_FILE) {
        fputs("compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")", file);
    } else {
        fputs("COMPREPLY=()", file);
    }
}

void completion_bash(FILE *file) {
    fputs("# bash completion for foveate: source this, or put it into bash-completion's folder as 'foveate'.\n"
          "_foveate() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
          "    if [ \"$cur\" = = ]; then cur=; elif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        mapfile -t COMPREPLY < <(compgen -W '",
          file);
    words(file, name_command);
    fputs(" --help --version' -- \"$cur\")\n        return\n    fi\n    case $command in\n", file);
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++) {
        const option *o;
        fprintf(file, "    %s)\n        case $prev in\n", c->name);
        for (size_t j = 0; (o = command_option(c, j)); j++) {
            if (o->type == OPTION_FLAG) continue;
            if (o->alias) fprintf(file, "        -%c | ", o->alias);
            fprintf(file, "%s--%s) ", o->alias ? "" : "        ", o->name);
            bash_value(file, o);
            fputs("; return ;;\n", file);
        }
        fputs("        esac\n        if [[ $cur == -* ]]; then\n            mapfile -t COMPREPLY < <(compgen -W '", file);
        for (size_t j = 0; (o = command_option(c, j)); j++) fprintf(file, "%s--%s", j ? " " : "", o->name);
        fputs("' -- \"$cur\")\n        else\n            ", file);
        if (c->argument_names) {
            fputs("mapfile -t COMPREPLY < <(compgen -W '", file);
            words(file, c->argument_names);
            fputs("' -- \"$cur\")", file);
        } else {
            fputs("compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")", file);
        }
        fputs("\n        fi ;;\n", file);
    }
    fputs("    esac\n}\ncomplete -F _foveate foveate\n", file);
}

/* A text inside single quotes; `special` are characters that a zsh specification wants escaped. */
static void quoted(FILE *file, const char *text, const char *special) {
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", file);
        else if (strchr(special, *text))
            fprintf(file, "\\%c", *text);
        else
            putc(*text, file);
    }
}

void completion_zsh(FILE *file) {
    fputs("#compdef foveate\n# zsh completion for foveate: put this into a folder of $fpath as '_foveate'.\n"
          "_foveate() {\n    local -a commands\n    commands=(\n",
          file);
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++) {
        fprintf(file, "        '%s:", c->name);
        quoted(file, c->summary, ":");
        fputs("'\n", file);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
          "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n",
          file);
    for (size_t i = 0; (c = command_at(i)); i++) {
        fprintf(file, "    %s)\n        _arguments", c->name);
        const option *o;
        for (size_t j = 0; (o = command_option(c, j)); j++) {
            fprintf(file, " \\\n            '%s--%s%s[", o->type == OPTION_LIST ? "*" : "", o->name,
                    o->type == OPTION_FLAG ? "" : "=");
            quoted(file, o->help, "[]:");
            putc(']', file);
            if (o->type != OPTION_FLAG) {
                fprintf(file, ":%s:", o->meta ? o->meta : o->name);
                if (o->names) {
                    putc('(', file);
                    words(file, o->names);
                    putc(')', file);
                } else if (o->hint == HINT_FOLDER) {
                    fputs("_files -/", file);
                } else if (o->hint == HINT_FILE) {
                    fputs("_files", file);
                }
            }
            putc('\'', file);
        }
        if (c->argument_names) {
            fputs(" \\\n            '*:argument:(", file);
            words(file, c->argument_names);
            fputs(")'", file);
        } else if (c->max_arguments) {
            fputs(" \\\n            '*:file:_files'", file);
        }
        fputs(" ;;\n", file);
    }
    fputs("    esac\n}\n_foveate \"$@\"\n", file);
}

void completion_fish(FILE *file) {
    fputs("# fish completion for foveate: put this into ~/.config/fish/completions/foveate.fish.\n", file);
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++) {
        fprintf(file, "complete -c foveate -f -n __fish_use_subcommand -a %s -d '", c->name);
        quoted(file, c->summary, "");
        fputs("'\n", file);
        if (c->argument_names) {
            fprintf(file, "complete -c foveate -f -n '__fish_seen_subcommand_from %s' -a '", c->name);
            words(file, c->argument_names);
            fputs("'\n", file);
        }
        const option *o;
        for (size_t j = 0; (o = command_option(c, j)); j++) {
            fprintf(file, "complete -c foveate -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
            if (o->alias) fprintf(file, " -s %c", o->alias);
            if (o->names) {
                fputs(" -x -a '", file);
                words(file, o->names);
                putc('\'', file);
            } else if (o->hint == HINT_FOLDER) {
                fputs(" -x -a '(__fish_complete_directories)'", file);
            } else if (o->type != OPTION_FLAG) {
                fputs(o->hint == HINT_FILE ? " -r -F" : " -x", file);
            }
            fputs(" -d '", file);
            quoted(file, o->help, "");
            fputs("'\n", file);
        }
    }
}

static int run_completion(void *settings) {
    const shared_settings *s = settings;
    static void (*const writers[])(FILE *) = {completion_bash, completion_zsh, completion_fish};
    if (!s->argument_count) return complain(EXIT_USAGE, "completion: which shell? give bash, zsh or fish");
    const char *name;
    for (size_t i = 0; (name = name_shell(i)); i++) {
        if (strcmp(name, s->arguments[0])) continue;
        writers[i](stdout);
        return 0;
    }
    return complain(EXIT_USAGE, "completion: '%s' is unknown: give bash, zsh or fish", s->arguments[0]);
}

const command command_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "Write a completion script for a shell.",
    .settings_size = sizeof(shared_settings),
    .max_arguments = 1,
    .argument_names = name_shell,
    .run = run_completion,
    .example = "foveate completion bash > ~/.local/share/bash-completion/completions/foveate",
};
