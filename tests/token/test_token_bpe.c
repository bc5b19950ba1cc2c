/* test_token_bpe.c: byte-level BPE: ids against Hugging Face's own (bpe/golden.tsv, written by golden_bpe.py), and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/failing_alloc.h"
#include "token/bpe.h"
#include "token/bpe_words.h"
#include "token/token_test.h"
#include "token/unicode.h"

#define FOLDER FOV_SOURCE_DIR "/tests/token/bpe/"

static fov_error error;

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 17);
    assert_non_null(file);
    assert_non_null(text);
    *size = fread(text, 1, 1 << 17, file);
    fclose(file);
    return text;
}

static fov_status load_text(const char *vocab, const char *merges, fov_tokenizer **out) {
    const fov_tokenizer_options options = {0};
    *out = NULL;
    return fov_tokenizer_from_merges(vocab, strlen(vocab), "vocab.json", merges, strlen(merges), "merges.txt", &options, NULL, out,
                                     &error);
}

static fov_tokenizer *load_files(int prefix, const fov_allocator *allocator, fov_status *status) {
    const fov_tokenizer_options options = {.add_prefix_space = prefix};
    size_t size, merges_size;
    char *vocab = read_file(FOLDER "vocab.json", &size), *merges = read_file(FOLDER "merges.txt", &merges_size);
    fov_tokenizer *made = NULL;
    *status = fov_tokenizer_from_merges(vocab, size, "v", merges, merges_size, "m", &options, allocator, &made, &error);
    free(vocab);
    free(merges);
    return made;
}

static void check_row(char *line, fov_tokenizer *const both[2], fov_token_scratch *scratch, size_t number) {
    char *field[7];
    for (size_t i = 0; i < 7; i++) {
        field[i] = line;
        line += strcspn(line, "\t\n");
        if (*line) *line++ = '\0';
    }
    bool pair = strcmp(field[3], "-") != 0;
    size_t a = unescape(field[2]), b = unescape(field[3]), at = 0;
    fov_encoding e;
    assert_int_equal(fov_tokenizer_encode(both[atoi(field[0])], scratch, NULL, field[2], a, pair ? field[3] : NULL, b,
                                          strtoul(field[1], NULL, 10), &e, NULL),
                     FOV_OK);
    for (char *ids = field[6]; *ids; at++) {
        long want = strtol(ids, &ids, 10);
        if (at >= e.count || e.ids[at] != want) fail_msg("row %zu: id %zu is not %ld", number, at, want);
    }
    if (e.count != at) fail_msg("row %zu: %zu ids, not %zu", number, e.count, at);
    for (size_t i = 0; i < e.count; i++) assert_int_equal(e.types[i], 0);
    assert_int_equal(e.truncated, strtoul(field[4], NULL, 10));
    assert_int_equal(e.invalid, strtoul(field[5], NULL, 10));
}

static void golden(void **state) {
    (void)state;
    static char line[1 << 16];
    fov_token_scratch scratch = {0};
    fov_status status;
    fov_tokenizer *both[2] = {load_files(0, NULL, &status), load_files(1, NULL, &status)};
    FILE *file = fopen(FOLDER "golden.tsv", "rb");
    assert_non_null(file);
    assert_non_null(both[0]);
    assert_non_null(both[1]);
    size_t rows = 0;
    while (fgets(line, sizeof line, file))
        if (line[0] != '#') check_row(line, both, &scratch, rows++);
    assert_true(rows > 200);
    fclose(file);
    fov_token_scratch_free(&scratch, NULL);
    fov_tokenizer_free(both[0]);
    fov_tokenizer_free(both[1]);
}

/* Special ids and sizes; pieces are told in the vocabulary's own letters. */
static void facts(void **state) {
    (void)state;
    fov_status status;
    fov_tokenizer *t = load_files(0, NULL, &status);
    fov_special_ids special = fov_tokenizer_special(t);
    fov_token_scratch scratch = {0};
    fov_encoding e;
    assert_true(special.cls == 0 && special.pad == 1 && special.sep == 2 && special.unk == 3 && special.mask == 4);
    assert_int_equal(fov_tokenizer_size(t), 592);
    assert_string_equal(fov_tokenizer_piece(t, 4), "<mask>");
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "a", 1, "b", 1, 4, &e, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "a", 1, "b", 1, 5, &e, &error), FOV_OK);
    assert_int_equal(e.count, 5);
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "a", 1, NULL, 0, 2, &e, &error), FOV_ERR_ARGUMENT);
    fov_token_scratch_free(&scratch, NULL);
    fov_tokenizer_free(t);
}

/* White space is Unicode's White_Space; nothing unassigned is a letter or number. */
static void kinds(void **state) {
    (void)state;
    static const uint32_t spaces[] = {0x9,    0xA,    0xB,    0xC,    0xD,    0x20,   0x85,   0xA0,   0x1680,
                                      0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                      0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    size_t found = 0;
    for (uint32_t code = 0; code < 0x110000; code++)
        if (fov_bpe_kind(code) == FOV_BPE_SPACE) {
            assert_true(found < sizeof spaces / sizeof *spaces);
            assert_int_equal(code, spaces[found++]);
        }
    assert_int_equal(found, sizeof spaces / sizeof *spaces);
    for (uint32_t c = 0; c < 128; c++) {
        bool letter = (c | 32) - 'a' < 26u, number = c - '0' < 10u;
        if (letter || number) assert_int_equal(fov_bpe_kind(c), letter ? FOV_BPE_LETTER : FOV_BPE_NUMBER);
    }
    assert_int_equal(fov_bpe_kind(0x378), FOV_BPE_OTHER);
    assert_int_equal(fov_bpe_kind(0x10FFFF), FOV_BPE_OTHER);
}

#define SPECIALS "\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3,\"<mask>\":4"
#define ABC "{" SPECIALS ",\"a\":5,\"b\":6,\"c\":7,\"ab\":8,\"abc\":9,\"bc\":10}"

static void merges(void **state) {
    (void)state;
    static const struct {
        const char *merges;
        int32_t ids[4];
        size_t count;
    } rows[] = {
        {"", {5, 6, 7}, 3},          {"#version: 0.2\na b\nab c\n", {9}, 1}, {"b c\na b\nab c\n", {5, 10}, 2},
        {"a b\r\nab c\r\n", {9}, 1}, {"a b\nb c\na b", {5, 10}, 2}, /* of equal pairs the last has the rank */
        {"ab c\na b", {9}, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fov_tokenizer *t;
        fov_token_scratch scratch = {0};
        fov_encoding e;
        assert_int_equal(load_text(ABC, rows[i].merges, &t), FOV_OK);
        assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "abc", 3, NULL, 0, 9, &e, &error), FOV_OK);
        assert_int_equal(e.count, rows[i].count + 2);
        for (size_t k = 0; k < rows[i].count; k++) assert_int_equal(e.ids[k + 1], rows[i].ids[k]);
        assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "x \xff", 3, NULL, 0, 9, &e, &error), FOV_OK);
        assert_int_equal(e.count, 2); /* bytes that are no pieces are dropped */
        fov_token_scratch_free(&scratch, NULL);
        fov_tokenizer_free(t);
    }
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *vocab, *merges, *where, *says;
        fov_status status;
    } rows[] = {
        {"", "", "vocab.json", "JSON", FOV_ERR_FORMAT},
        {"[]", "", "vocab.json", "an object is needed", FOV_ERR_FORMAT},
        {"{}", "", "vocab.json", "empty", FOV_ERR_FORMAT},
        {"{\"a\":1", "", "vocab.json", "line 1", FOV_ERR_FORMAT},
        {"{\"a\":1,\"a\":2}", "", "vocab.json", "duplicate", FOV_ERR_FORMAT},
        {"{\"a\":-1}", "", "vocab.json", "\"a\"", FOV_ERR_FORMAT},
        {"{\"a\":\"1\"}", "", "vocab.json", "\"a\"", FOV_ERR_FORMAT},
        {"{\"a\":1.5}", "", "vocab.json", "\"a\"", FOV_ERR_FORMAT},
        {"{\"a\":4194304}", "", "vocab.json", "\"a\"", FOV_ERR_FORMAT},
        {"{\"<s>\":0}", "", "vocab.json", "</s>", FOV_ERR_MISMATCH},
        {"{\"a\":0}", "", "vocab.json", "<s>", FOV_ERR_MISMATCH},
        {ABC, "a", "merges.txt", "line 1", FOV_ERR_FORMAT},
        {ABC, "#version: 0.2\na b\nab\n", "merges.txt", "line 3", FOV_ERR_FORMAT},
        {ABC, "a b c", "merges.txt", "line 1", FOV_ERR_FORMAT},
        {ABC, "a  b", "merges.txt", "line 1", FOV_ERR_FORMAT},
        {ABC, " a", "merges.txt", "line 1", FOV_ERR_FORMAT},
        {ABC, "a ", "merges.txt", "line 1", FOV_ERR_FORMAT},
        {ABC, "a b\n\n", "merges.txt", "line 2", FOV_ERR_FORMAT},
        {ABC, "a d", "merges.txt", "lacks the second", FOV_ERR_MISMATCH},
        {ABC, "d a", "merges.txt", "lacks the first", FOV_ERR_MISMATCH},
        {ABC, "a b\na c", "merges.txt", "merge 2", FOV_ERR_MISMATCH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fov_tokenizer *t;
        fov_status status = load_text(rows[i].vocab, rows[i].merges, &t);
        if (status != rows[i].status) fail_msg("row %zu: status %d", i, (int)status);
        assert_null(t);
        if (!strstr(error.message, rows[i].says)) fail_msg("row %zu: \"%s\" lacks \"%s\"", i, error.message, rows[i].says);
        assert_string_equal(error.where, rows[i].where);
    }
    static char long_merge[2000];
    memset(long_merge, 'a', sizeof long_merge - 1);
    long_merge[9] = ' ';
    fov_tokenizer *t;
    assert_int_equal(load_text(ABC, long_merge, &t), FOV_ERR_FORMAT);
}

#define PRE "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}"
#define POST "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",2],\"cls\":[\"<s>\",0]}"
#define MODEL(more, rules) "\"model\":{\"type\":\"BPE\"" more ",\"vocab\":" ABC ",\"merges\":[" rules "]}"
#define ADDED(id, text, normalized)                                                                                                \
    "{\"id\":" id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":" normalized "}"
#define RULES "\"a b\",[\"ab\",\"c\"]"
#define FILE_(normalizer, pre, post, model) "{\"normalizer\":" normalizer "," pre "," post "," model "}"

static void json_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
        fov_status status;
        int32_t id; /* of "abc" */
    } rows[] = {
        {FILE_("null", PRE, POST, MODEL("", RULES)), "", FOV_OK, 9},
        {FILE_("null", PRE, POST, MODEL(",\"dropout\":null,\"unk_token\":null,\"fuse_unk\":false", RULES)), "", FOV_OK, 9},
        {FILE_("null", PRE, POST, MODEL(",\"dropout\":0.0,\"ignore_merges\":true", "")), "", FOV_OK, 9},
        {FILE_("null", PRE, POST, MODEL("", "[\"b\",\"c\"]")), "", FOV_OK, 5},
        {FILE_("null", PRE, POST, MODEL(",\"dropout\":0.1", RULES)), "dropout", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", PRE, POST, MODEL(",\"byte_fallback\":true", RULES)), "byte_fallback", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", PRE, POST, MODEL(",\"fuse_unk\":true", RULES)), "fuse_unk", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", PRE, POST, MODEL(",\"end_of_word_suffix\":\"</w>\"", RULES)), "</w>", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", PRE, POST, MODEL(",\"continuing_subword_prefix\":\"##\"", RULES)), "##", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("{\"type\":\"NFC\"}", PRE, POST, MODEL("", RULES)), "NFC", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", "\"pre_tokenizer\":{\"type\":\"Metaspace\"}", POST, MODEL("", RULES)), "Metaspace", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", POST, MODEL("", RULES)), "add_prefix_space", FOV_ERR_FORMAT,
         0},
        {FILE_("null", "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}", POST,
               MODEL("", RULES)),
         "use_regex", FOV_ERR_UNSUPPORTED, 0},
        {FILE_("null", PRE, "\"post_processor\":{\"type\":\"ByteLevel\"}", MODEL("", RULES)), "post_processor", FOV_ERR_UNSUPPORTED,
         0},
        {FILE_("null", PRE, "\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\",0]}", MODEL("", RULES)),
         "post_processor.sep", FOV_ERR_FORMAT, 0},
        {FILE_("null", PRE, POST, MODEL("", "\"a b c\"")), "entry 1", FOV_ERR_FORMAT, 0},
        {FILE_("null", PRE, POST, MODEL("", "\"a b\",[\"a\"]")), "entry 2", FOV_ERR_FORMAT, 0},
        {FILE_("null", PRE, POST, MODEL("", "7")), "entry 1", FOV_ERR_FORMAT, 0},
        {FILE_("null", PRE, POST, MODEL("", "[\"a\",\"z\"]")), "merge 1", FOV_ERR_MISMATCH, 0},
        {"{" PRE "," POST ",\"model\":{\"type\":\"BPE\",\"vocab\":" ABC "}}", "model.merges", FOV_ERR_FORMAT, 0},
        {"{\"added_tokens\":[" ADDED("20", "xyz", "true") "," ADDED("21", "<z>", "false") "]," PRE "," POST
                                                                                          "," MODEL("", RULES) "}",
         "", FOV_OK, 9},
        {"{\"added_tokens\":[" ADDED("20", "xyz", "true") "," ADDED("21", "zx", "false") "]," PRE "," POST "," MODEL("", RULES) "}",
         "overlap", FOV_ERR_UNSUPPORTED, 0},
        {"{\"added_tokens\":[" ADDED("20", "xyz", "false") "," ADDED("21", "y", "true") "]," PRE "," POST "," MODEL("", RULES) "}",
         "overlap", FOV_ERR_UNSUPPORTED, 0},
        {"{" PRE "," POST ",\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", "null", FOV_ERR_UNSUPPORTED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fov_tokenizer *t = NULL;
        fov_token_scratch scratch = {0};
        fov_encoding e;
        fov_status status = fov_tokenizer_from_json(rows[i].text, strlen(rows[i].text), "t", NULL, &t, &error);
        if (status != rows[i].status) fail_msg("row %zu: status %d, %s", i, (int)status, error.message);
        if (status && !strstr(error.message, rows[i].says))
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, error.message, rows[i].says);
        if (status) continue;
        assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "abc", 3, NULL, 0, 9, &e, &error), FOV_OK);
        assert_int_equal(e.ids[1], rows[i].id);
        fov_token_scratch_free(&scratch, NULL);
        fov_tokenizer_free(t);
    }
}

/* Normalised added tokens are compared pair by pair: more than any real file has are refused, not waited for. */
static void many_added(void **state) {
    (void)state;
    enum { COUNT = 4097, EACH = 150 };
    char *text = malloc(COUNT * EACH + 1000);
    assert_non_null(text);
    for (int count = COUNT - 1; count <= COUNT; count++) {
        size_t used = (size_t)sprintf(text, "{\"added_tokens\":[");
        for (int i = 0; i < count; i++)
            used += (size_t)sprintf(text + used, "%s" ADDED("%d", "<%d>", "true"), i ? "," : "", 20 + i, i);
        sprintf(text + used, "]," PRE "," POST "," MODEL("", RULES) "}");
        fov_tokenizer *t = NULL;
        fov_status status = fov_tokenizer_from_json(text, strlen(text), "t", NULL, &t, &error);
        assert_int_equal(status, count < COUNT ? FOV_OK : FOV_ERR_UNSUPPORTED);
        if (status) assert_non_null(strstr(error.message, "4097 added tokens"));
        fov_tokenizer_free(t);
    }
    free(text);
}

/* Every allocation fails once: of loading, and of encoding with a long word and an invalid byte. */
static void out_of_memory(void **state) {
    (void)state;
    static char text[300];
    memset(text, 'a', sizeof text);
    text[299] = (char)0xFF;
    for (size_t n = 1;; n++) {
        failing_alloc memory;
        fov_status status;
        fov_token_scratch scratch = {0};
        fov_encoding e;
        failing_alloc_init(&memory, n);
        fov_tokenizer *t = load_files(1, &memory.allocator, &status);
        if (!status) status = fov_tokenizer_encode(t, &scratch, &memory.allocator, text, sizeof text, text, 99, 999, &e, &error);
        fov_token_scratch_free(&scratch, &memory.allocator);
        fov_tokenizer_free(t);
        failing_alloc_check(&memory);
        if (!memory.failed) break;
        assert_int_equal(status, FOV_ERR_MEMORY);
        assert_int_equal(error.status, FOV_ERR_MEMORY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),  cmocka_unit_test(facts),      cmocka_unit_test(kinds),         cmocka_unit_test(merges),
        cmocka_unit_test(refused), cmocka_unit_test(json_files), cmocka_unit_test(out_of_memory), cmocka_unit_test(many_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
