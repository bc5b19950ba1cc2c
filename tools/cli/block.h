/* block.h: a block of lines as texts. */
#ifndef FOVEATE_CLI_BLOCK_H
#define FOVEATE_CLI_BLOCK_H

#include "foveate/foveate.h"
#include "input.h"

typedef struct block {
    fov_text *texts;
    size_t count;
    size_t empty; /* texts without a byte other than blanks */
    char *bytes;
    size_t used, room;
    size_t *ends; /* per text: end of a, end of b */
} block;

enum { BLOCK_LINES = 4096, BLOCK_BYTES = 16 << 20 };

/* Read up to `lines` lines (fewer when they are long). With pairs, each line is two texts separated by one TAB. Returns 0 or
 * an exit code; block->count is 0 at the end. */
int block_read(block *b, reader *r, size_t lines, bool pairs);
/* Nothing but blanks and tabs. */
bool text_is_blank(const char *text, size_t size);
/* The texts of `lines`, repeated until there are `count` (at most BLOCK_LINES). */
int block_fill(block *b, const char *const *lines, size_t line_count, size_t count);
void block_free(block *b);

#endif
