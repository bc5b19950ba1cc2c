/* options.h: one table of options per command. Parsing, --help, the man page and shell completion are all read from it. */
#ifndef FOVEATE_CLI_OPTIONS_H
#define FOVEATE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum option_type {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_CHOICE, /* const char *, one of names() */
    OPTION_NUMBER, /* uint64_t, low..high */
    OPTION_LIST    /* option_list: may be given several times */
} option_type;

/* What a shell may offer for the value. */
typedef enum option_hint { HINT_NONE, HINT_FILE, HINT_FOLDER, HINT_NAMES } option_hint;

typedef struct option_list {
    const char **items;
    size_t count;
} option_list;

typedef struct option {
    const char *name; /* without dashes */
    char alias;       /* short form, or 0 */
    option_type type;
    size_t offset;     /* of the value in the command's settings */
    const char *meta;  /* how help names the value; NULL: the choices */
    const char *value; /* default, as one would type it; NULL: unset (0, NULL, false) */
    const char *help;  /* one line */
    uint64_t low, high;
    option_hint hint;
    const char *(*names)(size_t index); /* known values, NULL past the end */
} option;

/* What most commands share; the first member of every command's settings. */
typedef struct shared_settings {
    const char *model, *attention, *values, *ffn, *profile, *dtype;
    uint64_t threads, seed, max_length;
    bool quiet;
    bool tuned;
    bool help;
    const char **arguments; /* what is not an option */
    size_t argument_count;
    char **words; /* all as given, the command's name apart */
    size_t word_count;
} shared_settings;

/* Groups of shared options. */
enum { SHARED_MODEL = 1, SHARED_METHODS = 2, SHARED_RUN = 4, SHARED_QUIET = 8, SHARED_ALL = 15 };

typedef struct command {
    const char *name;
    const char *arguments; /* "[FILE]" */
    const char *summary;   /* one line */
    const char *detail;    /* paragraphs, or NULL */
    const char *example;   /* one command line, or NULL */
    unsigned shared;       /* groups of shared options it takes */
    const option *options; /* its own, ended by a NULL name; NULL: none */
    size_t settings_size;  /* its settings begin with shared_settings */
    size_t max_arguments;
    const char *(*argument_names)(size_t index); /* known values of its argument, or NULL */
    int (*run)(void *settings);
} command;

/* Option `index` of a command: its own, then the shared ones; NULL past the end. */
const option *command_option(const command *c, size_t index);
/* Parse argv[0..argc) (without the command's name) into settings, after the defaults. Returns 0, or an exit code after
 * the message is printed. settings_release frees the lists. */
int settings_parse(const command *c, int argc, char **argv, void *settings);
void settings_release(const command *c, void *settings);

#endif
