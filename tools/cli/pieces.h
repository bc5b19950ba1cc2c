/* pieces.h: how the vocabulary's entries read as text. */
#ifndef FOVEATE_CLI_PIECES_H
#define FOVEATE_CLI_PIECES_H

#include "foveate/foveate.h"

#include <stdbool.h>

typedef struct piece {
    const char *text; /* without the mark of its tokenizer: "##" of WordPiece, the G with a dot of byte-level BPE */
    bool spaced;      /* a blank stands before it */
} piece;

piece piece_of(const fov_model *model, int32_t id);

#endif
