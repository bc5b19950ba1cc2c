/* test_cost.c: multiply-adds of checkpoints whose own attention is not dense, against counts from the shapes alone: what the exact
 * path is, and what the last layer leaves out. The small checkpoints of tests/golden: width 24, 3 heads, 2 layers, hidden 37. */
#include <math.h>

#include "support/folder.h"
#include "support/tiny.h"

enum { C = 24, HEADS = 3, LAYERS = 2, HIDDEN = 37, LABELS = 3, WINDOW = 12 };

static const char long_text[] =
    "the film is not good . the film is slow . the ending is bad . a film is a film . the film is not good . the "
    "film is slow . the ending is bad . a film is a film . the film is not good . the film is slow . a very slow ending ! a bad "
    "ending ? the film is not very good , not bad , a film is a film";

typedef struct run {
    fov_stats stats;
    float logits[LABELS];
    double n;
    char baseline[100];
} run;

static run run_with(const char *name, const fov_session_options *options) {
    fov_model *model = NULL;
    fov_session *session = NULL;
    fov_text_info info;
    run r;
    char path[1024];
    snprintf(path, sizeof path, "%s%s", *name == '/' ? "" : FOV_SOURCE_DIR "/tests/golden/", name);
    assert_ok(fov_model_load(path, NULL, &model, error));
    assert_ok(fov_session_create(model, options, &session, error));
    fov_text text = text_of(long_text);
    if (fov_model_get_info(model)->max_length < 100) text.a_size = strlen("the film is not good");
    assert_ok(fov_classify(session, &text, 1, r.logits, &info, error));
    fov_session_get_stats(session, &r.stats);
    r.n = (double)info.tokens;
    snprintf(r.baseline, sizeof r.baseline, "%s", fov_session_baseline(session));
    fov_session_free(session);
    fov_model_free(model);
    return r;
}

static void check_count(const char *what, double got, double want) {
    if (!(fabs(got - want) < .5)) fail_msg("%s: %.0f, not %.0f", what, got, want);
}

/* Everything of a layer but the attention. */
static double rest_of_layer(double n) {
    return 4 * n * C * C + 2 * n * C * HIDDEN;
}

static const double head = C * C + C * LABELS;
static const double last_row = C * C + 2 * C * HIDDEN; /* output projection and feed-forward of one row */

/* Keys of blocks of 64 rows: half a window on either side, the lower end down to a multiple of 32. */
static double band(double n) {
    double cells = 0;
    for (double i = 0; i < n; i += 64) {
        double lo = i > 0 ? i - 32 : 0, hi = fmin(n, i + 64 + WINDOW / 2), rows = fmin(64, n - i);
        cells += rows * (hi - lo);
    }
    return 2 * cells * C;
}

/* q_g, Wk^T q_g and Wv z of [CLS]; a token's score and share in z, per head. */
static double global(double n) {
    return 3 * C * C + 2 * n * HEADS * C;
}

/* The exact path has the checkpoint's own band, whatever attention runs. Of the last layer only [CLS] is read, whose projections
 * are its own: no query, key or value is projected there, unless a padded convention counts them. */
static void test_longformer(void **state) {
    (void)state;
    static const char *const attentions[] = {NULL, "dense"};
    for (size_t i = 0; i < 2; i++) {
        const run all = run_with("longformer-single", &(fov_session_options){.attention = attentions[i], .all_rows = 1});
        assert_true(all.n > 70 && all.n <= 128);
        assert_string_equal(all.baseline, "window:w=12");
        check_count("exact", all.stats.total_exact_real, LAYERS * (rest_of_layer(all.n) + band(all.n) + global(all.n)) + head);
        if (!i) check_count("done, all rows", all.stats.total_done_real, all.stats.total_exact_real);
        if (i)
            check_count("done, dense", all.stats.total_done_real, LAYERS * (rest_of_layer(all.n) + 2 * all.n * all.n * C) + head);
    }
    static const char *const values[] = {"exact", "mca:alpha=1e-9", "mca:alpha=1e-9,length=padded:128"};
    for (size_t i = 0; i < 3; i++) {
        const run r = run_with("longformer-single", &(fov_session_options){.values = values[i]});
        const double first = (LAYERS - 1) * (rest_of_layer(r.n) + band(r.n) + global(r.n)) + head;
        check_count("exact values", r.stats.values_exact_real, LAYERS * r.n * C * C);
        if (i < 2) {
            check_count("values", r.stats.values_done_real, (LAYERS - 1) * r.n * C * C);
            check_count("done", r.stats.total_done_real, first + global(r.n) + last_row);
        } else {
            check_count("values, padded", r.stats.values_done_real, LAYERS * r.n * C * C);
            assert_true(r.stats.total_done_real > first + 3 * r.n * C * C);
        }
    }
}

/* yoso-single as its own config.json would have it with the sampled form. */
static void sampled_yoso(const folder *f) {
    static const char *const same[] = {"model.safetensors", "tokenizer_config.json", "vocab.txt"};
    char config[4096] = "", from[512];
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/tests/golden/yoso-single/%s", FOV_SOURCE_DIR, same[i]);
        assert_int_equal(symlink(from, folder_path(f, same[i])), 0);
    }
    FILE *file = fopen(FOV_SOURCE_DIR "/tests/golden/yoso-single/config.json", "rb");
    assert_non_null(file);
    assert_true(fread(config, 1, sizeof config - 1, file) > 0);
    fclose(file);
    char *form = strstr(config, "\"use_expectation\": true");
    assert_non_null(form);
    memcpy(form, "\"use_expectation\":false", strlen("\"use_expectation\": true"));
    folder_write_text(f, "config.json", config);
}

/* Sampled or not, the exact path is the expectation: two products of n^2 C. */
static void test_yoso(void **state) {
    (void)state;
    static const char *const attentions[] = {NULL, "yoso:tau=5,m=8", "dense"};
    for (size_t i = 0; i < 3; i++) {
        const run r = run_with("yoso-single", &(fov_session_options){.attention = attentions[i], .all_rows = 1});
        assert_string_equal(r.baseline, "yoso:tau=5,m=0,hash=gaussian,backward=exact");
        check_count("exact", r.stats.total_exact_real, LAYERS * (rest_of_layer(r.n) + 2 * r.n * r.n * C) + head);
        if (i == 1)
            assert_true(r.stats.total_done_real > r.stats.total_exact_real); /* 8 hashes on a dozen tokens */
        else
            check_count("done", r.stats.total_done_real, r.stats.total_exact_real);
    }
    folder f;
    folder_make(&f);
    sampled_yoso(&f);
    const run sampled = run_with(f.path, &(fov_session_options){.all_rows = 1});
    assert_string_equal(sampled.baseline, "yoso:tau=5,m=0,hash=hadamard,backward=exact");
    check_count("exact", sampled.stats.total_exact_real,
                LAYERS * (rest_of_layer(sampled.n) + 2 * sampled.n * sampled.n * C) + head);
    assert_true(sampled.stats.total_done_real > sampled.stats.total_exact_real);
    folder_remove(&f);
    const run other = run_with("bert-sharded", &(fov_session_options){.attention = "yoso:tau=5,m=8"});
    assert_string_equal(other.baseline, "dense");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_longformer), cmocka_unit_test(test_yoso)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
