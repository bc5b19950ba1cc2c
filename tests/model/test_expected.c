/* test_expected.c: models/tiny-sentiment on the SST-2 dev set against what Hugging Face transformers gave for it, where that
 * material is there (FOV_SHARED, else ../shared): logits and token ids of the first examples, tokens and accuracy of all. */
#include <jansson.h>
#include <math.h>

#include "support/tiny.h"

enum { MAX_ROWS = 1000, LINE = 2000 };

static char lines[MAX_ROWS][LINE];

static FILE *open_shared(const char *name) {
    char path[1000];
    const char *shared = getenv("FOV_SHARED");
    snprintf(path, sizeof path, "%s/%s", shared && *shared ? shared : FOV_SOURCE_DIR "/../shared", name);
    return fopen(path, "rb");
}

/* sentence TAB label under a header; returns the rows. */
static size_t read_rows(FILE *file, fov_text *texts, int *labels) {
    size_t rows = 0;
    assert_non_null(fgets(lines[0], LINE, file));
    for (; rows < MAX_ROWS && fgets(lines[rows], LINE, file); rows++) {
        char *tab = strchr(lines[rows], '\t');
        assert_non_null(tab);
        *tab = '\0';
        labels[rows] = atoi(tab + 1);
        texts[rows] = text_of(lines[rows]);
    }
    return rows;
}

static double number(const json_t *root, const char *name) {
    return json_number_value(json_object_get(root, name));
}

static void check_first(fov_session *session, const json_t *root, const fov_text *texts, float (*logits)[2]) {
    size_t i, j;
    const json_t *row, *value;
    json_array_foreach(json_object_get(root, "logits"), i, row) {
        json_array_foreach(row, j, value) {
            double want = json_number_value(value); /* five decimals */
            if (!(fabs((double)logits[i][j] - want) <= 1e-4)) fail_msg("row %zu: %.6f, not %.6f", i, (double)logits[i][j], want);
        }
    }
    assert_int_equal(i, 64);
    json_array_foreach(json_object_get(root, "input_ids"), i, row) {
        int32_t ids[128];
        size_t count;
        assert_ok(fov_tokenize(session, &texts[i], ids, NULL, 128, &count, NULL, error));
        assert_int_equal(count, json_array_size(row));
        for (j = 0; j < count; j++) assert_int_equal(ids[j], json_integer_value(json_array_get(row, j)));
    }
    assert_int_equal(i, 4);
}

static void test_sst2(void **state) {
    (void)state;
    FILE *data = open_shared("data/glue/sst2/dev.tsv"), *expected = open_shared("models/expected/tiny-sentiment.json");
    if (!data || !expected) {
        if (data) fclose(data);
        if (expected) fclose(expected);
        skip();
    }
    static fov_text texts[MAX_ROWS];
    static int labels[MAX_ROWS];
    static float logits[MAX_ROWS][2];
    size_t rows = read_rows(data, texts, labels), right = 0;
    json_t *root = json_loadf(expected, 0, NULL);
    assert_non_null(root);
    assert_int_equal(rows, json_integer_value(json_object_get(root, "examples")));
    fov_model *model = tiny_load(NULL);
    fov_session *session = NULL;
    fov_session_options options = {.max_length = (size_t)json_integer_value(json_object_get(root, "max_length"))};
    assert_ok(fov_session_create(model, &options, &session, error));
    assert_ok(fov_classify(session, texts, rows, logits[0], NULL, error));
    fov_stats stats;
    fov_session_get_stats(session, &stats);
    assert_true((double)stats.tokens == number(root, "tokens"));
    check_first(session, root, texts, logits);
    for (size_t i = 0; i < rows; i++) right += (logits[i][1] > logits[i][0]) == labels[i];
    double accuracy = (double)right / (double)rows, want = number(json_object_get(root, "metric"), "accuracy");
    if (!(fabs(accuracy - want) <= 1 / (double)rows + 1e-6)) fail_msg("accuracy %.6f, not %.6f", accuracy, want);
    fov_session_free(session);
    fov_model_free(model);
    json_decref(root);
    fclose(data);
    fclose(expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sst2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
