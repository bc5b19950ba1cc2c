/* test_modules.c: sentence-transformers folders. */
#include "model/config.h"

#include "support/folder.h"

#define TRANSFORMER "{\"idx\":0,\"name\":\"0\",\"path\":\"%s\",\"type\":\"sentence_transformers.models.Transformer\"}"
#define POOLING "{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"}"
#define NORMALIZE "{\"idx\":2,\"name\":\"2\",\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}"

static const char plain[] = "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"}," POOLING "]";

static void write_all(const folder *f, const char *modules, const char *pooling, const char *sentence) {
    folder_write_text(f, "modules.json", modules);
    folder_write_text(f, "1_Pooling/config.json", pooling);
    folder_write_text(f, "sentence_bert_config.json", sentence);
}

static void check_refused(const folder *f, fov_status expected, const char *where, const char *word) {
    fov_modules modules;
    fov_error error = {0};
    int found = -1;
    fov_status status = fov_modules_read(&modules, f->path, &found, &error);
    if (status != expected || !strstr(error.message, word) || !strstr(error.where, where))
        fail_msg("%s: %s (%s); expected \"%s\" (%s)", fov_status_name(status), error.message, error.where, word, where);
    assert_int_equal(found, 0);
}

static void test_good(void **state) {
    (void)state;
    folder f;
    folder_make(&f);
    folder_make_inner(&f, "1_Pooling");
    fov_modules m;
    int found = -1;
    assert_int_equal(fov_modules_read(&m, f.path, &found, NULL), FOV_OK);
    assert_int_equal(found, 0);

    write_all(&f, plain, "{\"word_embedding_dimension\":8,\"pooling_mode_cls_token\":false,\"pooling_mode_mean_tokens\":true}",
              "{\"max_seq_length\":256,\"do_lower_case\":false}");
    assert_int_equal(fov_modules_read(&m, f.path, &found, NULL), FOV_OK);
    assert_int_equal(found, 1);
    assert_string_equal(m.transformer, "");
    assert_int_equal(m.pooling, FOV_POOLING_MEAN);
    assert_int_equal(m.normalize, 0);
    assert_int_equal(m.max_length, 256);
    assert_int_equal(m.lower_case, 0);

    write_all(&f, "[{\"type\":\"x.Transformer\"}," POOLING "," NORMALIZE "]",
              "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false,\"pooling_mode_max_tokens\":false}",
              "{\"max_seq_length\":null}");
    assert_int_equal(fov_modules_read(&m, f.path, &found, NULL), FOV_OK);
    assert_int_equal(m.pooling, FOV_POOLING_CLS);
    assert_int_equal(m.normalize, 1);
    assert_int_equal(m.max_length, 0);
    assert_int_equal(m.lower_case, -1);

    write_all(&f, plain, "{\"pooling_mode\":\"cls\"}", "{}");
    assert_int_equal(fov_modules_read(&m, f.path, &found, NULL), FOV_OK);
    assert_int_equal(m.pooling, FOV_POOLING_CLS);

    /* the transformer in a folder of its own: its sentence_bert_config.json lies there, and may be absent */
    char text[400];
    snprintf(text, sizeof text, "[" TRANSFORMER "," POOLING "]", "0_Transformer");
    write_all(&f, text, "{}", "{\"max_seq_length\":99}");
    folder_make_inner(&f, "0_Transformer");
    assert_int_equal(fov_modules_read(&m, f.path, &found, NULL), FOV_OK);
    assert_string_equal(m.transformer, "0_Transformer");
    assert_int_equal(m.pooling, FOV_POOLING_MEAN);
    assert_int_equal(m.max_length, 0);
    folder_write_text(&f, "0_Transformer/sentence_bert_config.json", "{\"max_seq_length\":77}");
    assert_int_equal(fov_modules_read(&m, f.path, &found, NULL), FOV_OK);
    assert_int_equal(m.max_length, 77);
    folder_remove(&f);
}

static void test_hostile(void **state) {
    (void)state;
    static const char first[] = "{\"path\":\"\",\"type\":\"a.Transformer\"}";
    static const struct {
        const char *modules;
        fov_status status;
        const char *word;
    } lists[] = {
        {"{}", FOV_ERR_FORMAT, "an array is needed"},
        {"[", FOV_ERR_FORMAT, "line 1"},
        {"[]", FOV_ERR_UNSUPPORTED, "0 modules"},
        {"[1]", FOV_ERR_FORMAT, "must be an object"},
        {"[{\"path\":\"\",\"type\":\"a.Transformer\"}]", FOV_ERR_UNSUPPORTED, "Pooling are needed"},
        {"[{\"path\":1,\"type\":\"a.Transformer\"}]", FOV_ERR_FORMAT, "path"},
        {"[{\"path\":\"/etc\",\"type\":\"a.Transformer\"}]", FOV_ERR_FORMAT, "not inside"},
        {"[{\"path\":\"a/../../b\",\"type\":\"a.Transformer\"}]", FOV_ERR_FORMAT, "not inside"},
        {"[{\"path\":\"..\",\"type\":\"a.Transformer\"}]", FOV_ERR_FORMAT, "not inside"},
        {"[{\"path\":\"\",\"type\":\"a.CLIPModel\"}]", FOV_ERR_UNSUPPORTED, "a.CLIPModel"},
        {"[{\"path\":\"\"}]", FOV_ERR_UNSUPPORTED, "module 0 is \"\""},
        {"[" POOLING "," NORMALIZE "]", FOV_ERR_UNSUPPORTED, "Pooling"},
        {"[{\"type\":\"Transformer\"}," POOLING ",{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"}]",
         FOV_ERR_UNSUPPORTED, "models.Dense"},
        {"[{\"type\":\"Transformer\"}," POOLING "," NORMALIZE "," NORMALIZE "]", FOV_ERR_UNSUPPORTED, "module 3"},
    };
    static const struct {
        const char *pooling;
        fov_status status;
        const char *word;
    } poolings[] = {
        {"{\"pooling_mode_max_tokens\":true,\"pooling_mode_mean_tokens\":false}", FOV_ERR_UNSUPPORTED, "pooling_mode_max_tokens"},
        {"{\"pooling_mode_weightedmean_tokens\":true}", FOV_ERR_UNSUPPORTED, "pooling_mode_weightedmean_tokens"},
        {"{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}", FOV_ERR_UNSUPPORTED,
         "mean and cls pooling at once"},
        {"{\"pooling_mode_cls_token\":true}", FOV_ERR_UNSUPPORTED, "mean and cls pooling at once"},
        {"{\"pooling_mode_mean_tokens\":false}", FOV_ERR_UNSUPPORTED, "no pooling"},
        {"{\"pooling_mode_mean_tokens\":1}", FOV_ERR_FORMAT, "pooling_mode_mean_tokens"},
        {"{\"pooling_mode\":\"lasttoken\"}", FOV_ERR_UNSUPPORTED, "lasttoken"},
        {"{\"pooling_mode\":3}", FOV_ERR_FORMAT, "pooling_mode"},
        {"{", FOV_ERR_FORMAT, "line 1"},
    };
    folder f;
    folder_make(&f);
    folder_make_inner(&f, "1_Pooling");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        write_all(&f, lists[i].modules, "{}", "{}");
        check_refused(&f, lists[i].status, "modules.json", lists[i].word);
    }
    for (size_t i = 0; i < sizeof poolings / sizeof *poolings; i++) {
        write_all(&f, plain, poolings[i].pooling, "{}");
        check_refused(&f, poolings[i].status, "1_Pooling/config.json", poolings[i].word);
    }
    write_all(&f, plain, "{}", "{\"max_seq_length\":0}");
    check_refused(&f, FOV_ERR_FORMAT, "sentence_bert_config.json", "max_seq_length");
    char text[500];
    snprintf(text, sizeof text, "[%s,{\"path\":\"absent\",\"type\":\"Pooling\"}]", first);
    write_all(&f, text, "{}", "{}");
    check_refused(&f, FOV_ERR_IO, "absent/config.json", "No such file");
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
