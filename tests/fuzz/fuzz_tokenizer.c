/* fuzz_tokenizer.c: any bytes as tokenizer.json, or, from the second byte on, as a text for the embedded vocabulary's tokenizer.
 * The first byte chooses: 'j' a tokenizer.json; else bits of the options, and the rest is one text or, cut at the first TAB, two.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "token/token.h"

enum { VOCABULARY = 8192, LENGTH = 64 };

static void encode(const fov_tokenizer *tokenizer, const char *text, size_t size) {
    fov_token_scratch scratch = {0};
    fov_encoding encoding = {0};
    fov_error error = {0};
    const char *tab = size ? memchr(text, '\t', size) : NULL;
    size_t a_size = tab ? (size_t)(tab - text) : size;
    const char *b = tab ? tab + 1 : NULL;
    fov_status status =
        fov_tokenizer_encode(tokenizer, &scratch, NULL, text, a_size, b, b ? size - a_size - 1 : 0, LENGTH, &encoding, &error);
    if (status == FOV_OK) {
        PROMISE(encoding.count >= 2 && encoding.count <= LENGTH);
        for (size_t i = 0; i < encoding.count; i++)
            PROMISE(encoding.ids[i] >= 0 && (size_t)encoding.ids[i] < fov_tokenizer_size(tokenizer) && encoding.types[i] <= 1);
    }
    fov_token_scratch_free(&scratch, NULL);
}

static char *read_vocabulary(size_t *size) {
    FILE *file = fopen(FOV_SOURCE_DIR "/models/tiny-sentiment/vocab.txt", "rb");
    PROMISE(file);
    enum { MOST = 1 << 17 };
    char *text = malloc(MOST);
    PROMISE(text);
    *size = fread(text, 1, MOST, file);
    fclose(file);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static fov_tokenizer *tokenizers[8]; /* one per choice of options, kept for the life of the program */
    if (!size) return 0;
    const char *text = (const char *)data + 1;
    size--;
    if (data[0] == 'j') {
        fov_tokenizer *tokenizer = NULL;
        fov_error error = {0};
        fov_status status = fov_tokenizer_from_json(text, size, "fuzz", NULL, &tokenizer, &error);
        if (status == FOV_OK) encode(tokenizer, text, size);
        PROMISE(status == FOV_OK || (error.status == status && error.message[0]));
        if (status == FOV_OK) fov_tokenizer_free(tokenizer);
        return 0;
    }
    unsigned choice = data[0] & 7u;
    if (!tokenizers[choice]) {
        size_t vocabulary_size = 0;
        char *vocabulary = read_vocabulary(&vocabulary_size);
        fov_tokenizer_options options = {
            .lower_case = choice & 1, .strip_accents = choice >> 1 & 1, .chinese_chars = choice >> 2 & 1};
        fov_status status =
            fov_tokenizer_from_vocab(vocabulary, vocabulary_size, &options, "vocab.txt", NULL, &tokenizers[choice], NULL);
        PROMISE(status == FOV_OK && fov_tokenizer_size(tokenizers[choice]) == VOCABULARY);
        free(vocabulary);
    }
    encode(tokenizers[choice], text, size);
    return 0;
}
