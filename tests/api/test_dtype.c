/* test_dtype.c: what the layers are held and multiplied in: names, memory, labels and logits beside f32's, threads and batches bit
 * for bit, and which methods go with it. */
#include <math.h>
#include <stdbool.h>

#include "support/tiny.h"

static const char *const names[] = {"f32", "bf16", "int8"};
enum { F32, BF16, INT8, TYPES };

static fov_model *load(const char *dtype) {
    fov_model *model = NULL;
    assert_ok(fov_model_load(TINY_FOLDER, &(fov_model_options){.dtype = dtype, .threads = 2}, &model, error));
    return model;
}

static fov_session *session_of(const fov_model *model, const fov_session_options *options) {
    fov_session *session = NULL;
    assert_ok(fov_session_create(model, options, &session, error));
    return session;
}

static void classify(const fov_model *model, const fov_session_options *options, const fov_text *texts, size_t count,
                     float *logits) {
    fov_session *session = session_of(model, options);
    assert_ok(fov_classify(session, texts, count, logits, NULL, error));
    fov_session_free(session);
}

static void test_unknown(void **state) {
    (void)state;
    static const char *const unknown[] = {"", "f16", "F32", "int8 ", "bf16,int8"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        fov_model *model = NULL;
        fov_error problem = {0};
        assert_int_equal(fov_model_load(TINY_FOLDER, &(fov_model_options){.dtype = unknown[i]}, &model, &problem),
                         FOV_ERR_ARGUMENT);
        assert_null(model);
        assert_string_equal(problem.where, "dtype");
        assert_non_null(strstr(problem.message, "f32, bf16 and int8"));
    }
}

/* Of the parameters, 3.1 million are the layers' matrices: 4, 2 and 1 bytes each; the rest is as large in every type. */
static void test_memory(void **state) {
    (void)state;
    const size_t c = 256, f = 1024, matrices = 4 * (4 * c * c + 2 * f * c);
    size_t bytes[TYPES];
    for (size_t i = 0; i < TYPES; i++) {
        fov_model *model = load(names[i]);
        const fov_model_info *info = fov_model_get_info(model);
        assert_string_equal(info->dtype, names[i]);
        assert_string_equal(info->stored, "F16");
        bytes[i] = info->weight_bytes;
        fov_model_free(model);
    }
    assert_int_equal(bytes[F32] - bytes[BF16], 2 * matrices);
    const size_t scales = 4 * (5 * c + f) * (sizeof(float) + sizeof(int32_t)); /* of every output */
    assert_int_equal(bytes[F32] - bytes[INT8], 3 * matrices - scales);
}

static size_t label(const float logits[2]) {
    return logits[1] > logits[0];
}

/* Labels are f32's; the distance between the logits moves by less than a class that is told apart needs. */
static void test_labels(void **state) {
    (void)state;
    fov_text texts[TINY_TEXTS];
    tiny_texts(texts);
    float want[TINY_TEXTS][2];
    for (size_t i = 0; i < TYPES; i++) {
        fov_model *model = load(names[i]);
        float got[TINY_TEXTS][2];
        classify(model, NULL, texts, TINY_TEXTS, got[0]);
        if (i == F32) memcpy(want, got, sizeof want);
        size_t moved = 0;
        for (size_t t = 0; t < TINY_TEXTS; t++) {
            if (label(got[t]) != label(want[t])) fail_msg("%s: another label for text %zu", names[i], t);
            moved += memcmp(got[t], want[t], sizeof want[t]) != 0;
        }
        assert_true(i == F32 ? moved == 0 : moved == TINY_TEXTS); /* it is not f32 in disguise */
        fov_model_free(model);
    }
}

static void test_threads_and_batches(void **state) {
    (void)state;
    fov_text texts[TINY_TEXTS];
    tiny_texts(texts);
    static const char *const values[] = {"exact", "mca:alpha=.4"};
    for (size_t i = BF16; i < TYPES; i++) {
        fov_model *model = load(names[i]);
        for (size_t v = 0; v < 2; v++) {
            float together[TINY_TEXTS][2], threads[TINY_TEXTS][2], alone[2];
            classify(model, &(fov_session_options){.values = values[v], .threads = 1}, texts, TINY_TEXTS, together[0]);
            classify(model, &(fov_session_options){.values = values[v], .threads = 3}, texts, TINY_TEXTS, threads[0]);
            assert_memory_equal(together, threads, sizeof together);
            for (size_t t = 0; t < TINY_TEXTS; t++) {
                classify(model, &(fov_session_options){.values = values[v], .threads = 1}, &texts[t], 1, alone);
                assert_memory_equal(alone, together[t], sizeof alone);
            }
        }
        fov_model_free(model);
    }
}

/* An estimator in its exact limit makes the bits of exact values: both ways through dense attention are one. */
static void test_exact_limit(void **state) {
    (void)state;
    fov_text texts[TINY_TEXTS];
    tiny_texts(texts);
    for (size_t i = 0; i < TYPES; i++) {
        fov_model *model = load(names[i]);
        float exact[TINY_TEXTS][2], limit[TINY_TEXTS][2];
        classify(model, NULL, texts, TINY_TEXTS, exact[0]);
        classify(model, &(fov_session_options){.values = "mca:alpha=0.0001"}, texts, TINY_TEXTS, limit[0]);
        assert_memory_equal(exact, limit, sizeof exact);
        fov_model_free(model);
    }
}

static void test_combinations(void **state) {
    (void)state;
    static const struct {
        fov_session_options options;
        bool allowed;
    } cases[] = {
        {{.values = "mca"}, true},        {{.attention = "window:w=64"}, true}, {{.attention = "topk:k=8"}, true},
        {{.attention = "fastmax"}, true}, {{.attention = "yoso"}, true},        {{.ffn = "topk:k=64"}, false},
    };
    for (size_t i = BF16; i < TYPES; i++) {
        fov_model *model = load(names[i]);
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            fov_session *session = NULL;
            fov_error problem = {0};
            const fov_status status = fov_session_create(model, &cases[c].options, &session, &problem);
            assert_int_equal(status, cases[c].allowed ? FOV_OK : FOV_ERR_UNSUPPORTED);
            if (!cases[c].allowed) assert_non_null(strstr(problem.message, "dtype f32")); /* how to mend it */
            float logits[2];
            const fov_text text = text_of("a warm , funny and quietly moving film .");
            if (session) assert_ok(fov_classify(session, &text, 1, logits, NULL, error));
            if (session) assert_true(isfinite(logits[0]) && isfinite(logits[1]));
            fov_session_free(session);
        }
        fov_model_free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_labels),      cmocka_unit_test(test_threads_and_batches),
        cmocka_unit_test(test_exact_limit), cmocka_unit_test(test_combinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
