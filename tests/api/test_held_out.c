/* test_held_out.c: the errors that a profile holds of texts that took no part in its fits. */
#include "support/calibrated.h"

/* Errors of the first layer's fits on the texts held out, token by token in double, with the numbers that the profile stores.
 * The inputs are the reference encoder's, which the engine has rounded to 2^-12, and weights are up to .2 or so: within 1e-3 of the
 * energy. */
static void check_held(const bytes *file) {
    enum { H = 4, E = WIDTH / H, MOST = 16 };
    fov_tensors *tensors = NULL, *made = NULL;
    assert_ok(fov_tensors_open_memory(file->data, file->size, "profile", NULL, &made, error));
    assert_ok(fov_tensors_open(TINY_FOLDER, NULL, &tensors, error));
    const reference r = {.tensors = tensors, .layers = 0, .heads = H, .width = WIDTH};
    double *w = reference_tensor(&r, "bert.encoder.layer.0.attention.self.value.weight"); /* [outputs][inputs] */
    const float *mean = fov_tensors_find(made, "layers.0.value.mean")->data;
    double *weight = reference_tensor(&(reference){.tensors = made}, "layers.0.value.regress.weight");
    double *basis = reference_tensor(&(reference){.tensors = made}, "layers.0.value.lowrank.basis");
    const uint32_t *order = fov_tensors_find(made, "layers.0.value.regress.order")->data;
    const uint32_t *level = fov_tensors_find(made, "levels")->data;
    const size_t levels = fov_tensors_find(made, "levels")->count, top = level[levels - 1];
    static double x[64 * WIDTH];
    double regress[H][MOST] = {{0}}, lowrank[MOST] = {0};
    double tokens = 0;
    fov_session *s = NULL;
    assert_true(levels <= MOST);
    assert_ok(fov_session_create(model, NULL, &s, error));
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t ids[MOST_IDS];
        uint8_t types[MOST_IDS];
        size_t count;
        if (!tokenize_held(s, t, ids, types, &count)) continue;
        reference_encode(&r, ids, types, count, x);
        tokens += (double)count;
        for (size_t j = 0; j < count; j++) {
            double *at = x + j * WIDTH, exact[WIDTH] = {0}, left[WIDTH];
            for (size_t i = 0; i < WIDTH; i++) at[i] -= (double)mean[i];
            for (size_t o = 0; o < WIDTH; o++)
                for (size_t i = 0; i < WIDTH; i++) exact[o] += at[i] * w[o * WIDTH + i];
            const double *b = weight;
            for (size_t h = 0; h < H; h++)
                for (size_t l = 0; l < levels; b += level[l++] * E)
                    for (size_t c = 0; c < E; c++) {
                        double off = exact[h * E + c];
                        for (size_t k = 0; k < level[l]; k++) off -= at[order[h * top + k]] * b[k * E + c];
                        regress[h][l] += off * off;
                    }
            memcpy(left, exact, sizeof left);
            for (size_t l = 0, k = 0; l < levels; l++) {
                for (; k < level[l] / 2; k++) {
                    double along = 0;
                    for (size_t o = 0; o < WIDTH; o++) along += exact[o] * basis[k * WIDTH + o];
                    for (size_t o = 0; o < WIDTH; o++) left[o] -= along * basis[k * WIDTH + o];
                }
                for (size_t o = 0; o < WIDTH; o++) lowrank[l] += left[o] * left[o];
            }
        }
    }
    fov_session_free(s);
    const float *held = fov_tensors_find(made, "layers.0.value.regress.held")->data;
    const float *held_rank = fov_tensors_find(made, "layers.0.value.lowrank.held")->data;
    const float *fitted = fov_tensors_find(made, "layers.0.value.regress.error")->data;
    double over = 0, under = 0;
    for (size_t l = 0; l < levels; l++) {
        for (size_t h = 0; h < H; h++) {
            assert_true(fabs((double)held[h * levels + l] - regress[h][l] / tokens) <= 1e-3 * regress[h][0] / tokens);
            if (l) over += (double)held[h * levels + l];
            if (l) under += (double)fitted[h * levels + l];
        }
        assert_true(fabs((double)held_rank[l] - lowrank[l] / tokens) <= 1e-3 * lowrank[0] / tokens);
    }
    assert_true(over > under); /* as it must be where 2400 tokens are fitted by up to 192 features */
    free(w);
    free(weight);
    free(basis);
    fov_tensors_close(tensors);
    fov_tensors_close(made);
}

static void test_held_out(void **state) {
    (void)state;
    bytes small = calibrate_with(model, &(fov_calibration_options){.compact = 1}, TEXTS, 0);
    check_held(&profile);
    check_held(&small);
    free(small.data);
}

static bool same_tensor(const fov_tensor *a, const fov_tensor *b) {
    return a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes);
}

/* Without one of the texts held out every number is the same, but those that are measured on them. */
static void test_no_leak(void **state) {
    (void)state;
    static const char *const measured[] = {".held", "held", "provenance", "ffn.error", "ffn.energy"};
    fov_session *s = NULL;
    fov_calibration *c = NULL;
    bytes other = {0};
    size_t left_out = 0;
    assert_ok(fov_session_create(model, NULL, &s, error));
    assert_ok(fov_calibration_create(model, NULL, &c, error));
    for (size_t t = 0; t < TEXTS; t++) {
        int32_t ids[MOST_IDS];
        uint8_t types[MOST_IDS];
        size_t count;
        if (tokenize_held(s, t, ids, types, &count) && !left_out++) continue;
        assert_ok(fov_calibration_add(c, &texts[t], 1, error));
    }
    assert_ok(fov_calibration_write(c, append, &other, error));
    fov_calibration_free(c);
    fov_session_free(s);
    assert_true(left_out > 1);
    fov_tensors *before = NULL, *after = NULL;
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "before", NULL, &before, error));
    assert_ok(fov_tensors_open_memory(other.data, other.size, "after", NULL, &after, error));
    assert_int_equal(fov_tensors_count(before), fov_tensors_count(after));
    for (size_t i = 0; i < fov_tensors_count(before); i++) {
        const fov_tensor *a = fov_tensors_at(before, i), *b = fov_tensors_at(after, i);
        bool changes = false;
        for (size_t k = 0; k < sizeof measured / sizeof *measured; k++) {
            const size_t size = strlen(measured[k]), length = strlen(a->name);
            changes = changes || (length >= size && !strcmp(a->name + length - size, measured[k]));
        }
        assert_string_equal(a->name, b->name);
        assert_int_equal(same_tensor(a, b), !changes);
    }
    fov_tensors_close(before);
    fov_tensors_close(after);
    free(other.data);
}

/* What a session tells of it is what the file holds. */
static void test_certificates(void **state) {
    (void)state;
    fov_tensors *made = NULL;
    assert_ok(fov_tensors_open_memory(profile.data, profile.size, "profile", NULL, &made, error));
    const float *held = fov_tensors_find(made, "layers.1.value.regress.held")->data;
    const float *rank = fov_tensors_find(made, "layers.1.value.lowrank.held")->data;
    const float *ffn = fov_tensors_find(made, "layers.1.ffn.error")->data;
    const float *energy = fov_tensors_find(made, "layers.1.ffn.energy")->data;
    const size_t levels = fov_tensors_find(made, "levels")->count;
    const char *path = folder_path(&place, "profile");
    const fov_session_options options[] = {{.values = "regress", .ffn = "guided", .profile = path},
                                           {.values = "lowrank", .ffn = "narrow:m=320", .profile = path},
                                           {.values = "poisson", .profile = path},
                                           {.values = "mca"},
                                           {.values = "mca", .profile = path}}; /* which it does not read */
    for (size_t i = 0; i < 5; i++) {
        fov_session *s = NULL;
        fov_certificate c;
        fov_profile_info info;
        assert_ok(fov_session_create(model, &options[i], &s, error));
        assert_int_equal(fov_session_profile(s, &info), i < 3);
        if (i < 3) assert_true(info.texts == TEXTS && info.held_texts > 5 && info.held_tokens < info.tokens / 2);
        assert_int_equal(fov_session_certificate(s, FOV_PLACE_VALUES, 1, 3, &c), i < 2);
        double sum = 0, whole = 0;
        for (size_t h = 0; h < 4; h++) {
            sum += (double)held[h * levels + 3];
            whole += (double)held[h * levels];
        }
        const double expected = i ? (double)(rank[3] / rank[0]) : sum / whole;
        if (i < 2) assert_true(c.level == (i ? 32 : 64) && fabs(c.held - expected) <= 1e-6 && c.fitted > 0);
        assert_int_equal(fov_session_certificate(s, FOV_PLACE_FFN, 1, 1, &c), i < 2);
        if (i < 2) assert_true(isnan(c.fitted) && fabs(c.held - (double)(ffn[1] / *energy)) <= 1e-6);
        assert_false(fov_session_certificate(s, FOV_PLACE_VALUES, LAYERS, 0, &c));
        assert_false(fov_session_certificate(s, FOV_PLACE_VALUES, 0, levels, &c));
        assert_false(fov_session_certificate(s, FOV_PLACE_ATTENTION, 0, 0, &c));
        fov_session_free(s);
    }
    fov_tensors_close(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_out),
        cmocka_unit_test(test_no_leak),
        cmocka_unit_test(test_certificates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
