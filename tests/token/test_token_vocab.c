/* test_token_vocab.c: vocab.txt and tokenizer.json: what loads, what does not, and what is said then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/token.h"

static const fov_tokenizer_options uncased = {.lower_case = 1, .strip_accents = 1, .chinese_chars = 1};
static fov_error error;

static fov_tokenizer *vocab(const char *text, size_t size, const fov_tokenizer_options *options, fov_status want) {
    fov_tokenizer *tokenizer = NULL;
    error = (fov_error){0};
    assert_int_equal(fov_tokenizer_from_vocab(text, size, options, "vocab.txt", NULL, &tokenizer, &error), want);
    assert_int_equal(error.status, want);
    assert_true((want == FOV_OK) == (tokenizer != NULL));
    return tokenizer;
}

static fov_tokenizer *json(const char *text, fov_status want) {
    fov_tokenizer *tokenizer = NULL;
    error = (fov_error){0};
    assert_int_equal(fov_tokenizer_from_json(text, strlen(text), "tokenizer.json", NULL, &tokenizer, &error), want);
    assert_int_equal(error.status, want);
    assert_true((want == FOV_OK) == (tokenizer != NULL));
    return tokenizer;
}

/* The ids of `text` without [CLS] and [SEP], which are checked. */
static void expect(const fov_tokenizer *tokenizer, const char *text, size_t count, const int32_t *ids) {
    fov_token_scratch scratch = {0};
    fov_encoding e;
    assert_int_equal(fov_tokenizer_encode(tokenizer, &scratch, NULL, text, strlen(text), NULL, 0, 512, &e, NULL), FOV_OK);
    assert_int_equal(e.count, count + 2);
    assert_int_equal(e.ids[0], fov_tokenizer_special(tokenizer).cls);
    assert_int_equal(e.ids[count + 1], fov_tokenizer_special(tokenizer).sep);
    for (size_t i = 0; i < count; i++) assert_int_equal(e.ids[i + 1], ids[i]);
    fov_token_scratch_free(&scratch, NULL);
}
#define EXPECT(tokenizer, text, ...)                                                                                               \
    expect(tokenizer, text, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]){__VA_ARGS__})

#define SPECIALS "[UNK]\n[CLS]\n[SEP]\n"
#define VOCAB(text, options, want) vocab(text, sizeof text - 1, options, want)

/* Line ends, empty lines, trailing blanks and duplicates as tokenizers' WordPiece::read_file has them: the last of equals wins. */
static void lines(void **state) {
    (void)state;
    fov_tokenizer *t =
        VOCAB("[UNK]\r\n[CLS]\r\n[SEP]\r\nthe\r\n\r\ncat \t\x0b\x0c\xc2\x85\nthe\n##s\xe2\x80\x83", &uncased, FOV_OK);
    EXPECT(t, "The cats, the cats.", 6, 5, 7, 0, 6, 5, 7, 0);
    assert_int_equal(fov_tokenizer_size(t), 8);
    assert_string_equal(fov_tokenizer_piece(t, 5), "cat");
    assert_string_equal(fov_tokenizer_piece(t, 4), "");
    assert_null(fov_tokenizer_piece(t, 8));
    assert_null(fov_tokenizer_piece(t, -1));
    fov_special_ids special = fov_tokenizer_special(t);
    assert_int_equal(special.unk, 0);
    assert_int_equal(special.pad, -1);
    assert_int_equal(special.mask, -1);
    EXPECT(t, "[MASK]", 0, 0, 0); /* not in the vocabulary, so ordinary text: three unknown words */
    fov_tokenizer_free(t);
}

static void missing_specials(void **state) {
    (void)state;
    VOCAB("a\n[CLS]\n[SEP]\n", &uncased, FOV_ERR_MISMATCH);
    assert_non_null(strstr(error.message, "[UNK]"));
    assert_string_equal(error.where, "vocab.txt");
    VOCAB("[UNK]\n[CLS]\n", &uncased, FOV_ERR_MISMATCH);
    assert_non_null(strstr(error.message, "[SEP]"));
    fov_tokenizer_options named = uncased;
    named.cls = "<s>";
    VOCAB(SPECIALS, &named, FOV_ERR_MISMATCH);
    assert_non_null(strstr(error.message, "<s>"));
    fov_tokenizer *t = VOCAB(SPECIALS "<s>\n", &named, FOV_OK);
    assert_int_equal(fov_tokenizer_special(t).cls, 3);
    EXPECT(t, "<s>[UNK]", 3, 0);
    fov_tokenizer_free(t);
}

/* The table of short words beside the trie: cased pieces, bytes above 0x7F, words of eight letters and at the text's end. */
static void short_words(void **state) {
    (void)state;
    static const char text[] = SPECIALS "the\nThe\ndg1\nabcdefgh\nabcdefghi\n##i\nabcdefg\n##h\n";
    fov_tokenizer_options cased = {0};
    fov_tokenizer *t = VOCAB(text, &uncased, FOV_OK), *c = VOCAB(text, &cased, FOV_OK);
    EXPECT(t, "The THE the the the", 3, 3, 3, 3, 3);
    EXPECT(c, "The THE the the the", 4, 0, 3, 3, 3);
    EXPECT(t, "d\xc7\xb1 dg1 the the", 0, 5, 3, 3); /* the bytes c7 b1 without their top bits spell g1 */
    EXPECT(t, "abcdefgh abcdefghi abcdefghii abcdefg abcdefgh", 6, 7, 7, 8, 9, 6);
    EXPECT(t,
           "abcdef\x01gh dg\x7f\xc2\xad"
           "1 abcdefgh\xcc\x81",
           6, 5, 6); /* characters that vanish inside a word */
    fov_tokenizer_free(t);
    fov_tokenizer_free(c);
}

static void bad_files(void **state) {
    (void)state;
    VOCAB("", &uncased, FOV_ERR_FORMAT);
    VOCAB(SPECIALS "\xff\n", &uncased, FOV_ERR_FORMAT);
    assert_non_null(strstr(error.message, "UTF-8"));
    vocab(NULL, 1, &uncased, FOV_ERR_ARGUMENT);
    VOCAB(SPECIALS, NULL, FOV_ERR_ARGUMENT);
}

static void bad_calls(void **state) {
    (void)state;
    fov_tokenizer *t = VOCAB(SPECIALS "a\n", &uncased, FOV_OK);
    fov_token_scratch scratch = {0};
    fov_encoding e;
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "a", 1, NULL, 0, 2, &e, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, "a", 1, "a", 1, 3, &e, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, NULL, 1, NULL, 0, 9, &e, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_tokenizer_encode(NULL, &scratch, NULL, "a", 1, NULL, 0, 9, &e, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_tokenizer_encode(t, &scratch, NULL, NULL, 0, NULL, 0, 3, &e, &error), FOV_OK);
    assert_int_equal(e.count, 2);
    fov_token_scratch_free(&scratch, NULL);
    fov_tokenizer_free(t);
    fov_tokenizer_free(NULL);
}

#define NORMALIZER                                                                                                                 \
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,"        \
    "\"lowercase\":true}"
#define PRE "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"
#define POST "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]}"
#define MODEL_(vocab_, chars)                                                                                                      \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_"        \
    "word\":" chars ",\"vocab\":{" vocab_ "}}"
#define PIECES "\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##b\":4"
#define MODEL MODEL_(PIECES, "4")
#define TOKEN(id, text, flag)                                                                                                      \
    "{\"id\":" id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":" flag ",\"normalized\":false,"     \
    "\"special\":true}"
#define FILE_(added, normalizer, pre, post, model)                                                                                 \
    "{\"added_tokens\":[" added "]," normalizer "," pre "," post "," model ",\"decoder\":null}"
#define STEP(kind, id, type) "{\"" kind "\":{\"id\":\"" id "\",\"type_id\":" type "}}"
#define TEMPLATE(single_end, b_type, sep_ids)                                                                                      \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" STEP("SpecialToken", "[CLS]",                               \
                                                                            "0") "," STEP("Sequence", "A", "0") single_end         \
        "],\"pair\":[" STEP("SpecialToken", "[CLS]", "0") "," STEP("Sequence", "A", "0") "," STEP(                                 \
            "SpecialToken", "[SEP]",                                                                                               \
            "0") "," STEP("Sequence", "B",                                                                                         \
                          b_type) "," STEP("SpecialToken", "[SEP]",                                                                \
                                           b_type) "],"                                                                            \
                                                   "\"special_tokens\":{\"[CLS]\":{\"ids\":[1]},\"[SEP]\":{\"ids\":" sep_ids "}}}"
#define SEP_STEP "," STEP("SpecialToken", "[SEP]", "0")

static void json_loads(void **state) {
    (void)state;
    fov_tokenizer *t = json(FILE_(TOKEN("5", "<X>", "true") "," TOKEN("6", "<X>a", "true"), NORMALIZER, PRE, POST, MODEL), FOV_OK);
    EXPECT(t, "abb <X>  a <x> \xc3\x81", 3, 4, 4, 5, 3, 0, 0, 0, 3); /* <x> is not the added token: three unknown words */
    EXPECT(t, "a a<X>ab<X>", 3, 3, 6, 0, 5);                         /* the longest; then b, which begins no word */
    EXPECT(t, "abbb abbbb", 3, 4, 4, 4, 0);                          /* more than four characters */
    assert_int_equal(fov_tokenizer_size(t), 7);
    assert_string_equal(fov_tokenizer_piece(t, 5), "<X>");
    fov_tokenizer_free(t);
    t = json(FILE_("", NORMALIZER, PRE, TEMPLATE(SEP_STEP, "1", "[2]"), MODEL_(PIECES ",\"abcde\":5", "4")), FOV_OK);
    EXPECT(t, "ab abcde a a a", 3, 4, 0, 3, 3, 3); /* a piece, but more than four characters */
    fov_tokenizer_free(t);
}

static void json_refused(void **state) {
    (void)state;
    const struct {
        const char *text, *says;
        fov_status status;
    } rows[] = {
        {"", "line", FOV_ERR_FORMAT},
        {"[]", "normalizer", FOV_ERR_UNSUPPORTED},
        {FILE_("", "\"normalizer\":{\"type\":\"NFC\"}", PRE, POST, MODEL), "NFC", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", POST, MODEL), "ByteLevel", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, "\"post_processor\":{\"type\":\"RobertaProcessing\"}", MODEL), "Roberta", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, "\"post_processor\":null", MODEL), "post_processor", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, TEMPLATE("", "1", "[2]"), MODEL), "template", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, TEMPLATE(SEP_STEP, "0", "[2]"), MODEL), "template", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, TEMPLATE(SEP_STEP, "1", "[2,2]"), MODEL), "template", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, TEMPLATE(SEP_STEP, "1", "[77]"), MODEL), "SEP", FOV_ERR_MISMATCH},
        {FILE_("", NORMALIZER, PRE, POST, "\"model\":{\"type\":\"BPE\"}"), "BPE", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, POST, MODEL_(PIECES, "1000000")), "max_input_chars", FOV_ERR_UNSUPPORTED},
        {FILE_("", NORMALIZER, PRE, POST, MODEL_(PIECES, "-1")), "max_input_chars", FOV_ERR_FORMAT},
        {FILE_("", NORMALIZER, PRE, POST, MODEL_(PIECES ",\"x\":-1", "9")), "\"x\"", FOV_ERR_FORMAT},
        {FILE_("", NORMALIZER, PRE, POST, MODEL_(PIECES ",\"x\":\"y\"", "9")), "\"x\"", FOV_ERR_FORMAT},
        {FILE_("", NORMALIZER, PRE, POST, MODEL_(PIECES ",\"x\":99999999999", "9")), "\"x\"", FOV_ERR_FORMAT},
        {FILE_("", NORMALIZER, PRE, POST, MODEL_("\"[CLS]\":1,\"[SEP]\":2", "9")), "[UNK]", FOV_ERR_MISMATCH},
        {FILE_(TOKEN("3", "<X>", "false"), NORMALIZER, PRE, POST, MODEL), "<X>", FOV_ERR_MISMATCH},
        {FILE_(TOKEN("9", "a", "false"), NORMALIZER, PRE, POST, MODEL), "\"a\"", FOV_ERR_MISMATCH},
        {FILE_("{\"id\":9,\"content\":\"a\",\"single_word\":3}", NORMALIZER, PRE, POST, MODEL), "single_word", FOV_ERR_FORMAT},
        {"{\"truncation\":{\"direction\":\"Left\"}," NORMALIZER "," PRE "," POST "," MODEL "}", "Left", FOV_ERR_UNSUPPORTED},
        {FILE_("",
               "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":false,\"handle_chinese_chars\":true,\"lowercase\":true}",
               PRE, POST, MODEL),
         "clean_text", FOV_ERR_UNSUPPORTED},
        {FILE_("{\"id\":9,\"content\":\"w\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true}",
               NORMALIZER, PRE, POST, MODEL),
         "normalized", FOV_ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json(rows[i].text, rows[i].status);
        if (!strstr(error.message, rows[i].says)) fail_msg("row %zu: \"%s\" lacks \"%s\"", i, error.message, rows[i].says);
    }
}

/* An allocator whose n-th call fails and that counts what is held. */
typedef struct failing {
    size_t calls, fail_at, held;
} failing;

static void *failing_alloc(void *context, size_t bytes, size_t align) {
    failing *f = context;
    if (++f->calls == f->fail_at) return NULL;
    f->held++;
    return aligned_alloc(align, (bytes + align - 1) / align * align);
}

static void failing_release(void *context, void *block) {
    failing *f = context;
    if (block) f->held--;
    free(block);
}

static fov_status run(const fov_allocator *allocator, bool from_json) {
    static const char file[] = FILE_(TOKEN("5", "<X>", "true"), NORMALIZER, PRE, POST, MODEL), text[] = SPECIALS "a\n##b\n";
    fov_tokenizer *t = NULL;
    fov_token_scratch scratch = {0};
    fov_encoding e;
    fov_status status = from_json ? fov_tokenizer_from_json(file, sizeof file - 1, "f", allocator, &t, &error)
                                  : fov_tokenizer_from_vocab(text, sizeof text - 1, &uncased, "f", allocator, &t, &error);
    if (!status) status = fov_tokenizer_encode(t, &scratch, allocator, "ab", 2, "a", 1, 64, &e, &error);
    fov_token_scratch_free(&scratch, allocator);
    fov_tokenizer_free(t);
    return status;
}

static void out_of_memory(void **state) {
    (void)state;
    for (int from_json = 0; from_json < 2; from_json++) {
        failing f = {0};
        fov_allocator allocator = {failing_alloc, failing_release, &f};
        assert_int_equal(run(&allocator, from_json), FOV_OK);
        assert_int_equal(f.held, 0);
        size_t calls = f.calls;
        assert_true(calls > 8);
        for (size_t n = 1; n <= calls; n++) {
            f = (failing){.fail_at = n};
            assert_int_equal(run(&allocator, from_json), FOV_ERR_MEMORY);
            assert_int_equal(error.status, FOV_ERR_MEMORY);
            assert_int_equal(f.held, 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines),        cmocka_unit_test(missing_specials),
                                       cmocka_unit_test(bad_files),    cmocka_unit_test(short_words),
                                       cmocka_unit_test(bad_calls),    cmocka_unit_test(json_loads),
                                       cmocka_unit_test(json_refused), cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
