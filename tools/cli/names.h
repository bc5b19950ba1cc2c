/* names.h: lists of known values, for checking, help and completion. Each returns name `index`, NULL past the end. */
#ifndef FOVEATE_CLI_NAMES_H
#define FOVEATE_CLI_NAMES_H

#include <stddef.h>

const char *name_attention(size_t index);
const char *name_values(size_t index);
const char *name_ffn(size_t index);
const char *name_format(size_t index);
const char *name_pooling(size_t index);
const char *name_color(size_t index);
const char *name_shell(size_t index);
const char *name_task(size_t index);    /* tasks.c */
const char *name_command(size_t index); /* commands.c */

#endif
