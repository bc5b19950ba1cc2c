/* token_test.h: what the tests of the tokenizers share. */
#ifndef FOV_TESTS_TOKEN_TEST_H
#define FOV_TESTS_TOKEN_TEST_H

#include <stddef.h>
#include <stdlib.h>

/* \xNN to bytes, in place; returns the size. */
static inline size_t unescape(char *text) {
    char *out = text;
    for (const char *in = text; *in; out++) {
        if (*in != '\\') {
            *out = *in++;
            continue;
        }
        char digits[3] = {in[2], in[3], 0};
        *out = (char)strtoul(digits, NULL, 16);
        in += 4;
    }
    return (size_t)(out - text);
}

#endif
