/* test_config.c: config.json and tokenizer_config.json: what is read, and what is refused with which words. */
#include "model/config.h"

#include <stdio.h>

#include "support/failing_alloc.h"

static void check_failure(const fov_error *error, fov_status status, fov_status expected, const char *word, const char *input) {
    if (status != expected || error->status != expected)
        fail_msg("%.200s: status %s, expected %s: %s", input, fov_status_name(status), fov_status_name(expected), error->message);
    if (!strstr(error->message, word)) fail_msg("%.200s: \"%s\" does not say \"%s\"", input, error->message, word);
    assert_string_equal(error->where, "config.json");
}

static fov_config parse(const char *text) {
    fov_config config;
    fov_error error = {0};
    if (fov_config_parse(&config, text, strlen(text), "config.json", NULL, &error)) fail_msg("%s: %s", text, error.message);
    return config;
}

#define SIZES                                                                                                                      \
    "\"hidden_size\":12,\"num_hidden_layers\":2,\"num_attention_heads\":3,\"intermediate_size\":48,\"vocab_size\":100,"            \
    "\"max_position_embeddings\":64"

static void test_bert(void **state) {
    (void)state;
    fov_config c =
        parse("{" SIZES ",\"model_type\":\"bert\",\"architectures\":[\"BertModel\",\"Other\"],\"type_vocab_size\":2,"
              "\"pad_token_id\":7,\"layer_norm_eps\":1e-5,\"hidden_act\":\"relu\",\"position_embedding_type\":\"relative_key\","
              "\"problem_type\":\"regression\",\"id2label\":{\"2\":\"c\",\"0\":\"a\",\"1\":\"\\u00e9\"},\"label2id\":17,"
              "\"num_labels\":9,\"something\":{\"else\":[1e30,99999999999999999999999]}}");
    assert_int_equal(c.width, 12);
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.heads, 3);
    assert_int_equal(c.ffn_width, 48);
    assert_int_equal(c.vocabulary, 100);
    assert_int_equal(c.positions, 64);
    assert_int_equal(c.types, 2);
    assert_int_equal(c.pad_id, 7);
    assert_true(c.norm_eps >= 1e-5 && c.norm_eps <= 1e-5);
    assert_string_equal(c.model_type, "bert");
    assert_string_equal(c.architecture, "BertModel");
    assert_string_equal(c.activation, "relu");
    assert_string_equal(c.position_type, "relative_key");
    assert_string_equal(c.problem_type, "regression");
    assert_string_equal(c.attention, "");
    assert_int_equal(c.labels, 3);
    assert_string_equal(c.label_names[0], "a");
    assert_string_equal(c.label_names[1], "\xc3\xa9");
    assert_string_equal(c.label_names[2], "c");
    fov_config_free(&c);
    fov_config_free(&c); /* twice is harmless */
}

static void test_distilbert(void **state) {
    (void)state;
    fov_config c =
        parse("{\"model_type\":\"distilbert\",\"dim\":8,\"hidden_dim\":32,\"n_layers\":6,\"n_heads\":2,\"vocab_size\":10,"
              "\"max_position_embeddings\":16,\"activation\":\"gelu_new\",\"label2id\":{\"yes\":1,\"no\":0}}");
    assert_int_equal(c.width, 8);
    assert_int_equal(c.ffn_width, 32);
    assert_int_equal(c.layers, 6);
    assert_int_equal(c.heads, 2);
    assert_int_equal(c.types, 0);
    assert_string_equal(c.activation, "gelu_new");
    assert_int_equal(c.labels, 2);
    assert_string_equal(c.label_names[0], "no");
    assert_string_equal(c.label_names[1], "yes");
    fov_config_free(&c);
}

static void test_defaults(void **state) {
    (void)state;
    fov_config c = parse("{" SIZES ",\"problem_type\":null,\"pad_token_id\":null,\"id2label\":null,\"architectures\":[]}");
    assert_string_equal(c.model_type, "");
    assert_string_equal(c.architecture, "");
    assert_string_equal(c.activation, "gelu");
    assert_string_equal(c.position_type, "absolute");
    assert_string_equal(c.problem_type, "");
    assert_true(c.norm_eps >= 1e-12 && c.norm_eps <= 1e-12);
    assert_int_equal(c.pad_id, 0);
    assert_int_equal(c.labels, 2);
    assert_string_equal(c.label_names[1], "LABEL_1");
    fov_config_free(&c);
    c = parse("{" SIZES ",\"num_labels\":1048576}");
    assert_int_equal(c.labels, 1048576);
    assert_string_equal(c.label_names[0], "LABEL_0");
    assert_string_equal(c.label_names[1048575], "LABEL_1048575");
    fov_config_free(&c);
}

static void test_attention(void **state) {
    (void)state;
    static const struct {
        const char *json, *method;
    } rows[] = {
        {"\"attention\":null", ""},
        {"\"attention\":{\"method\":\"yoso\",\"hash_code_len\":8,\"use_expectation\":true}", "yoso:tau=8"},
        {"\"attention\":{\"method\":\"yoso\",\"hash_code_len\":9,\"num_hash\":64}", "yoso:tau=9"},
        {"\"attention\":{\"method\":\"yoso\",\"num_hash\":32,\"hash_code_len\":9,\"use_expectation\":false}", "yoso:m=32,tau=9"},
        {"\"attention\":{\"method\":\"fastmax\",\"p\":2,\"normalize\":\"standardize\"}", "fastmax:p=2,normalize=standardize"},
        {"\"attention\":{\"p\":0.25,\"q\":true,\"r\":null,\"method\":\"strange-1\"}", "strange-1:p=0.25,q=true"},
        {"\"attention\":{\"method\":\"linformer\"}", "linformer"},
        {"\"model_type\":\"yoso\"", "yoso:tau=9"},
        {"\"model_type\":\"yoso\",\"hash_code_len\":5,\"use_expectation\":false", "yoso:tau=5,m=64,hash=hadamard"},
        {"\"model_type\":\"yoso\",\"num_hash\":8,\"use_expectation\":false,\"use_fast_hash\":false",
         "yoso:tau=9,m=8,hash=gaussian"},
        {"\"attention_window\":512", "window:w=512"},
        {"\"attention_window\":[256,256]", "window:w=256"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[600];
        snprintf(text, sizeof text, "{" SIZES ",%s}", rows[i].json);
        fov_config c = parse(text);
        assert_string_equal(c.attention, rows[i].method);
        fov_config_free(&c);
    }
}

static const struct {
    const char *extra; /* after the required numbers; keys must not repeat those */
    fov_status status;
    const char *word;
} hostile[] = {
    {"\"layer_norm_eps\":\"1e-12\"", FOV_ERR_FORMAT, "\"layer_norm_eps\" is a string; it must be a number"},
    {"\"layer_norm_eps\":-1", FOV_ERR_FORMAT, "layer_norm_eps"},
    {"\"layer_norm_eps\":1e999", FOV_ERR_FORMAT, "overflow"},
    {"\"model_type\":1", FOV_ERR_FORMAT, "\"model_type\" is a number; it must be a string"},
    {"\"model_type\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", FOV_ERR_FORMAT, "32 bytes, more than 31"},
    {"\"architectures\":\"BertModel\"", FOV_ERR_FORMAT, "architectures"},
    {"\"architectures\":[1]", FOV_ERR_FORMAT, "architectures"},
    {"\"architectures\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]", FOV_ERR_FORMAT,
     "too long"},
    {"\"type_vocab_size\":-1", FOV_ERR_FORMAT, "type_vocab_size"},
    {"\"type_vocab_size\":2.5", FOV_ERR_FORMAT, "\"type_vocab_size\" is 2.5; it must be a whole number"},
    {"\"type_vocab_size\":2147483649", FOV_ERR_FORMAT, "from 0 to 2147483648"},
    {"\"pad_token_id\":100", FOV_ERR_FORMAT, "outside the vocabulary of 100"},
    {"\"pad_token_id\":true", FOV_ERR_FORMAT, "is a boolean"},
    {"\"model_type\":\"a\",\"model_type\":\"b\"", FOV_ERR_FORMAT, "duplicate"},
    /* labels */
    {"\"id2label\":[\"a\"]", FOV_ERR_FORMAT, "id2label"},
    {"\"id2label\":{}", FOV_ERR_FORMAT, "1 to 1048576"},
    {"\"id2label\":{\"0\":\"a\",\"2\":\"b\"}", FOV_ERR_FORMAT, "0 to 1, each once; see \"2\""},
    {"\"id2label\":{\"0\":\"a\",\"00\":\"b\"}", FOV_ERR_FORMAT, "see \"00\""},
    {"\"id2label\":{\"00\":\"a\"}", FOV_ERR_FORMAT, "see \"00\""},
    {"\"id2label\":{\"1\":\"a\"}", FOV_ERR_FORMAT, "see \"1\""},
    {"\"id2label\":{\"-0\":\"a\"}", FOV_ERR_FORMAT, "see \"-0\""},
    {"\"id2label\":{\"\":\"a\"}", FOV_ERR_FORMAT, "see \"\""},
    {"\"id2label\":{\"18446744073709551616\":\"a\"}", FOV_ERR_FORMAT, "see \"18446744073709551616\""},
    {"\"id2label\":{\"0\":7}", FOV_ERR_FORMAT, "label of \"0\" must be a string"},
    {"\"label2id\":{\"a\":0,\"b\":0}", FOV_ERR_FORMAT, "label2id"},
    {"\"label2id\":{\"a\":0.5}", FOV_ERR_FORMAT, "label2id"},
    {"\"label2id\":{\"a\":\"0\"}", FOV_ERR_FORMAT, "label2id"},
    {"\"num_labels\":0", FOV_ERR_FORMAT, "num_labels"},
    {"\"num_labels\":1048577", FOV_ERR_FORMAT, "num_labels"},
    /* attention */
    {"\"attention\":\"yoso\"", FOV_ERR_FORMAT, "\"attention\" is a string; it must be an object"},
    {"\"attention\":{}", FOV_ERR_FORMAT, "needs a \"method\""},
    {"\"attention\":{\"method\":\"a:b\"}", FOV_ERR_FORMAT, "needs a \"method\""},
    {"\"attention\":{\"method\":\"a\",\"b=c\":1}", FOV_ERR_FORMAT, "\"b=c\""},
    {"\"attention\":{\"method\":\"a\",\"b\":\"c,d\"}", FOV_ERR_FORMAT, "\"b\" must be a number"},
    {"\"attention\":{\"method\":\"a\",\"b\":[1]}", FOV_ERR_FORMAT, "\"b\" must be a number"},
    {"\"attention\":{\"method\":\"a\","
     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}",
     FOV_ERR_FORMAT, "too many parameters"},
    {"\"attention\":{\"method\":\"yoso\",\"hash_code_len\":8,\"use_expectation\":false}", FOV_ERR_FORMAT, "num_hash"},
    {"\"attention\":{\"method\":\"yoso\",\"use_expectation\":1}", FOV_ERR_FORMAT, "use_expectation"},
    {"\"attention_window\":[256,512]", FOV_ERR_UNSUPPORTED, "256 and 512"},
    {"\"attention_window\":[256]", FOV_ERR_FORMAT, "1 entries for 2 layers"},
    {"\"attention_window\":[]", FOV_ERR_FORMAT, "0 entries for 2 layers"},
    {"\"attention_window\":[\"256\",256]", FOV_ERR_FORMAT, "attention_window"},
    {"\"attention_window\":0", FOV_ERR_FORMAT, "attention_window"},
    {"\"attention_window\":1.5", FOV_ERR_FORMAT, "attention_window"},
    {"\"attention_window\":4,\"attention\":{\"method\":\"a\"}", FOV_ERR_FORMAT, "exclude each other"},
};

static void check_hostile(const char *text, fov_status expected, const char *word) {
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    fov_config config;
    fov_error error = {0};
    fov_status status = fov_config_parse(&config, text, strlen(text), "config.json", &memory.allocator, &error);
    check_failure(&error, status, expected, word, text);
    assert_null(config.label_names);
    failing_alloc_check(&memory);
    assert_int_equal(fov_config_parse(&config, text, strlen(text), "config.json", NULL, NULL), expected);
}

static void test_hostile(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char text[600];
        snprintf(text, sizeof text, "{" SIZES ",%s}", hostile[i].extra);
        check_hostile(text, hostile[i].status, hostile[i].word);
    }
    check_hostile("", FOV_ERR_FORMAT, "line 1, column 0");
    check_hostile("{\n\"hidden_size\": 12,\n}", FOV_ERR_FORMAT, "line 3, column 1");
    check_hostile("[]", FOV_ERR_FORMAT, "is an array; an object is needed");
    check_hostile("{}", FOV_ERR_FORMAT, "\"hidden_size\" (or \"dim\") is missing");
}

/* Each required number: missing, null, zero, negative, fractional, a string, too large. */
static void test_required(void **state) {
    (void)state;
    static const char *const names[] = {"hidden_size",       "num_hidden_layers", "num_attention_heads",
                                        "intermediate_size", "vocab_size",        "max_position_embeddings"};
    static const struct {
        const char *value, *word;
    } bad[] = {{"null", "missing"}, {"0", "from 1"},  {"-3", "from 1"},         {"3.5", "whole number"},
               {"\"3\"", "string"}, {"[3]", "array"}, {"2147483649", "from 1"}, {"1e300", "from 1"}};
    for (size_t k = 0; k < 6; k++) {
        for (size_t v = 0; v < sizeof bad / sizeof *bad; v++) {
            char text[600] = "{";
            for (size_t i = 0; i < 6; i++) {
                size_t used = strlen(text);
                snprintf(text + used, sizeof text - used, "%s\"%s\":%s", i ? "," : "", names[i], i == k ? bad[v].value : "12");
            }
            strcat(text, "}");
            check_hostile(text, FOV_ERR_FORMAT, names[k]);
            check_hostile(text, FOV_ERR_FORMAT, bad[v].word);
        }
    }
    check_hostile("{\"hidden_size\":12,\"num_hidden_layers\":1,\"num_attention_heads\":5,\"intermediate_size\":1,\"vocab_size\":1,"
                  "\"max_position_embeddings\":1}",
                  FOV_ERR_FORMAT, "5 heads do not divide the width 12");
}

static void test_memory(void **state) {
    (void)state;
    static const char *const texts[] = {"{" SIZES ",\"id2label\":{\"0\":\"a\",\"1\":\"b\"}}", "{" SIZES "}"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t n = 1;; n++) {
            failing_alloc memory;
            failing_alloc_init(&memory, n);
            fov_config config;
            fov_error error = {0};
            fov_status status = fov_config_parse(&config, texts[i], strlen(texts[i]), "config.json", &memory.allocator, &error);
            if (!status) fov_config_free(&config);
            failing_alloc_check(&memory);
            if (!memory.failed) break;
            check_failure(&error, status, FOV_ERR_MEMORY, "memory", texts[i]);
        }
    }
}

/* The text needs no NUL: a copy of exactly its size, so that a sanitizer sees a byte too many. */
static void test_bounded(void **state) {
    (void)state;
    const char *text = "{" SIZES "}";
    char *copy = malloc(strlen(text));
    memcpy(copy, text, strlen(text));
    fov_config config;
    assert_int_equal(fov_config_parse(&config, copy, strlen(text), "config.json", NULL, NULL), FOV_OK);
    fov_config_free(&config);
    free(copy);
    assert_int_equal(fov_config_parse(&config, NULL, 0, "config.json", NULL, NULL), FOV_ERR_FORMAT);
}

static fov_status tokenizer(fov_tokenizer_config *config, const char *text, fov_error *error) {
    return fov_tokenizer_config_parse(config, text, strlen(text), "config.json", error);
}

static void test_tokenizer(void **state) {
    (void)state;
    fov_tokenizer_config c;
    assert_int_equal(tokenizer(&c, "{}", NULL), FOV_OK);
    assert_int_equal(c.lower_case, -1);
    assert_int_equal(c.strip_accents, -1);
    assert_int_equal(c.chinese_chars, 1);
    assert_int_equal(c.max_length, 0);
    assert_string_equal(c.unk, "");
    assert_int_equal(
        tokenizer(&c,
                  "{\"do_lower_case\":true,\"strip_accents\":null,\"tokenize_chinese_chars\":false,\"model_max_length\":512,"
                  "\"unk_token\":\"[U]\",\"cls_token\":{\"content\":\"[C]\",\"lstrip\":false},\"sep_token\":\"[S]\","
                  "\"pad_token\":null,\"mask_token\":\"[M]\"}",
                  NULL),
        FOV_OK);
    assert_int_equal(c.lower_case, 1);
    assert_int_equal(c.strip_accents, -1);
    assert_int_equal(c.chinese_chars, 0);
    assert_int_equal(c.max_length, 512);
    assert_string_equal(c.unk, "[U]");
    assert_string_equal(c.cls, "[C]");
    assert_string_equal(c.sep, "[S]");
    assert_string_equal(c.pad, "");
    assert_string_equal(c.mask, "[M]");
    /* transformers' word for "no limit" is int(1e30), written out */
    assert_int_equal(tokenizer(&c, "{\"model_max_length\":1000000000000000019884624838656,\"do_lower_case\":false}", NULL), FOV_OK);
    assert_int_equal(c.max_length, 0);
    assert_int_equal(c.lower_case, 0);

    static const struct {
        const char *text, *word;
    } bad[] = {
        {"[]", "is an array"},
        {"{\"do_lower_case\":1}", "\"do_lower_case\" is a number; it must be true or false"},
        {"{\"strip_accents\":\"no\"}", "strip_accents"},
        {"{\"tokenize_chinese_chars\":0}", "tokenize_chinese_chars"},
        {"{\"model_max_length\":0}", "model_max_length"},
        {"{\"model_max_length\":-5}", "model_max_length"},
        {"{\"model_max_length\":1.5}", "model_max_length"},
        {"{\"model_max_length\":\"512\"}", "model_max_length"},
        {"{\"unk_token\":5}", "unk_token"},
        {"{\"cls_token\":{\"content\":5}}", "content"},
        {"{\"mask_token\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "more than 63"},
        {"{\"unk_token\":\"a\"", "line 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fov_error error = {0};
        fov_status status = tokenizer(&c, bad[i].text, &error);
        check_failure(&error, status, FOV_ERR_FORMAT, bad[i].word, bad[i].text);
    }
    fov_tokenizer_config_default(&c);
    assert_string_equal(c.unk, "[UNK]");
    assert_string_equal(c.mask, "[MASK]");
    assert_int_equal(c.lower_case, -1);
    assert_int_equal(c.chinese_chars, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),    cmocka_unit_test(test_distilbert), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_required),   cmocka_unit_test(test_attention),
        cmocka_unit_test(test_memory),  cmocka_unit_test(test_bounded),    cmocka_unit_test(test_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
