/* texts.c: arguments or lines of standard input. */
#include "texts.h"
#include "input.h"

#include <string.h>

int texts_visit(const shared_settings *settings, size_t most, text_visitor visit, void *context) {
    int code = 0;
    for (size_t i = 0; i < settings->argument_count && i < most && !code; i++) {
        const fov_text text = {.a = settings->arguments[i], .a_size = strlen(settings->arguments[i])};
        code = visit(context, &text, i);
    }
    if (settings->argument_count) return code;
    reader *r = NULL;
    code = reader_open(&r, NULL, "type a text and end with Ctrl-D; or give it as an argument");
    for (size_t i = 0; i < most && !code; i++) {
        fov_text text = {0};
        int got = reader_line(r, &text.a, &text.a_size);
        if (got <= 0) {
            code = got < 0;
            break;
        }
        code = visit(context, &text, i);
    }
    reader_close(r);
    return code;
}
