/* tokens.h: encode bytes with a tokenizer and check what every encoding promises. */
#ifndef FOV_FUZZ_TOKENS_H
#define FOV_FUZZ_TOKENS_H

#include "fuzz.h"
#include "token/token.h"

static inline void check_encoding(const fov_tokenizer *tokenizer, const uint8_t *data, size_t size, size_t split, int pair,
                                  size_t max_length) {
    fov_token_scratch scratch = {0};
    fov_encoding e;
    fov_error error;
    const char *text = (const char *)data;
    if (split > size) split = size;
    fov_status status = fov_tokenizer_encode(tokenizer, &scratch, NULL, text, split, pair ? text + split : NULL, size - split,
                                             max_length, &e, &error);
    FUZZ_CHECK(status == FOV_OK || (status == FOV_ERR_ARGUMENT && max_length < 5));
    if (!status) {
        fov_special_ids special = fov_tokenizer_special(tokenizer);
        FUZZ_CHECK(e.count >= (pair ? 3 : 2) && e.count <= max_length && e.count + e.truncated <= 4 * size + 4 &&
                   e.invalid <= size);
        FUZZ_CHECK(e.ids[0] == special.cls && e.ids[e.count - 1] == special.sep);
        for (size_t i = 0; i < e.count; i++) FUZZ_CHECK(fov_tokenizer_piece(tokenizer, e.ids[i]) && e.types[i] <= (pair ? 1 : 0));
    }
    fov_token_scratch_free(&scratch, NULL);
}

#endif
