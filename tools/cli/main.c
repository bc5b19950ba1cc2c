/* main.c: finds the command, parses its options, runs it. Exit codes: 0 done, 1 the work failed, 2 wrong usage. */
#include "commands.h"
#include "names.h"
#include "nearest.h"
#include "output.h"
#include "report.h"

#include "foveate/foveate.h"

#include <stdlib.h>
#include <string.h>

static const char *command_name_at(const void *context, size_t index) {
    (void)context;
    return name_command(index);
}

static int unknown_command(const char *word) {
    const char *near = nearest(word, command_name_at, NULL);
    if (near) return complain(EXIT_USAGE, "'%s' is no command: did you mean '%s'? ('foveate --help' lists them)", word, near);
    return complain(EXIT_USAGE, "'%s' is no command: 'foveate --help' lists them", word);
}

static int run_command(const command *c, int argc, char **argv) {
    void *settings = calloc(1, c->settings_size);
    if (!settings) return complain_memory();
    int code = settings_parse(c, argc, argv, settings);
    if (!code && ((const shared_settings *)settings)->help)
        help_command(stdout, c);
    else if (!code)
        code = c->run(settings);
    settings_release(c, settings);
    free(settings);
    return code;
}

/* A result that did not reach its reader is a failure, even when the command saw none. */
static int finish(int code) {
    output out = {.file = stdout, .slot = -1};
    if (!code) return output_close(&out, true);
    fflush(stdout);
    return code;
}

int main(int argc, char **argv) {
    output_prepare();
    if (argc < 2) {
        help_overview(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
        printf("foveate %s\n", fov_version());
        return finish(0);
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
        help_overview(stdout);
        return finish(0);
    }
    if (word[0] == '-') return complain(EXIT_USAGE, "%s: give a command first: 'foveate --help' lists them", word);
    const command *c = command_find(word);
    return c ? finish(run_command(c, argc - 2, argv + 2)) : unknown_command(word);
}
