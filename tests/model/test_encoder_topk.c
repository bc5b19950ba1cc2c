/* test_encoder_topk.c: top-k attention, top-k feed-forward and Monte-Carlo values through the engine, against the double reference
 * encoder that keeps as many. */
#include <math.h>

#include "core/rng.h"
#include "model/encoder.h"
#include "support/reference_encoder.h"
#include "support/tiny.h"

enum { WIDTH = 256, LAYERS = 4, HEADS = 4, HIDDEN = 1024, LABELS = 2, TOKENS = 256 };

static const struct {
    const char *attention, *values, *ffn;
    size_t top, top_hidden;
} settings[] = {
    {"topk:k=5", "exact", "exact", 5, 0},
    {"topk:k=1000", "exact", "exact", 0, 0},
    {"topk:k=5", "mca:alpha=0.000001", "exact", 5, 0}, /* every token exact: weights, importance and apply are what is tested */
    {"dense", "exact", "topk:k=100", 0, 100},
    {"topk:k=9", "exact", "topk:k=300", 9, 300},
};

static fov_setting setting_of(const fov_method_info *const *(*infos_of)(size_t *), const char *text) {
    size_t count;
    const fov_method_info *const *infos = infos_of(&count);
    fov_setting setting;
    assert_ok(fov_setting_parse(&setting, infos, count, text, error));
    return setting;
}

static double worst(const double *want, const double *plain, const float *engine, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((plain ? plain[i] : (double)engine[i]) - want[i]);
        if (!(off <= most)) most = off; /* NaN stays */
    }
    return most;
}

/* The engine's largest error may be at most twice that of a plain f32 loop on the same text. */
static void check_text(const reference *base, const fov_batch *batch, const float *hidden, size_t setting) {
    size_t n = batch->offsets[1];
    double *want = malloc(2 * n * WIDTH * sizeof *want), *plain = want + n * WIDTH;
    assert_non_null(want);
    reference r = *base;
    reference_encode(&r, batch->ids, batch->types, n, want);
    r.single = true;
    reference_encode(&r, batch->ids, batch->types, n, plain);
    double ours = worst(want, NULL, hidden, n * WIDTH), theirs = worst(want, plain, NULL, n * WIDTH);
    assert_true(theirs > 0 && theirs < 1e-3);
    if (!(ours <= 2 * theirs)) fail_msg("setting %zu: error %.3g, a plain f32 loop's is %.3g", setting, ours, theirs);
    free(want);
}

static void test_reference(void **state) {
    (void)state;
    static const size_t some[] = {0, 3};
    fov_text texts[TINY_TEXTS];
    tiny_texts(texts);
    fov_model *model = tiny_load(NULL);
    fov_session *session = NULL;
    fov_tensors *tensors = NULL;
    assert_ok(fov_session_create(model, NULL, &session, error));
    assert_ok(fov_tensors_open(TINY_FOLDER, NULL, &tensors, error));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        fov_encoder_settings s = {.threads = 2, .batch_tokens = TOKENS, .longest = TOKENS};
        s.attention = setting_of(fov_attention_infos, settings[i].attention);
        s.values = setting_of(fov_values_infos, settings[i].values);
        s.ffn = setting_of(fov_ffn_infos, settings[i].ffn);
        fov_encoder *encoder = NULL;
        assert_ok(fov_encoder_create(model, &s, &encoder, error));
        reference r = {tensors, LAYERS, HEADS, WIDTH, HIDDEN, LABELS, false, settings[i].top, settings[i].top_hidden};
        for (size_t t = 0; t < sizeof some / sizeof *some; t++) {
            int32_t ids[TOKENS];
            uint8_t types[TOKENS];
            size_t n;
            assert_ok(fov_tokenize(session, &texts[some[t]], ids, types, TOKENS, &n, NULL, error));
            assert_true(n <= TOKENS);
            size_t offsets[2] = {0, n};
            uint64_t hash = fov_hash_ids(ids, n);
            fov_batch batch = {.texts = 1, .offsets = offsets, .ids = ids, .types = types, .hashes = &hash, .rows = FOV_ROWS_ALL};
            fov_stats stats = {0};
            const float *hidden;
            assert_ok(fov_encoder_run(encoder, &batch, &hidden, &stats, NULL, NULL, error));
            check_text(&r, &batch, hidden, i);
        }
        fov_encoder_free(encoder);
    }
    fov_tensors_close(tensors);
    fov_session_free(session);
    fov_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
