/* fuzz_vocab.c: any bytes as vocab.txt; what loads then encodes the same bytes. Bit 0 of the first byte puts the special tokens in.
 */
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char specials[] = "[UNK]\n[CLS]\n[SEP]\n";
    if (!size) return 0;
    unsigned flags = data[0];
    size_t head = flags & 1 ? sizeof specials - 1 : 0;
    char *text = malloc(head + size);
    if (!text) return 0;
    memcpy(text, specials, head);
    memcpy(text + head, data + 1, size - 1);
    fov_tokenizer_options options = {
        .lower_case = flags >> 1 & 1, .strip_accents = flags >> 2 & 1, .chinese_chars = flags >> 3 & 1};
    fov_tokenizer *tokenizer = NULL;
    fov_error error;
    fov_status status = fov_tokenizer_from_vocab(text, head + size - 1, &options, "fuzz", NULL, &tokenizer, &error);
    FUZZ_CHECK((status == FOV_OK) == (tokenizer != NULL));
    if (status)
        FUZZ_CHECK(error.status == status && error.message[0]);
    else
        check_encoding(tokenizer, data, size, size / 2, flags >> 4 & 1, 64);
    fov_tokenizer_free(tokenizer);
    free(text);
    return 0;
}
