/* test_narrow_model.c: narrow attention through the public calls: its certificates against scores token by token, exact where
 * nothing is left out, the same bits in any batch, with every other method, its multiply-adds, and what is refused. */
#include "support/calibrated.h"

#include "model/encoder.h"

enum { H = 4, E = WIDTH / H, STEP = 8, CELLS = 40000 };

/* ---- the fit ---- */

/* Queries and keys of the first layer [tokens][WIDTH] of the texts held out, by the reference encoder. */
static size_t project_held(double *q, double *k) {
    fov_tensors *tensors = NULL;
    fov_session *s = NULL;
    static double x[MOST_IDS * WIDTH];
    size_t tokens = 0;
    assert_ok(fov_tensors_open(TINY_FOLDER, NULL, &tensors, error));
    assert_ok(fov_session_create(model, NULL, &s, error));
    const reference r = {.tensors = tensors, .layers = 0, .heads = H, .width = WIDTH};
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t ids[MOST_IDS];
        uint8_t types[MOST_IDS];
        size_t count;
        if (!tokenize_held(s, t, ids, types, &count)) continue;
        reference_encode(&r, ids, types, count, x);
        reference_dense(&r, "bert.encoder.layer.0.attention.self.query", x, count, WIDTH, WIDTH, q + tokens * WIDTH);
        reference_dense(&r, "bert.encoder.layer.0.attention.self.key", x, count, WIDTH, WIDTH, k + tokens * WIDTH);
        tokens += count;
    }
    fov_session_free(s);
    fov_tensors_close(tensors);
    return tokens;
}

/* Mean over all pairs of held-out tokens of (q k - q' k')^2, keys about their mean: what the profile says of the first layer, but
 * for inputs rounded to 2^-12 and weights in f32. */
static void check_certificate(const bytes *file) {
    enum { MOST = 1000 };
    static double q[MOST * WIDTH], k[MOST * WIDTH];
    const size_t tokens = project_held(q, k);
    fov_tensors *made = NULL;
    assert_true(tokens > 100 && tokens <= MOST);
    assert_ok(fov_tensors_open_memory(file->data, file->size, "profile", NULL, &made, error));
    const fov_tensor *shape = fov_tensors_find(made, "layers.0.attention.query");
    const float *held = fov_tensors_find(made, "layers.0.attention.held")->data;
    const float *fitted = fov_tensors_find(made, "layers.0.attention.error")->data;
    double *a = reference_tensor(&(reference){.tensors = made}, "layers.0.attention.query");
    double *b = reference_tensor(&(reference){.tensors = made}, "layers.0.attention.key");
    const size_t rank = shape->shape[1], levels = rank / STEP + 1;
    double mean[WIDTH] = {0}, above = 0, below = 0;
    for (size_t i = 0; i < tokens * WIDTH; i++) mean[i % WIDTH] += k[i] / (double)tokens;
    for (size_t i = 0; i < tokens * WIDTH; i++) k[i] -= mean[i % WIDTH];
    for (size_t h = 0; h < H; h++) {
        double *narrow_q = calloc(2 * tokens * rank, sizeof *narrow_q), *narrow_k = narrow_q + tokens * rank, error[16] = {0};
        assert_non_null(narrow_q);
        for (size_t t = 0; t < tokens; t++)
            for (size_t r = 0; r < rank; r++)
                for (size_t c = 0; c < E; c++) {
                    narrow_q[t * rank + r] += a[(h * rank + r) * E + c] * q[t * WIDTH + h * E + c];
                    narrow_k[t * rank + r] += b[(h * rank + r) * E + c] * k[t * WIDTH + h * E + c];
                }
        for (size_t i = 0; i < tokens; i++)
            for (size_t j = 0; j < tokens; j++) {
                double off = 0;
                for (size_t c = 0; c < E; c++) off += q[i * WIDTH + h * E + c] * k[j * WIDTH + h * E + c];
                for (size_t l = 0; l < levels; l++) {
                    error[l] += off * off / E / (double)(tokens * tokens);
                    for (size_t r = l * STEP; r < (l + 1) * STEP && r < rank; r++)
                        off -= narrow_q[i * rank + r] * narrow_k[j * rank + r];
                }
            }
        for (size_t l = 0; l < levels; l++) {
            assert_true(fabs((double)held[h * levels + l] - sqrt(error[l])) <= 2e-3 * sqrt(error[0]));
            if (l) above += (double)held[h * levels + l];
            if (l) below += (double)fitted[h * levels + l];
        }
        free(narrow_q);
    }
    assert_true(above < below || above > below); /* of other tokens */
    fov_session *s = NULL;
    fov_certificate c;
    folder_write(&place, "certified", file->data, file->size);
    assert_ok(fov_session_create(
        model, &(fov_session_options){.attention = "narrow", .profile = folder_path(&place, "certified"), .threads = 1}, &s,
        error));
    for (size_t l = 0; l < levels; l++) {
        double of_held = 0, of_fit = 0;
        for (size_t h = 0; h < H; h++) {
            of_held += pow((double)held[h * levels + l], 2) / H;
            of_fit += pow((double)fitted[h * levels + l], 2) / H;
        }
        assert_true(fov_session_certificate(s, FOV_PLACE_ATTENTION, 0, l, &c));
        assert_int_equal(c.level, l * STEP);
        assert_true(fabs(c.held - sqrt(of_held)) <= 1e-6 && fabs(c.fitted - sqrt(of_fit)) <= 1e-6);
    }
    assert_false(fov_session_certificate(s, FOV_PLACE_ATTENTION, 0, levels, &c));
    fov_profile_info info;
    assert_true(fov_session_profile(s, &info));
    assert_int_equal(info.texts, TEXTS);
    fov_session_free(s);
    free(a);
    free(b);
    fov_tensors_close(made);
}

static void test_certificate(void **state) {
    (void)state;
    bytes small = calibrate_with(model, &(fov_calibration_options){.compact = 1}, TEXTS, 0);
    check_certificate(&profile);
    check_certificate(&small);
    free(small.data);
}

/* Mean over held-out tokens of ||W_O (c - c')||^2, c' what narrow values make of a head's context c, against the profile's. */
static void check_values(const bytes *file) {
    static double x[MOST_IDS * WIDTH], q[MOST_IDS * WIDTH], k[MOST_IDS * WIDTH], v[MOST_IDS * WIDTH], y[MOST_IDS * WIDTH];
    fov_tensors *tensors = NULL, *made = NULL;
    fov_session *s = NULL;
    assert_ok(fov_tensors_open(TINY_FOLDER, NULL, &tensors, error));
    assert_ok(fov_tensors_open_memory(file->data, file->size, "profile", NULL, &made, error));
    assert_ok(fov_session_create(model, NULL, &s, error));
    const reference r = {.tensors = tensors, .layers = 0, .heads = H, .width = WIDTH}, in = {.tensors = made};
    const size_t rank = fov_tensors_find(made, "layers.0.attention.value")->shape[1], levels = rank / STEP + 1;
    double *to_value = reference_tensor(&in, "layers.0.attention.value"),
           *to_output = reference_tensor(&in, "layers.0.attention.output");
    double *mean = reference_tensor(&in, "layers.0.attention.value_mean"),
           *held = reference_tensor(&in, "layers.0.attention.value_held");
    double *w = reference_tensor(&r, "bert.encoder.layer.0.attention.output.dense.weight"); /* [outputs][inputs] */
    double left[H][16] = {{0}}, tokens = 0;
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t ids[MOST_IDS];
        uint8_t types[MOST_IDS];
        size_t count;
        if (!tokenize_held(s, t, ids, types, &count)) continue;
        tokens += (double)count;
        reference_encode(&r, ids, types, count, x);
        reference_dense(&r, "bert.encoder.layer.0.attention.self.query", x, count, WIDTH, WIDTH, q);
        reference_dense(&r, "bert.encoder.layer.0.attention.self.key", x, count, WIDTH, WIDTH, k);
        reference_dense(&r, "bert.encoder.layer.0.attention.self.value", x, count, WIDTH, WIDTH, v);
        reference_attend(&r, q, k, v, count, y);
        for (size_t i = 0; i < count; i++)
            for (size_t h = 0; h < H; h++) {
                double off[E];
                for (size_t c = 0; c < E; c++) off[c] = y[i * WIDTH + h * E + c] - mean[h * E + c];
                double narrow[E] = {0};
                for (size_t a = 0; a < rank; a++)
                    for (size_t c = 0; c < E; c++) narrow[a] += to_value[(h * rank + a) * E + c] * off[c];
                for (size_t l = 0; l < levels; l++) {
                    for (size_t o = 0; o < WIDTH; o++) {
                        double sum = 0;
                        for (size_t c = 0; c < E; c++) sum += w[o * WIDTH + h * E + c] * off[c];
                        left[h][l] += sum * sum;
                    }
                    for (size_t a = l * STEP; a < (l + 1) * STEP && a < rank; a++)
                        for (size_t c = 0; c < E; c++) off[c] -= to_output[(h * rank + a) * E + c] * narrow[a];
                }
            }
    }
    assert_true(tokens > 100);
    for (size_t h = 0; h < H; h++)
        for (size_t l = 0; l < levels; l++)
            assert_true(fabs(held[h * levels + l] * sqrt((double)E) - sqrt(left[h][l] / tokens)) <=
                        2e-3 * sqrt(left[h][0] / tokens));
    assert_true(held[levels - 1] < .3 * held[0]);
    double *const all[] = {to_value, to_output, mean, held, w};
    for (size_t i = 0; i < 5; i++) free(all[i]);
    fov_session_free(s);
    fov_tensors_close(made);
    fov_tensors_close(tensors);
}

static void test_values(void **state) {
    (void)state;
    bytes small = calibrate_with(model, &(fov_calibration_options){.compact = 1}, TEXTS, 0);
    check_values(&profile);
    check_values(&small);
    free(small.data);
}

/* ---- running ---- */

typedef struct outcome {
    float logits[TEXTS * 2];
    fov_stats stats;
} outcome;

static void classify(const fov_model *of, const fov_session_options *given, outcome *to) {
    fov_session_options options = *given;
    fov_session *s = NULL;
    options.profile = folder_path(&place, "profile");
    if (!options.threads) options.threads = 1;
    assert_ok(fov_session_create(of, &options, &s, error));
    assert_ok(fov_classify(s, texts, TEXTS, to->logits, NULL, error));
    fov_session_get_stats(s, &to->stats);
    fov_session_free(s);
}

/* Root of the mean square of what two have apart, over that of the first. */
static double apart(const outcome *a, const outcome *b) {
    double off = 0, all = 0;
    for (size_t i = 0; i < TEXTS * 2; i++) {
        off += pow((double)a->logits[i] - (double)b->logits[i], 2);
        all += pow((double)a->logits[i], 2);
    }
    return sqrt(off / all);
}

/* The rank of a layer at tau (kappa, which counts the error at rank 0), as the profile's errors `held` (value_held) say it. */
static size_t rank_of(size_t layer, const char *errors, double most) {
    fov_tensors *made = NULL;
    char name[80];
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "profile", NULL, &made, error));
    snprintf(name, sizeof name, "layers.%zu.attention.%s", layer, errors);
    const fov_tensor *t = fov_tensors_find(made, name);
    size_t rank = E;
    double whole = 0;
    for (size_t h = 0; h < H; h++) whole += pow((double)((const float *)t->data)[h * t->shape[1]], 2) / H;
    if (strcmp(errors, "held")) most *= sqrt(whole);
    for (size_t l = t->shape[1]; l-- > 1;) {
        double sum = 0;
        for (size_t h = 0; h < H; h++) sum += pow((double)((const float *)t->data)[h * t->shape[1] + l], 2) / H;
        if (sqrt(sum) <= most) rank = l * STEP;
    }
    fov_tensors_close(made);
    return rank;
}

/* Closer to exact the smaller tau is, and cheaper by what the ranks save: of q and k 2 n C H (E - r) a layer, of the scores n^2 H
 * (E - r) a text and layer; of v and W_O, and of A V, the same with kappa's. */
static void test_tau(void **state) {
    (void)state;
    static const double taus[] = {.02, .05, .1, .4}, kappas[] = {0, .1, .2, .4};
    static outcome exact, some;
    double last = 0;
    classify(model, &(fov_session_options){.all_rows = 1}, &exact);
    classify(model, &(fov_session_options){.all_rows = 1, .attention = "narrow:tau=0"}, &some);
    assert_memory_equal(exact.logits, some.logits, sizeof exact.logits);
    assert_true(fabs(exact.stats.total_done_real - some.stats.total_done_real) < .5);
    double tokens = 0, squares = 0;
    fov_session *s = NULL;
    assert_ok(fov_session_create(model, NULL, &s, error));
    for (size_t t = 0; t < TEXTS; t++) {
        size_t count;
        assert_ok(fov_tokenize(s, &texts[t], NULL, NULL, 0, &count, NULL, error));
        tokens += (double)count;
        squares += (double)count * (double)count;
    }
    fov_session_free(s);
    for (size_t i = 0; i < sizeof taus / sizeof *taus; i++) {
        char text[80];
        double saved = 0, least = E;
        snprintf(text, sizeof text, "narrow:tau=%g,kappa=%g", taus[i], kappas[i]);
        classify(model, &(fov_session_options){.all_rows = 1, .attention = text}, &some);
        for (size_t l = 0; l < LAYERS; l++) {
            const double rank = (double)rank_of(l, "held", taus[i]);
            const double value = kappas[i] > 0 ? (double)rank_of(l, "value_held", kappas[i]) : E;
            saved += H * (E - rank + E - value) * (2 * tokens * WIDTH + squares);
            if (kappas[i] > .1) assert_true(value < E);
            least = fmin(least, rank);
        }
        assert_true(least < E);
        assert_true(fabs(exact.stats.total_done_real - some.stats.total_done_real - saved) < .5);
        assert_true(fabs(exact.stats.total_exact_real - some.stats.total_exact_real) < .5);
        const double off = apart(&exact, &some);
        assert_true(off > last && off < .5);
        last = off;
    }
}

/* Threads, batches, and the rows of the last layer that are computed, change no bit. */
static void test_bits(void **state) {
    (void)state;
    static const fov_session_options others[] = {{.attention = "narrow:tau=.1,kappa=.2", .threads = 3},
                                                 {.attention = "narrow:tau=.1,kappa=.2", .batch_tokens = 64, .max_length = 64},
                                                 {.attention = "narrow:tau=.1,kappa=.2", .all_rows = 1, .threads = 2}};
    static outcome one, other;
    classify(model, &(fov_session_options){.attention = "narrow:tau=.1,kappa=.2"}, &one);
    for (size_t i = 0; i < 3; i++) {
        classify(model, &others[i], &other);
        assert_memory_equal(one.logits, other.logits, sizeof one.logits);
    }
}

/* With value estimators and feed-forward methods, those at their exact limits the same as without, and a padded convention, which
 * computes all queries but not all rows. In bf16 and int8 what it adds to the types' own rounding is no more than in f32. */
static void test_together(void **state) {
    (void)state;
    static const fov_session_options same[] = {{.values = "regress:lambda=0"},
                                               {.ffn = "guided:lambda=0"},
                                               {.values = "mca:alpha=1e-15"},
                                               {.values = "mca:alpha=1e-15,length=padded:128"}};
    static const fov_session_options cheaper[] = {{.values = "regress:lambda=.02"},
                                                  {.ffn = "guided:lambda=.01"},
                                                  {.values = "lowrank:lambda=.02", .ffn = "guided:lambda=.01"}};
    static outcome exact, narrow, other, without;
    classify(model, &(fov_session_options){0}, &exact);
    classify(model, &(fov_session_options){.attention = "narrow:tau=.1"}, &narrow);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        fov_session_options options = same[i];
        options.attention = "narrow:tau=.1";
        classify(model, &options, &other);
        assert_memory_equal(narrow.logits, other.logits, sizeof narrow.logits);
        classify(model, &same[i], &without);
        assert_true(without.stats.total_done_real > 1.05 * other.stats.total_done_real);
    }
    for (size_t i = 0; i < sizeof cheaper / sizeof *cheaper; i++) {
        fov_session_options options = cheaper[i];
        classify(model, &options, &without);
        options.attention = "narrow:tau=.1";
        classify(model, &options, &other);
        assert_true(apart(&exact, &other) < .5);
        assert_true(other.stats.total_done_real < .95 * without.stats.total_done_real);
    }
    classify(model, &(fov_session_options){.attention = "narrow:tau=.1,kappa=.2"}, &narrow);
    classify(model, &(fov_session_options){.attention = "narrow:tau=.1,kappa=.2", .ffn = "guided:lambda=0"}, &other);
    assert_memory_equal(narrow.logits, other.logits, sizeof narrow.logits);
    const double loss = apart(&exact, &narrow);
    static const char *const dtypes[] = {"bf16", "int8"};
    for (size_t i = 0; i < 2; i++) {
        const fov_model_options options = {.dtype = dtypes[i], .threads = 1};
        fov_model *rounded = NULL;
        assert_ok(fov_model_load(place.path, &options, &rounded, error));
        classify(rounded, &(fov_session_options){0}, &without);
        classify(rounded, &(fov_session_options){.attention = "narrow:tau=.1,kappa=.2"}, &other);
        assert_true(apart(&without, &other) < 2 * loss + apart(&exact, &without));
        assert_true(other.stats.total_done_real < .95 * without.stats.total_done_real);
        fov_model_free(rounded);
    }
}

/* ---- what is refused ---- */

static void refused(const fov_model *of, const fov_session_options *options, fov_status status, const char *word) {
    fov_session *s = NULL;
    fov_error why;
    assert_int_equal(fov_session_create(of, options, &s, &why), status);
    if (!strstr(why.message, word)) fail_msg("'%s' does not say '%s'", why.message, word);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const golden[] = {"longformer-single", "yoso-single"};
    static const char *const kinds[] = {"'window'", "'yoso'"};
    for (size_t i = 0; i < 2; i++) {
        fov_model *other = NULL;
        char path[600];
        snprintf(path, sizeof path, "%s/tests/golden/%s", FOV_SOURCE_DIR, golden[i]);
        assert_ok(fov_model_load(path, NULL, &other, error));
        refused(other, &(fov_session_options){.attention = "narrow"}, FOV_ERR_UNSUPPORTED, kinds[i]);
        fov_model_free(other);
    }
    /* a profile of before: its tensors of other names are passed over */
    bytes old = {.data = malloc(profile.size), .size = profile.size};
    assert_non_null(old.data);
    memcpy(old.data, profile.data, old.size);
    size_t renamed = 0;
    for (size_t i = 0; i + 11 < 40000; i++)
        if (!memcmp(old.data + i, ".attention.", 11)) {
            memcpy(old.data + i, ".attendance", 11);
            renamed++;
        }
    assert_int_equal(renamed, 9 * LAYERS);
    folder_write(&place, "old", old.data, old.size);
    free(old.data);
    refused(model, &(fov_session_options){.attention = "narrow", .profile = folder_path(&place, "old")}, FOV_ERR_UNSUPPORTED,
            "foveate calibrate");
    refused(model, &(fov_session_options){.attention = "narrow:tau=-1"}, FOV_ERR_ARGUMENT, "tau");
    refused(model,
            &(fov_session_options){.attention = "narrow:kappa=.3", .values = "regress", .profile = folder_path(&place, "profile")},
            FOV_ERR_UNSUPPORTED, "--values exact");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_certificate), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_tau),         cmocka_unit_test(test_bits),
                                       cmocka_unit_test(test_together),    cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
