/* commands.h: the table of commands, and the text made from it. */
#ifndef FOVEATE_CLI_COMMANDS_H
#define FOVEATE_CLI_COMMANDS_H

#include "options.h"

extern const command command_classify, command_embed, command_eval, command_fill_mask, command_tag, command_rerank,
    command_calibrate, command_tune, command_import, command_tokenize, command_explain, command_methods, command_info,
    command_bench, command_completion, command_help;

const command *command_at(size_t index); /* NULL past the end */
const command *command_find(const char *name);

/* help.c: each writes to `file`. */
void help_overview(FILE *file);
void help_command(FILE *file, const command *c);
void help_man(FILE *file);
/* completion.c */
void completion_bash(FILE *file);
void completion_zsh(FILE *file);
void completion_fish(FILE *file);

#endif
