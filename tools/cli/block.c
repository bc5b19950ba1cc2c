/* block.c: blocks of lines as texts, for the commands that stream: between the reader (input.c) and the engine. */
#include "block.h"
#include "report.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_LEAST = 1 << 16 };

static int block_append(block *b, const char *text, size_t size) {
    if (size > b->room - b->used) {
        size_t room = b->room ? b->room : ROOM_LEAST;
        while (room - b->used < size) {
            if (room > SIZE_MAX / 2) return complain_memory();
            room *= 2;
        }
        char *bytes = realloc(b->bytes, room);
        if (!bytes) return complain_memory();
        b->bytes = bytes;
        b->room = room;
    }
    if (size) memcpy(b->bytes + b->used, text, size);
    b->used += size;
    return 0;
}

bool text_is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] != ' ' && text[i] != '\t') return false;
    return true;
}

/* Offsets become pointers once the bytes no longer move. */
static void block_point(block *b, bool pairs) {
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) {
        fov_text *text = &b->texts[i];
        *text = (fov_text){.a = b->bytes + at, .a_size = b->ends[2 * i] - at};
        if (pairs) {
            text->b = b->bytes + b->ends[2 * i];
            text->b_size = b->ends[2 * i + 1] - b->ends[2 * i];
        }
        at = b->ends[2 * i + 1];
    }
}

static int block_start(block *b) {
    if (!b->texts) {
        b->texts = calloc(BLOCK_LINES, sizeof *b->texts);
        b->ends = calloc(BLOCK_LINES, 2 * sizeof *b->ends);
        if (!b->texts || !b->ends) return complain_memory();
        if (block_append(b, "", 1)) return EXIT_FAILED; /* so that bytes is never NULL */
    }
    b->count = b->used = b->empty = 0;
    return 0;
}

int block_fill(block *b, const char *const *lines, size_t line_count, size_t count) {
    if (block_start(b)) return EXIT_FAILED;
    for (; b->count < count && b->count < BLOCK_LINES; b->count++) {
        const char *line = lines[b->count % line_count];
        if (block_append(b, line, strlen(line))) return EXIT_FAILED;
        b->ends[2 * b->count] = b->ends[2 * b->count + 1] = b->used;
    }
    block_point(b, false);
    return 0;
}

int block_read(block *b, reader *r, size_t lines, bool pairs) {
    if (block_start(b)) return EXIT_FAILED;
    while (b->count < lines && b->count < BLOCK_LINES && b->used < BLOCK_BYTES) {
        const char *line;
        size_t size;
        int got = reader_line(r, &line, &size);
        if (got < 0) return EXIT_FAILED;
        if (!got) break;
        const char *tab = pairs && size ? memchr(line, '\t', size) : NULL;
        if (pairs && size && (!tab || memchr(tab + 1, '\t', size - (size_t)(tab + 1 - line))))
            return complain(EXIT_FAILED, "%s: line %zu: %s: --pairs wants two texts separated by one TAB", reader_name(r),
                            reader_number(r), tab ? "more than one TAB" : "no TAB");
        size_t first = tab ? (size_t)(tab - line) : size, second = tab ? size - first - 1 : 0;
        if (block_append(b, line, first)) return EXIT_FAILED;
        b->ends[2 * b->count] = b->used;
        if (tab && block_append(b, tab + 1, second)) return EXIT_FAILED;
        b->ends[2 * b->count + 1] = b->used;
        b->empty += text_is_blank(line, size);
        b->count++;
    }
    block_point(b, pairs);
    return 0;
}

void block_free(block *b) {
    free(b->texts);
    free(b->ends);
    free(b->bytes);
    *b = (block){0};
}
