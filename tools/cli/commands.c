/* commands.c: the table of commands. */
#include "commands.h"
#include "names.h"

#include <string.h>

static const command *const commands[] = {
    &command_classify, &command_embed,   &command_eval,       &command_fill_mask, &command_tag,    &command_rerank,
    &command_tokenize, &command_explain, &command_calibrate,  &command_tune,      &command_import, &command_methods,
    &command_info,     &command_bench,   &command_completion, &command_help,
};

const command *command_at(size_t index) {
    return index < sizeof commands / sizeof *commands ? commands[index] : NULL;
}

const command *command_find(const char *name) {
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++)
        if (!strcmp(c->name, name)) return c;
    return NULL;
}

const char *name_command(size_t index) {
    const command *c = command_at(index);
    return c ? c->name : NULL;
}
