/* html.c: escaping. Texts, labels, method strings and file names come from outside; they reach a page through here alone. */
#include "html.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 character at text (RFC 3629), 0 when there is none. */
static size_t decode(const unsigned char *text, size_t size, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char lead = text[0];
    const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (!length || length > size) return 0;
    *code = length == 1 ? (uint32_t)lead : lead & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (text[i] & 0x3f);
    }
    return *code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : length;
}

/* XML 1.0's characters, without the control characters that browsers read as something else. */
static int allowed(uint32_t code) {
    if (code < 0x20) return code == '\t' || code == '\n';
    return !(code >= 0x7f && code < 0xa0) && (code & 0xfffe) != 0xfffe && !(code >= 0xfdd0 && code < 0xfdf0);
}

void html_text(FILE *file, const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        uint32_t code = 0;
        const size_t length = decode((const unsigned char *)text + i, size - i, &code);
        const char *entity = code == '&' ? "&amp;" : code == '<' ? "&lt;" : code == '>' ? "&gt;" : code == '"' ? "&quot;" : NULL;
        if (code == '\'') entity = "&#39;";
        if (!length || !allowed(code)) entity = "\xef\xbf\xbd";
        if (entity)
            fputs(entity, file);
        else
            fwrite(text + i, 1, length, file);
        i += length ? length : 1;
    }
}

void html_string(FILE *file, const char *text) {
    html_text(file, text, strlen(text));
}

void html_number(FILE *file, const char *class, double number, int decimals) {
    if (isfinite(number))
        fprintf(file, "<data class=\"%s\" value=\"%.9g\">%.*f</data>", class, number, decimals, number);
    else
        fprintf(file, "<span class=\"%s\">\xe2\x80\x93</span>", class);
}

void html_shell(FILE *file, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,@%+";
    if (*word && strspn(word, plain) == strlen(word)) {
        html_string(file, word);
        return;
    }
    html_string(file, "'");
    for (const char *c = word; *c;) {
        const size_t run = strcspn(c, "'");
        html_text(file, c, run);
        c += run;
        if (!*c) break;
        html_string(file, "'\\''");
        c++;
    }
    html_string(file, "'");
}
