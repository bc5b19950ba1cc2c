/* test_token_golden.c: ids against Hugging Face's own (golden_uncased.tsv, written by golden.py), without Python. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/token.h"
#include "token/token_test.h"

static const char *const vocabulary_files[] = {FOV_SOURCE_DIR "/models/tiny-sentiment/vocab.txt",
                                               FOV_SOURCE_DIR "/tests/token/golden_extra.txt"};

static char *read_vocabulary(size_t *size) {
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *size = 0;
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(vocabulary_files[i], "rb");
        assert_non_null(file);
        *size += fread(text + *size, 1, (1 << 20) - *size, file);
        fclose(file);
    }
    return text;
}

static fov_tokenizer *tokenizers[8];
static char *vocabulary;
static size_t vocabulary_size;

static const fov_tokenizer *tokenizer_of(int lower, int strip, int chinese) {
    fov_tokenizer **slot = &tokenizers[lower * 4 + strip * 2 + chinese];
    fov_tokenizer_options options = {.lower_case = lower, .strip_accents = strip, .chinese_chars = chinese};
    fov_error error;
    if (!*slot) assert_int_equal(fov_tokenizer_from_vocab(vocabulary, vocabulary_size, &options, "v", NULL, slot, &error), FOV_OK);
    return *slot;
}

static void check_row(char *line, fov_token_scratch *scratch, size_t number) {
    char *field[9];
    for (size_t i = 0; i < 9; i++) {
        field[i] = line;
        line += strcspn(line, "\t\n");
        if (*line) *line++ = '\0';
    }
    const fov_tokenizer *tokenizer = tokenizer_of(atoi(field[0]), atoi(field[1]), atoi(field[2]));
    bool pair = strcmp(field[5], "-") != 0;
    size_t a = unescape(field[4]), b = unescape(field[5]), at = 0;
    fov_encoding e;
    assert_int_equal(fov_tokenizer_encode(tokenizer, scratch, NULL, field[4], a, pair ? field[5] : NULL, b,
                                          strtoul(field[3], NULL, 10), &e, NULL),
                     FOV_OK);
    char *ids = field[8];
    for (; *ids; at++) {
        long want = strtol(ids, &ids, 10);
        if (at >= e.count || e.ids[at] != want) fail_msg("row %zu: id %zu is not %ld", number, at, want);
    }
    if (e.count != at) fail_msg("row %zu: %zu ids, not %zu", number, e.count, at);
    assert_int_equal(e.truncated, strtoul(field[6], NULL, 10));
    assert_int_equal(e.invalid, strtoul(field[7], NULL, 10));
    size_t first = 0; /* types: 0 up to and with the first [SEP] that is followed by the pair, 1 behind it */
    while (first < e.count && e.types[first] == 0) first++;
    for (size_t i = first; i < e.count; i++) assert_int_equal(e.types[i], 1);
    size_t sep = 1; /* the pairs of the file have no [SEP] in their text */
    while (e.ids[sep - 1] != fov_tokenizer_special(tokenizer).sep) sep++;
    assert_int_equal(first, pair ? sep : e.count);
}

static void golden(void **state) {
    (void)state;
    FILE *file = fopen(FOV_SOURCE_DIR "/tests/token/golden_uncased.tsv", "rb");
    assert_non_null(file);
    static char line[1 << 16];
    fov_token_scratch scratch = {0};
    vocabulary = read_vocabulary(&vocabulary_size);
    size_t rows = 0;
    while (fgets(line, sizeof line, file))
        if (line[0] != '#') check_row(line, &scratch, rows++);
    assert_true(rows > 150);
    fclose(file);
    fov_token_scratch_free(&scratch, NULL);
    for (size_t i = 0; i < 8; i++) fov_tokenizer_free(tokenizers[i]);
    free(vocabulary);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
