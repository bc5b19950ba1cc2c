/* pieces.c: the marks of the two tokenizers. */
#include "pieces.h"

#include <string.h>

piece piece_of(const fov_model *model, int32_t id) {
    const char *text = fov_model_token(model, id), *kind = fov_model_get_info(model)->architecture;
    if (!text) return (piece){"", true};
    if (!strcmp(kind, "roberta") || !strcmp(kind, "longformer")) { /* byte-level BPE: a word's first piece begins with its blank */
        const bool spaced = !strncmp(text, "\xc4\xa0", 2);
        return (piece){text + (spaced ? 2 : 0), spaced || text[0] == '<'};
    }
    const bool joined = !strncmp(text, "##", 2) && text[2];
    return (piece){text + (joined ? 2 : 0), !joined};
}
