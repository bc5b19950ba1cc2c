/* fuzz_bpe.c: any bytes as vocab.json (up to the first NUL) and merges.txt (behind it); what loads then encodes the same bytes.
 * Without a NUL the vocabulary is a fixed one and the bytes are merges and text. */
#include <string.h>

#include "tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char fixed[] = "{\"<s>\":0,\"</s>\":1,\"<mask>\":2,\"a\":3,\"b\":4,\"aa\":5,\"ab\":6,\"aab\":7,\"aaaa\":8,"
                                "\"\u0120\":9,\"\u0120a\":10,\"\u00ef\":11,\"\u00bf\":12,\"\u00ef\u00bf\":13}";
    const char *text = (const char *)data, *nul = memchr(text, 0, size);
    const char *vocab = nul ? text : fixed, *merges = nul ? nul + 1 : text;
    size_t vocab_size = nul ? (size_t)(nul - text) : sizeof fixed - 1, merges_size = size - (size_t)(merges - text);
    const char *end = !nul && size ? memchr(merges, '~', size) : NULL; /* merges end here, and the text still holds them */
    if (end) merges_size = (size_t)(end - merges);
    fov_tokenizer_options options = {.add_prefix_space = (int)(size & 1)};
    fov_tokenizer *tokenizer = NULL;
    fov_error error;
    fov_status status =
        fov_tokenizer_from_merges(vocab, vocab_size, "vocab", merges, merges_size, "merges", &options, NULL, &tokenizer, &error);
    FUZZ_CHECK((status == FOV_OK) == (tokenizer != NULL));
    if (status)
        FUZZ_CHECK(error.status == status && error.message[0]);
    else
        check_encoding(tokenizer, data, size, size / 2, size >> 1 & 1, 64);
    fov_tokenizer_free(tokenizer);
    return 0;
}
