/* test_golden.c: the engine against Hugging Face transformers in double precision, by files that tests/golden/make.py wrote: one
 * small checkpoint per kind that loads, and models/tiny-sentiment. Run once per instruction tier (FOV_CPU). */
#include <jansson.h>
#include <math.h>

#include "kernels/kernels.h"
#include "support/folder.h"
#include "support/tiny.h"

#define GOLDEN FOV_SOURCE_DIR "/tests/golden"

/* Relative to the larger of 1 and the value. The golden values are exact, so this is f32 rounding alone: 2 to 4 layers of sums of
 * at most 1024 products, each off by about sqrt(1024) * 2^-24 = 2e-6 of values near 1, and a gain of a few through norms and head.
 * Probabilities carry the logits' error. */
static const double tolerance = 2e-5;

enum { MAX_OUTPUTS = 64 };

typedef struct golden {
    fov_model *model;
    const fov_model_info *info;
    json_t *root;
    char name[64];
} golden;

static void golden_open(golden *g, const char *name, const char *path, const char *expected) {
    snprintf(g->name, sizeof g->name, "%s", name);
    json_error_t problem;
    g->root = json_load_file(expected, 0, &problem);
    if (!g->root) fail_msg("%s: %s", expected, problem.text);
    assert_ok(fov_model_load(path, NULL, &g->model, error));
    g->info = fov_model_get_info(g->model);
    assert_true(json_array_size(json_object_get(g->root, "cases")) > 0);
}

static void golden_small(golden *g, const char *name) {
    char place[400], expected[512];
    snprintf(place, sizeof place, "%s/%s", GOLDEN, name);
    snprintf(expected, sizeof expected, "%s/expected.json", place);
    golden_open(g, name, place, expected);
    assert_string_equal(g->info->name, name);
}

static void golden_close(golden *g) {
    json_decref(g->root);
    fov_model_free(g->model);
}

static fov_session *session_of(const golden *g, const fov_session_options *options) {
    fov_session *session = NULL;
    assert_ok(fov_session_create(g->model, options, &session, error));
    return session;
}

static fov_text text_of_case(const json_t *c) {
    const char *a = json_string_value(json_object_get(c, "a")), *b = json_string_value(json_object_get(c, "b"));
    return b ? pair_of(a, b) : text_of(a);
}

static void check_ids(const golden *g, fov_session *session, const json_t *c, size_t number) {
    const json_t *want = json_object_get(c, "ids");
    int32_t ids[512];
    size_t count;
    fov_text text = text_of_case(c);
    assert_ok(fov_tokenize(session, &text, ids, NULL, 512, &count, NULL, error));
    if (count != json_array_size(want)) fail_msg("%s, case %zu: %zu ids, not %zu", g->name, number, count, json_array_size(want));
    for (size_t i = 0; i < count; i++) assert_int_equal(ids[i], json_integer_value(json_array_get(want, i)));
}

static void check_values(const golden *g, size_t number, const json_t *want, const float *got, size_t count) {
    assert_int_equal(json_array_size(want), count);
    for (size_t i = 0; i < count; i++) {
        double w = json_number_value(json_array_get(want, i));
        if (!(fabs((double)got[i] - w) <= tolerance * fmax(1, fabs(w))))
            fail_msg("%s, case %zu, output %zu: %.9g, not %.9g", g->name, number, i, (double)got[i], w);
    }
}

static void check_logits(const golden *g) {
    static const struct {
        const char *values;
        int all_rows;
    } ways[] = {{"exact", 0}, {"exact", 1}, {"mca:alpha=1e-9", 0}, {"mca:alpha=1e-9,length=padded:512", 0}};
    size_t count = strcmp(g->info->architecture, "yoso") ? 4 : 2; /* YOSO has no importance for mca */
    for (size_t v = 0; v < count; v++) {
        fov_session *session = session_of(g, &(fov_session_options){.values = ways[v].values, .all_rows = ways[v].all_rows});
        size_t i;
        const json_t *c;
        json_array_foreach(json_object_get(g->root, "cases"), i, c) {
            float logits[MAX_OUTPUTS], scores[MAX_OUTPUTS];
            fov_text text = text_of_case(c);
            check_ids(g, session, c, i);
            assert_ok(fov_classify(session, &text, 1, logits, NULL, error));
            check_values(g, i, json_object_get(c, "logits"), logits, g->info->labels);
            fov_scores(g->model, logits, scores);
            for (size_t j = 0; j < g->info->labels; j++) assert_true(isfinite(scores[j]));
        }
        fov_session_free(session);
    }
}

static void check_vectors(const golden *g, fov_pooling pooling, int normalize, const char *key) {
    fov_session *session = session_of(g, &(fov_session_options){.pooling = pooling, .normalize = normalize});
    size_t i;
    const json_t *c;
    json_array_foreach(json_object_get(g->root, "cases"), i, c) {
        float vector[MAX_OUTPUTS];
        fov_text text = text_of_case(c);
        check_ids(g, session, c, i);
        assert_ok(fov_embed(session, &text, 1, vector, NULL, error));
        check_values(g, i, json_object_get(c, key), vector, g->info->width);
    }
    fov_session_free(session);
}

static void check_fill(const golden *g) {
    fov_session *session = session_of(g, NULL);
    size_t i, m;
    const json_t *c, *mask;
    json_array_foreach(json_object_get(g->root, "cases"), i, c) {
        fov_candidate candidates[4 * 5];
        size_t masks = 4;
        fov_text text = text_of_case(c);
        check_ids(g, session, c, i);
        assert_ok(fov_fill_mask(session, &text, 5, candidates, &masks, error));
        assert_int_equal(masks, json_array_size(json_object_get(c, "masks")));
        json_array_foreach(json_object_get(c, "masks"), m, mask) {
            float probabilities[5];
            for (size_t k = 0; k < 5; k++) {
                probabilities[k] = candidates[m * 5 + k].probability;
                assert_int_equal(candidates[m * 5 + k].id, json_integer_value(json_array_get(json_object_get(mask, "ids"), k)));
            }
            check_values(g, i, json_object_get(mask, "probabilities"), probabilities, 5);
        }
    }
    fov_session_free(session);
}

static void check_tags(const golden *g) {
    fov_session *session = session_of(g, NULL);
    size_t i, t, labels = g->info->labels;
    const json_t *c, *row;
    json_array_foreach(json_object_get(g->root, "cases"), i, c) {
        float logits[MAX_OUTPUTS * 5];
        size_t tokens = MAX_OUTPUTS, want = json_array_size(json_object_get(c, "ids"));
        fov_text text = text_of_case(c);
        check_ids(g, session, c, i);
        assert_ok(fov_tag(session, &text, logits, &tokens, error));
        assert_int_equal(tokens, want);
        assert_int_equal(json_array_size(json_object_get(c, "logits")), want);
        json_array_foreach(json_object_get(c, "logits"), t, row) check_values(g, i, row, logits + t * labels, labels);
        tokens--;
        fov_error error;
        assert_int_equal(fov_tag(session, &text, logits, &tokens, &error), FOV_ERR_ARGUMENT);
    }
    float logit;
    fov_error error;
    assert_int_equal(fov_classify(session, &(fov_text){.a = "x", .a_size = 1}, 1, &logit, NULL, &error), FOV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "tag"));
    fov_session_free(session);
}

/* ---- tests ---- */

static void test_tiny(void **state) {
    (void)state;
    golden g;
    golden_open(&g, "tiny-sentiment", TINY_FOLDER, GOLDEN "/tiny_logits.json");
    assert_true(json_array_size(json_object_get(g.root, "cases")) >= 12);
    check_logits(&g);
    golden_close(&g);
}

static void test_classifiers(void **state) {
    (void)state;
    static const struct {
        const char *name, *architecture, *dtype;
        fov_head head;
        size_t labels, width, max_length;
    } kinds[] = {
        {"bert-single-f32", "bert", "F32", FOV_HEAD_SINGLE_LABEL, 2, 48, 19},
        {"bert-multi-f16", "bert", "F16", FOV_HEAD_MULTI_LABEL, 5, 24, 19},
        {"bert-regression-bf16", "bert", "BF16", FOV_HEAD_REGRESSION, 1, 24, 19},
        {"bert-rerank", "bert", "F16", FOV_HEAD_REGRESSION, 1, 24, 19},
        {"bert-sharded", "bert", "F16", FOV_HEAD_SINGLE_LABEL, 3, 24, 19},
        {"distilbert-single", "distilbert", "F16", FOV_HEAD_SINGLE_LABEL, 2, 24, 19},
        {"roberta-single", "roberta", "F16", FOV_HEAD_SINGLE_LABEL, 3, 24, 19},
        {"yoso-single", "yoso", "F16", FOV_HEAD_SINGLE_LABEL, 3, 24, 19},
        {"longformer-single", "longformer", "F16", FOV_HEAD_SINGLE_LABEL, 3, 24, 150},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        golden g;
        golden_small(&g, kinds[i].name);
        assert_string_equal(g.info->architecture, kinds[i].architecture);
        assert_string_equal(g.info->stored, kinds[i].dtype);
        assert_int_equal(g.info->head, kinds[i].head);
        assert_int_equal(g.info->labels, kinds[i].labels);
        assert_int_equal(g.info->width, kinds[i].width);
        assert_int_equal(g.info->layers, 2);
        assert_int_equal(g.info->max_length, kinds[i].max_length);
        check_logits(&g);
        golden_close(&g);
    }
}

static void test_scores(void **state) {
    (void)state;
    golden g;
    float scores[5];
    golden_small(&g, "bert-multi-f16");
    fov_scores(g.model, (const float[]){0, 2, -2, 100, -100}, scores);
    const double sigmoid = 0.88079707797788243; /* 1 / (1 + exp(-2)) */
    assert_true(scores[0] == 0.5F && scores[3] == 1.F && scores[4] >= 0 && scores[4] < 1e-40F);
    assert_true(fabs((double)scores[1] - sigmoid) < 1e-7 && fabs((double)scores[2] - (1 - sigmoid)) < 1e-7);
    golden_close(&g);
    golden_small(&g, "bert-regression-bf16");
    fov_scores(g.model, (const float[]){-3.25F}, scores);
    assert_true(scores[0] == -3.25F);
    golden_close(&g);
    golden_small(&g, "bert-sharded");
    fov_scores(g.model, (const float[]){1000, 1000, -1000}, scores);
    assert_true(scores[0] == 0.5F && scores[1] == 0.5F && scores[2] == 0);
    golden_close(&g);
}

static void test_encoders(void **state) {
    (void)state;
    golden g;
    golden_small(&g, "bert-plain");
    assert_int_equal(g.info->head, FOV_HEAD_NONE);
    assert_int_equal(g.info->heads, 24); /* head size 1 */
    check_vectors(&g, FOV_POOLING_DEFAULT, 0, "mean");
    check_vectors(&g, FOV_POOLING_CLS, 0, "cls");
    check_vectors(&g, FOV_POOLING_MEAN, 1, "normalized");
    golden_close(&g);
    golden_small(&g, "roberta-plain");
    assert_int_equal(g.info->max_length, 19);
    check_vectors(&g, FOV_POOLING_MEAN, 0, "mean");
    check_vectors(&g, FOV_POOLING_CLS, 0, "cls");
    golden_close(&g);
    golden_small(&g, "sentence");
    assert_int_equal(g.info->pooling, FOV_POOLING_MEAN);
    assert_int_equal(g.info->normalize, 1);
    assert_int_equal(g.info->max_length, 12);
    check_vectors(&g, FOV_POOLING_DEFAULT, 0, "normalized");
    check_vectors(&g, FOV_POOLING_CLS, -1, "cls");
    check_vectors(&g, FOV_POOLING_MEAN, -1, "mean");
    golden_close(&g);
}

/* YOSO's classifier applies the configuration's activation. */
static void test_relu_head(void **state) {
    (void)state;
    golden g;
    golden_small(&g, "yoso-single-relu");
    assert_int_equal(g.info->labels, 3);
    check_logits(&g);
    golden_close(&g);
}

static void test_masked_lm(void **state) {
    (void)state;
    static const char *const names[] = {"bert-mask",      "distilbert-mask-untied", "roberta-mask",     "yoso-mask",
                                        "bert-mask-relu", "yoso-mask-relu",         "roberta-mask-relu"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        golden g;
        golden_small(&g, names[i]);
        assert_int_equal(g.info->head, FOV_HEAD_MASKED_LM);
        assert_int_equal(g.info->labels, 0);
        check_fill(&g);
        golden_close(&g);
    }
}

static void test_tags(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t labels;
    } kinds[] = {{"bert-tags", 4}, {"roberta-tags", 3}};
    for (size_t i = 0; i < 2; i++) {
        golden g;
        golden_small(&g, kinds[i].name);
        assert_int_equal(g.info->head, FOV_HEAD_TOKENS);
        assert_int_equal(g.info->labels, kinds[i].labels);
        check_tags(&g);
        golden_close(&g);
    }
    golden g;
    golden_small(&g, "bert-single-f32");
    fov_session *session = session_of(&g, NULL);
    float logits[MAX_OUTPUTS];
    size_t tokens = MAX_OUTPUTS;
    fov_error error;
    assert_int_equal(fov_tag(session, &(fov_text){.a = "x", .a_size = 1}, logits, &tokens, &error), FOV_ERR_UNSUPPORTED);
    fov_session_free(session);
    golden_close(&g);
}

static void copy_file(const folder *f, const char *name) {
    static char data[1 << 17];
    char path[512];
    snprintf(path, sizeof path, "%s/roberta-single/%s", GOLDEN, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    folder_write(f, name, data, size);
}

/* Half a vocabulary is none; the message names the file that is missing. */
static void test_half_vocabulary(void **state) {
    (void)state;
    static const struct {
        const char *here, *where, *says;
    } rows[] = {{"config.json", "vocab.txt", "vocab.json with merges.txt"},
                {"vocab.json", "merges.txt", "vocab.json alone"},
                {"merges.txt", "vocab.json", "merges.txt alone"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        folder f;
        folder_make(&f);
        copy_file(&f, "config.json");
        copy_file(&f, "model.safetensors");
        copy_file(&f, rows[i].here);
        fov_model *model = NULL;
        fov_error error;
        assert_int_equal(fov_model_load(folder_path(&f, ""), NULL, &model, &error), FOV_ERR_IO);
        if (!strstr(error.where, rows[i].where) || !strstr(error.message, rows[i].says))
            fail_msg("%s: %s", error.where, error.message);
        folder_remove(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),     cmocka_unit_test(test_classifiers),     cmocka_unit_test(test_scores),
        cmocka_unit_test(test_encoders), cmocka_unit_test(test_masked_lm),       cmocka_unit_test(test_relu_head),
        cmocka_unit_test(test_tags),     cmocka_unit_test(test_half_vocabulary),
    };
    if (!fov_kernels_get(NULL)) return 77; /* FOV_CPU names a tier that this processor lacks: skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
