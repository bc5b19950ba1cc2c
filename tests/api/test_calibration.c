/* test_calibration.c: profiles through the public calls: the same bits whatever the order, against the reference encoder, checked
 * when they are read, and used by the calibrated estimators. */
#include "support/calibrated.h"

#include "core/file.h"
#include "model/model.h"

/* Neither threads, nor batches, nor calls, nor the order of the texts change a byte. */
static void test_same_bytes(void **state) {
    (void)state;
    static const struct {
        unsigned threads;
        size_t batch_tokens, step;
        int reversed;
    } cases[] = {{1, 600, TEXTS, 1}, {3, 0, 33, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes other = calibrate(model, cases[i].threads, cases[i].batch_tokens, cases[i].step, cases[i].reversed);
        assert_int_equal(other.size, profile.size);
        assert_memory_equal(other.data, profile.data, profile.size);
        free(other.data);
    }
}

/* Mean and covariance of the first layer's inputs, the embeddings, over the texts not held out, by the reference encoder. Inputs
 * are rounded to 2^-12 and f32 has its own 1e-6: within 1e-3. */
static void test_statistics(void **state) {
    (void)state;
    fov_tensors *tensors = NULL, *made = NULL;
    assert_ok(fov_tensors_open(TINY_FOLDER, NULL, &tensors, error));
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "profile", NULL, &made, error));
    const reference r = {.tensors = tensors, .layers = 0, .heads = 4, .width = WIDTH};
    enum { STEP = 5 }; /* every fifth row of the covariance: each of its panels' places */
    static double mean[WIDTH], product[WIDTH * WIDTH], x[64 * WIDTH];
    fov_session *s = NULL;
    double tokens = 0;
    uint64_t all = 0, held[2] = {0};
    assert_ok(fov_session_create(model, NULL, &s, error));
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t ids[MOST_IDS];
        uint8_t types[MOST_IDS];
        size_t count;
        const bool out = tokenize_held(s, t, ids, types, &count);
        all += count;
        if (out) {
            held[0]++;
            held[1] += count;
            continue;
        }
        reference_encode(&r, ids, types, count, x); /* no layers: the embeddings */
        for (size_t j = 0; j < count; j++)
            for (size_t i = 0; i < WIDTH; i++) {
                mean[i] += x[j * WIDTH + i];
                for (size_t k = 0; i % STEP == 0 && k < WIDTH; k++) product[i * WIDTH + k] += x[j * WIDTH + i] * x[j * WIDTH + k];
            }
        tokens += (double)count;
    }
    fov_session_free(s);
    const float *m = fov_tensors_find(made, "layers.0.value.mean")->data;
    const float *c = fov_tensors_find(made, "layers.0.value.covariance")->data;
    for (size_t i = 0; i < WIDTH; i++) {
        assert_true(fabs((double)m[i] - mean[i] / tokens) <= 1e-3);
        for (size_t k = 0; i % STEP == 0 && k < WIDTH; k++) {
            const double expected = product[i * WIDTH + k] / tokens - mean[i] * mean[k] / tokens / tokens;
            assert_true(fabs((double)c[i * WIDTH + k] - expected) <= 1e-3 * (1 + fabs(expected)));
        }
    }
    const uint64_t *provenance = fov_tensors_find(made, "provenance")->data;
    assert_true(provenance[3] == TEXTS && provenance[4] == all);
    assert_true(held[0] > 5 && held[0] < TEXTS / 2);
    assert_memory_equal(fov_tensors_find(made, "held")->data, held, sizeof held);
    fov_tensors_close(made);
    fov_tensors_close(tensors);
}

static void classify_by(const fov_model *by, const char *values, const char *ffn, const char *path, float *logits,
                        fov_stats *stats) {
    const fov_session_options options = {.values = values, .ffn = ffn, .profile = path, .threads = 1, .seed = 3};
    fov_session *s = NULL;
    assert_ok(fov_session_create(by, &options, &s, error));
    assert_ok(fov_classify(s, texts, TEXTS, logits, NULL, error));
    fov_session_get_stats(s, stats);
    fov_session_free(s);
}

static void classify_with(const char *values, const char *ffn, const char *path, float *logits, fov_stats *stats) {
    classify_by(model, values, ffn, path, logits, stats);
}

static void classify(const char *values, const char *path, float *logits, fov_stats *stats) {
    classify_with(values, NULL, path, logits, stats);
}

/* The estimators run with it: exact at their limits, near it and cheaper elsewhere. */
static void test_estimators(void **state) {
    (void)state;
    static const struct {
        const char *values;
        bool exact;
    } cases[] = {{"regress:lambda=0", true},    {"lowrank:lambda=0", true}, {"lowrank:lambda=.02", false},
                 {"regress:lambda=.02", false}, {"poisson:kappa=3", false}, {"mca:alpha=.1,p=calibrated", false}};
    static float exact[TEXTS * 2], logits[TEXTS * 2];
    const char *path = folder_path(&place, "profile");
    fov_stats stats;
    classify("exact", NULL, exact, &stats);
    double spread = 0;
    for (size_t i = 0; i < TEXTS * 2; i++) spread += pow((double)exact[i], 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        classify(cases[i].values, path, logits, &stats);
        if (cases[i].exact) {
            assert_memory_equal(exact, logits, sizeof exact);
            continue;
        }
        double off = 0;
        for (size_t j = 0; j < TEXTS * 2; j++) off += pow((double)exact[j] - (double)logits[j], 2);
        assert_true(off > 0 && off < .25 * spread); /* half of the logits' size: these settings are mild */
        assert_true(stats.values_done_real < .9 * stats.values_exact_real);
    }
}

/* The same of the feed-forward methods, alone and with a value estimator. */
static void test_feedforward(void **state) {
    (void)state;
    static const struct {
        const char *values, *ffn, *like; /* the same bits as `like` */
    } cases[] = {{"exact", "guided:lambda=0", "exact"},
                 {"exact", "narrow:m=1024", "exact"},
                 {"exact", "guided:lambda=.01", NULL},
                 {"exact", "narrow:m=320", NULL},
                 {"regress:lambda=.02", "guided:lambda=.01", NULL},
                 {"regress", "guided:lambda=0", "exact"}};
    static float exact[TEXTS * 2], logits[TEXTS * 2];
    const char *path = folder_path(&place, "profile"), *before = "";
    fov_stats stats, whole;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *values = cases[i].like ? cases[i].values : "exact";
        if (strcmp(values, before)) classify_with(before = values, "exact", path, exact, &whole);
        classify_with(cases[i].values, cases[i].ffn, path, logits, &stats);
        if (cases[i].like) {
            assert_memory_equal(exact, logits, sizeof exact);
            assert_true(fabs(stats.total_done_real - whole.total_done_real) < 1);
            continue;
        }
        double spread = 0, off = 0;
        for (size_t j = 0; j < TEXTS * 2; j++) {
            spread += pow((double)exact[j], 2);
            off += pow((double)exact[j] - (double)logits[j], 2);
        }
        assert_true(off > 0 && off < .25 * spread); /* half of the logits' size: these settings are mild */
        assert_true(stats.total_done_real < .9 * whole.total_done_real);
    }
    const fov_session_options wrong[] = {{.ffn = "narrow:m=77", .profile = path},
                                         {.ffn = "guided", .attention = "yoso", .profile = path}};
    static const fov_status statuses[] = {FOV_ERR_UNSUPPORTED, FOV_ERR_UNSUPPORTED};
    static const char *const words[] = {"m=77", "'guided' needs attention weights"};
    for (size_t i = 0; i < 2; i++) {
        fov_session *s = NULL;
        fov_error why;
        assert_int_equal(fov_session_create(model, &wrong[i], &s, &why), statuses[i]);
        assert_non_null(strstr(why.message, words[i]));
    }
}

static fov_status open_profile(const char *path, fov_error *error) {
    const fov_session_options options = {.values = "regress", .profile = path, .threads = 1};
    fov_session *s = NULL;
    const fov_status status = fov_session_create(model, &options, &s, error);
    fov_session_free(s);
    return status;
}

/* Where in the file a tensor's bytes are. */
static size_t place_of(const char *name) {
    fov_tensors *made = NULL;
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "profile", NULL, &made, error));
    const size_t at = (size_t)((const unsigned char *)fov_tensors_find(made, name)->data - profile.data);
    fov_tensors_close(made);
    return at;
}

static void test_refused_profiles(void **state) {
    (void)state;
    uint32_t second; /* feature of a head */
    memcpy(&second, profile.data + place_of("layers.1.value.regress.order") + sizeof second, sizeof second);
    const struct {
        const char *tensor;
        uint32_t value; /* put at its start */
        fov_status status;
        const char *word;
    } cases[] = {{"provenance", 2, FOV_ERR_UNSUPPORTED, "format 2"},
                 {"levels", 16, FOV_ERR_FORMAT, "ascend"},
                 {"layers.0.value.regress.order", WIDTH, FOV_ERR_FORMAT, "feature 256"},
                 {"layers.0.value.mean", 0x7fc00000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.value.regress.weight", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.value.lowrank.basis", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.value.regress.order", second, FOV_ERR_FORMAT, "twice"},
                 {"ffn.levels", 1000, FOV_ERR_FORMAT, "ascend"},
                 {"layers.1.ffn.order", 1024, FOV_ERR_FORMAT, "1024 is not below"},
                 {"layers.0.ffn.weight", 0x7fc00000, FOV_ERR_FORMAT, "finite"},
                 {"layers.0.ffn.energy", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.0.value.share", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.1.value.regress.error", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.1.value.regress.held", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.0.value.lowrank.error", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.0.value.lowrank.held", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.1.ffn.error", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.1.ffn.energy", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.0.attention.query", 0x7fc00000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.attention.key", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.0.attention.key_mean", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.attention.error", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.0.attention.value", 0x7fc00000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.attention.output", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.attention.value_mean", 0x7f800000, FOV_ERR_FORMAT, "finite"},
                 {"layers.1.attention.value_held", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"layers.1.attention.held", 0xbf800000, FOV_ERR_FORMAT, "negative"},
                 {"held", TEXTS + 1, FOV_ERR_FORMAT, "held out"}};
    fov_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t at = place_of(cases[i].tensor);
        unsigned char before[4];
        memcpy(before, profile.data + at, 4);
        memcpy(profile.data + at, &cases[i].value, 4);
        folder_write(&place, "bad", profile.data, profile.size);
        memcpy(profile.data + at, before, 4);
        assert_int_equal(open_profile(folder_path(&place, "bad"), &error), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].word));
    }
    folder_write(&place, "bad", profile.data, profile.size - 1);
    assert_int_equal(open_profile(folder_path(&place, "bad"), &error), FOV_ERR_FORMAT);
    assert_int_equal(open_profile(TINY_FOLDER "/model.safetensors", &error), FOV_ERR_FORMAT);
    assert_non_null(strstr(error.message, "provenance"));
    assert_int_equal(open_profile(folder_path(&place, "absent"), &error), FOV_ERR_IO);
    const fov_session_options yoso = {.values = "regress", .attention = "yoso", .profile = folder_path(&place, "profile")};
    fov_session *s = NULL;
    assert_int_equal(fov_session_create(model, &yoso, &s, &error), FOV_ERR_UNSUPPORTED);
}

/* Cut off before a tensor is whole: those of one layer, and those of none. */
static void test_cut_off(void **state) {
    (void)state;
    fov_tensors *made = NULL;
    fov_error why;
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "profile", NULL, &made, error));
    for (size_t i = 0; i < fov_tensors_count(made); i++) {
        const fov_tensor *t = fov_tensors_at(made, i);
        if (!strncmp(t->name, "layers.", 7) && t->name[7] != '1') continue;
        const size_t begin = (size_t)((const unsigned char *)t->data - profile.data);
        folder_write(&place, "bad", profile.data, begin + t->bytes - 1);
        assert_int_equal(open_profile(folder_path(&place, "bad"), &why), FOV_ERR_FORMAT);
    }
    fov_tensors_close(made);
}

static uint64_t hash_of(const char *path) {
    const fov_session_options options = {.values = "regress", .ffn = "guided", .profile = path, .threads = 1};
    fov_session *s = NULL;
    fov_profile_info info;
    assert_ok(fov_session_create(model, &options, &s, error));
    assert_true(fov_session_profile(s, &info));
    fov_session_free(s);
    return info.hash;
}

/* Profiles that differ in the value of levels alone, their number, sum and top being the same, have different hashes. */
static void test_hash(void **state) {
    (void)state;
    static const char *const lists[] = {"levels", "ffn.levels"};
    uint64_t hashes[3] = {hash_of(folder_path(&place, "profile"))};
    assert_true(hashes[0] == hash_of(folder_path(&place, "profile")));
    for (size_t i = 0; i < 2; i++) {
        const size_t at = place_of(lists[i]);
        uint32_t before[4], after[4];
        memcpy(before, profile.data + at, sizeof before);
        memcpy(after, before, sizeof after);
        after[1] += 2;
        after[2] -= 2;
        assert_true(after[1] < after[2] && after[2] < after[3]);
        memcpy(profile.data + at, after, sizeof after);
        folder_write(&place, "other", profile.data, profile.size);
        memcpy(profile.data + at, before, sizeof before);
        hashes[i + 1] = hash_of(folder_path(&place, "other"));
    }
    assert_true(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
}

/* One bit of one weight makes another model. */
static void test_other_weights(void **state) {
    (void)state;
    folder other;
    folder_make(&other);
    copy_model(&other, 2);
    fov_model *second = NULL;
    assert_ok(fov_model_load(other.path, NULL, &second, error));
    const fov_session_options options = {.values = "poisson", .profile = folder_path(&place, "profile")};
    fov_session *s = NULL;
    fov_error error;
    assert_int_equal(fov_session_create(second, &options, &s, &error), FOV_ERR_MISMATCH);
    assert_non_null(strstr(error.message, "other weights"));
    const fov_session_options none[] = {{.values = "regress"}, {.ffn = "guided"}};
    for (size_t i = 0; i < 2; i++) { /* its folder holds no profile */
        assert_int_equal(fov_session_create(second, &none[i], &s, &error), FOV_ERR_IO);
        assert_non_null(strstr(error.message, "foveate calibrate"));
    }
    fov_model_free(second);
    folder_remove(&other);
}

/* Elements of a tensor as double, whichever its type. */
static double element(const fov_tensor *t, size_t i) {
    float x;
    fov_tensor_read(fov_kernels_get(NULL), t, i, 1, &x);
    return (double)x;
}

/* A compact profile holds the full one's fits at its own levels, to f16: half a step of 11 bits, or of 2^-24 for the smallest. */
static void test_compact(void **state) {
    (void)state;
    const fov_calibration_options options = {.threads = 2, .compact = 1};
    bytes small = calibrate_with(model, &options, TEXTS, 0);
    assert_true(small.size < profile.size / 6);
    fov_tensors *full = NULL, *made = NULL;
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "profile", NULL, &full, error));
    assert_ok(fov_tensors_open_memory(small.data, small.size, "compact", NULL, &made, error));
    const fov_tensor *all = fov_tensors_find(full, "levels"), *few = fov_tensors_find(made, "levels");
    const fov_tensor *before = fov_tensors_find(full, "layers.1.value.regress.weight");
    const fov_tensor *after = fov_tensors_find(made, "layers.1.value.regress.weight");
    assert_int_equal(after->dtype, FOV_F16);
    assert_int_equal(fov_tensors_find(made, "layers.1.ffn.weight")->dtype, FOV_F16);
    assert_int_equal(fov_tensors_find(made, "layers.1.value.lowrank.basis")->dtype, FOV_F16);
    const size_t e = before->shape[2];
    size_t from = 0, to = 0, same = 0;
    for (size_t l = 0, k = 0; l < all->shape[0] && k < few->shape[0]; l++) { /* head 0 */
        const size_t level = ((const uint32_t *)all->data)[l];
        if (level == ((const uint32_t *)few->data)[k]) {
            for (size_t i = 0; i < level * e; i++) {
                const double x = element(before, from + i), y = element(after, to + i);
                assert_true(fabs(x - y) <= fmax(fabs(x) * 0x1p-11, 0x1p-25));
            }
            to += level * e;
            same++;
            k++;
        }
        from += level * e;
    }
    assert_int_equal(same, few->shape[0]);
    assert_true(same >= 3);
    const fov_tensor *covariance = fov_tensors_find(full, "layers.1.value.covariance");
    const fov_tensor *variance = fov_tensors_find(made, "layers.1.value.variance");
    assert_int_equal(variance->count, WIDTH);
    for (size_t i = 0; i < WIDTH; i++) assert_true(element(variance, i) == element(covariance, i * WIDTH + i));
    fov_tensors_close(made);
    fov_tensors_close(full);

    folder_write(&place, "compact", small.data, small.size);
    static const char *const methods[][2] = {
        {"regress", "exact"}, {"lowrank", "exact"}, {"poisson", "guided"}, {"mca:p=calibrated", "narrow:m=160"}};
    static float logits[TEXTS * 2], exact[TEXTS * 2];
    fov_stats stats;
    classify("exact", NULL, exact, &stats);
    double spread = 0;
    for (size_t i = 0; i < TEXTS * 2; i++) spread += pow((double)exact[i], 2);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        double off = 0;
        classify_with(methods[i][0], methods[i][1], folder_path(&place, "compact"), logits, &stats);
        for (size_t j = 0; j < TEXTS * 2; j++) off += pow((double)exact[j] - (double)logits[j], 2);
        assert_true(off > 0 && off < .25 * spread); /* half of the logits' size */
    }
    free(small.data);
}

/* The profile that models/tiny-sentiment comes with: small, this model's, and found beside it or given in memory. */
static void test_shipped(void **state) {
    (void)state;
    static const char *const names[] = {"config.json", "vocab.txt", "model.safetensors", FOV_PROFILE_NAME, "tokenizer_config.json"};
    char *data[5];
    size_t size[5];
    for (size_t i = 0; i < 5; i++)
        assert_ok(fov_file_load(folder_path(&(folder){TINY_FOLDER}, names[i]), SIZE_MAX / 2, fov_allocator_or_default(NULL),
                                &data[i], &size[i], error));
    assert_true(size[3] < 1300000);
    static float beside[TEXTS * 2], inside[TEXTS * 2];
    fov_stats stats;
    static float exact[TEXTS * 2], limit[TEXTS * 2];
    fov_model *tiny = tiny_load(NULL);
    classify_by(tiny, "exact", NULL, NULL, exact, &stats);
    classify_by(tiny, "poisson:kappa=1e6", NULL, NULL, limit, &stats);
    assert_memory_equal(exact, limit, sizeof exact);
    classify_by(tiny, "regress", "guided", NULL, beside, &stats);
    fov_model_free(tiny);
    assert_true(stats.values_done_real < .25 * stats.values_exact_real && stats.total_done_real < .6 * stats.total_exact_real);
    for (size_t i = 0; i < 3; i++) {
        const fov_model_files files = {.config = data[0],
                                       .config_size = size[0],
                                       .vocab = data[1],
                                       .vocab_size = size[1],
                                       .tokenizer_config = data[4],
                                       .tokenizer_config_size = size[4],
                                       .weights = data[2],
                                       .weights_size = size[2],
                                       .profile = i < 2 ? data[3] : NULL,
                                       .profile_size = size[3]};
        const fov_session_options options = {.values = "regress", .ffn = "guided", .threads = 1};
        fov_model *given = NULL;
        fov_session *s = NULL;
        fov_error why;
        if (i == 1) data[3][9] = '?'; /* in its header */
        assert_ok(fov_model_load_memory(&files, NULL, &given, error));
        const fov_status status = fov_session_create(given, &options, &s, &why);
        assert_int_equal(status, i == 0 ? FOV_OK : i == 1 ? FOV_ERR_FORMAT : FOV_ERR_UNSUPPORTED);
        if (!i) assert_ok(fov_classify(s, texts, TEXTS, inside, NULL, error));
        if (i == 2) assert_non_null(strstr(why.message, "none beside it"));
        fov_session_free(s);
        fov_model_free(given);
    }
    assert_memory_equal(beside, inside, sizeof inside);
    for (size_t i = 0; i < 5; i++) fov_release(fov_allocator_or_default(NULL), data[i]);
}

static int count_calls(void *context, size_t done, size_t total) {
    size_t *calls = context; /* [0] made, [1] at which to stop */
    calls[0]++;
    assert_int_equal(done, calls[0]);
    assert_int_equal(total, 2 * LAYERS); /* two fits for each layer */
    return calls[0] == calls[1];
}

/* The fits are told one by one, and can be stopped. */
static void test_progress(void **state) {
    (void)state;
    for (size_t stop = 0; stop <= 3; stop += 3) {
        fov_calibration *c = NULL;
        fov_error why;
        bytes out = {0};
        size_t calls[2] = {0, stop};
        assert_ok(fov_calibration_create(model, &(fov_calibration_options){.compact = 1}, &c, error));
        assert_ok(fov_calibration_add(c, texts, TEXTS, error));
        fov_calibration_set_progress(c, count_calls, calls);
        assert_int_equal(fov_calibration_write(c, append, &out, &why), stop ? FOV_ERR_ARGUMENT : FOV_OK);
        if (stop) assert_non_null(strstr(why.message, "stopped"));
        assert_int_equal(calls[0], stop ? stop : 2 * LAYERS);
        free(out.data);
        fov_calibration_free(c);
    }
}

/* Blank texts are no texts, however many special tokens they have. */
static void test_blank(void **state) {
    (void)state;
    static const fov_text blank[3] = {{.a = ""}, {.a = " \t", .a_size = 2}, {.a = " ", .a_size = 1, .b = ""}};
    fov_calibration *c = NULL;
    fov_error why;
    bytes out = {0};
    assert_ok(fov_calibration_create(model, NULL, &c, error));
    for (size_t i = 0; i < 1000; i++) assert_ok(fov_calibration_add(c, blank, 3, error)); /* 7000 tokens */
    assert_int_equal(fov_calibration_write(c, append, &out, &why), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(why.message, "all 3000 are blank"));
    fov_calibration_counts counts, more;
    fov_calibration_get_counts(c, &counts);
    assert_int_equal(counts.tokens, 7000);
    assert_ok(fov_calibration_add(c, texts, 10, error));
    fov_calibration_get_counts(c, &more);
    const size_t tokens = (size_t)(more.tokens - counts.tokens);
    char words[100];
    snprintf(words, sizeof words, "10 with %zu tokens (and 3000 blank)", tokens);
    assert_int_equal(fov_calibration_write(c, append, &out, &why), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(why.message, words));
    snprintf(words, sizeof words, "about %zu such texts", (2048 * 10 + tokens - 1) / tokens);
    assert_non_null(strstr(why.message, words));
    assert_int_equal(out.size, 0);
    fov_calibration_free(c);
}

/* Among other texts, wherever they stand, they change no byte: neither a sum nor a count. */
static void test_blank_among(void **state) {
    (void)state;
    fov_calibration *c = NULL;
    bytes out = {0};
    fov_text mixed[2 * TEXTS];
    for (size_t i = 0; i < TEXTS; i++) {
        mixed[2 * i] = i % 2 ? text_of(" ") : texts[i];
        mixed[2 * i + 1] = i % 2 ? texts[i] : (fov_text){.a = "", .b = i % 4 ? "" : NULL};
    }
    assert_ok(fov_calibration_create(model, NULL, &c, error));
    assert_ok(fov_calibration_add(c, mixed, 2 * TEXTS, error));
    assert_ok(fov_calibration_write(c, append, &out, error));
    assert_int_equal(out.size, profile.size);
    assert_memory_equal(out.data, profile.data, out.size);
    free(out.data);
    fov_calibration_free(c);
}

/* One token of each text is left; a pair has no room for one. */
static void test_short(void **state) {
    (void)state;
    static const fov_text pair = {.a = "warm", .a_size = 4, .b = "film", .b_size = 4}, blank = {.a = ""};
    fov_calibration *c = NULL;
    fov_calibration_counts counts;
    fov_error why;
    assert_ok(fov_calibration_create(model, &(fov_calibration_options){.max_length = 3}, &c, error));
    assert_ok(fov_calibration_add(c, texts, TEXTS, error));
    assert_ok(fov_calibration_add(c, &blank, 1, error));
    fov_calibration_get_counts(c, &counts);
    assert_int_equal(counts.tokens, 3 * TEXTS + 2);
    assert_int_equal(fov_calibration_add(c, &pair, 1, &why), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(why.message, "at least 4"));
    fov_calibration_free(c);
}

static void test_too_few(void **state) {
    (void)state;
    fov_calibration *c = NULL;
    fov_error why;
    bytes out = {0};
    assert_ok(fov_calibration_create(model, NULL, &c, error));
    assert_int_equal(fov_calibration_write(c, append, &out, &why), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(why.message, "needs 2048 tokens"));
    assert_ok(fov_calibration_add(c, texts, 10, error));
    fov_calibration_counts counts;
    fov_calibration_get_counts(c, &counts);
    assert_int_equal(fov_calibration_write(c, append, &out, &why), FOV_ERR_ARGUMENT);
    char words[40];
    snprintf(words, sizeof words, "about %zu such texts", (size_t)((2048 * 10 + counts.tokens - 1) / counts.tokens));
    assert_non_null(strstr(why.message, words));
    assert_int_equal(out.size, 0);
    assert_int_equal(fov_calibration_add(c, NULL, 1, &why), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_calibration_add(NULL, texts, 1, &why), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_calibration_write(c, NULL, NULL, &why), FOV_ERR_ARGUMENT);
    assert_ok(fov_calibration_add(c, texts, TEXTS, error));
    out.stop = 100000;
    assert_int_equal(fov_calibration_write(c, append, &out, &why), FOV_ERR_IO);
    fov_calibration_free(c);
    fov_calibration_free(NULL);
    assert_ok(fov_calibration_create(model, NULL, &c, error));
    for (size_t i = 0; i < TEXTS; i++) assert_ok(fov_calibration_add(c, texts, 1, error)); /* the same again and again */
    assert_int_equal(fov_calibration_write(c, append, &out, &why), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(why.message, "different texts"));
    free(out.data);
    fov_calibration_free(c);
    const fov_calibration_options many = {.threads = 1000};
    assert_int_equal(fov_calibration_create(model, &many, &c, &why), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_calibration_create(NULL, NULL, &c, &why), FOV_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),       cmocka_unit_test(test_statistics),    cmocka_unit_test(test_estimators),
        cmocka_unit_test(test_refused_profiles), cmocka_unit_test(test_other_weights), cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_feedforward),      cmocka_unit_test(test_compact),       cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_progress),         cmocka_unit_test(test_cut_off),       cmocka_unit_test(test_blank),
        cmocka_unit_test(test_blank_among),      cmocka_unit_test(test_short),         cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
