/* test_ffn_fit.c: the fits of narrow feed-forward layers against normal equations in double, and the sample behind them. */
#include <math.h>

#include "model/ffn_fit.h"
#include "support/random.h"
#include "support/tiny.h"

enum { WIDTH = 256, HIDDEN = 1024, TEXTS = 90, LENGTH = 12, N = TEXTS * LENGTH, LAYERS = 4, LAYER = 2 };

static float x[N * WIDTH];
static size_t offsets[TEXTS + 1];
static uint64_t hashes[TEXTS];

static void make_inputs(void) {
    test_rng rng = {5};
    for (size_t i = 0; i < N * WIDTH; i++) x[i] = test_float(&rng) + test_float(&rng);
    for (size_t b = 0; b <= TEXTS; b++) offsets[b] = b * LENGTH;
    for (size_t b = 0; b < TEXTS; b++) hashes[b] = test_bits(&rng);
}

/* Texts [first, end), as one batch, into every layer. */
static void add(fov_sample *s, size_t first, size_t end) {
    static size_t starts[TEXTS + 1];
    for (size_t b = first; b <= end; b++) starts[b - first] = offsets[b] - offsets[first];
    fov_sample_choose(s, end - first, starts, hashes + first);
    for (size_t l = 0; l < s->layers; l++) fov_sample_add(s, l, x + offsets[first] * WIDTH);
}

static const float *row_of(const fov_sample *s, size_t layer, size_t i) {
    return s->x + (layer * s->room + s->slots[i]) * s->width;
}

/* The same tokens in the same order, whatever the order of the texts and the batches; room for all, and for a third. */
static void test_sample(void **state) {
    (void)state;
    static const size_t rooms[] = {N + 100, N / 3};
    for (size_t k = 0; k < 2; k++) {
        fov_sample *a = NULL, *b = NULL;
        assert_int_equal(fov_sample_create(2, WIDTH, rooms[k], fov_allocator_or_default(NULL), &a), FOV_OK);
        assert_int_equal(fov_sample_create(2, WIDTH, rooms[k], fov_allocator_or_default(NULL), &b), FOV_OK);
        add(a, 0, TEXTS);
        for (size_t i = TEXTS; i-- > 0;) add(b, i, i + 1);
        const size_t fitted = fov_sample_sort(a);
        assert_int_equal(a->count, rooms[k] < N ? rooms[k] : N);
        assert_int_equal(fov_sample_sort(b), fitted);
        assert_true(fitted > a->count * 2 / 3 && fitted < a->count);
        for (size_t i = 0; i < a->count; i++)
            for (size_t l = 0; l < 2; l++) assert_memory_equal(row_of(a, l, i), row_of(b, l, i), WIDTH * sizeof(float));
        /* texts are held out whole: no row of the last is of a text of the first */
        for (size_t i = fitted; i < a->count; i++) {
            size_t held = 0;
            while (memcmp(x + held * WIDTH, row_of(a, 0, i), WIDTH * sizeof(float))) held++;
            for (size_t j = 0; j < fitted; j += 7) {
                const size_t text = held / LENGTH * LENGTH;
                for (size_t m = text; m < text + LENGTH; m++)
                    assert_true(memcmp(x + m * WIDTH, row_of(a, 0, j), WIDTH * sizeof(float)) != 0);
            }
        }
        fov_sample_free(a);
        fov_sample_free(b);
    }
}

static double h[N][HIDDEN], mean[HIDDEN], c[HIDDEN][HIDDEN], w[HIDDEN][WIDTH], cw[HIDDEN][WIDTH];

/* Hidden activations in the sample's order, and their mean and covariance over the tokens to fit, with the ridge. */
static void make_reference(const struct fov_model *model, const fov_sample *s, size_t fitted) {
    const fov_layer *layer = &model->layers[LAYER];
    static double w1[HIDDEN][WIDTH];
    double trace = 0;
    for (size_t i = 0; i < HIDDEN; i++)
        for (size_t k = 0; k < WIDTH; k++) {
            w1[i][k] = (double)fov_packed_at(FOV_TYPE_F32, layer->up.w, NULL, WIDTH, i, k);
            w[i][k] = (double)fov_packed_at(FOV_TYPE_F32, layer->down.w, NULL, HIDDEN, k, i);
        }
    for (size_t t = 0; t < s->count; t++)
        for (size_t i = 0; i < HIDDEN; i++) {
            double sum = (double)layer->up.bias[i];
            for (size_t k = 0; k < WIDTH; k++) sum += w1[i][k] * (double)row_of(s, LAYER, t)[k];
            h[t][i] = sum / 2 * erfc(-sum / sqrt(2.));
        }
    for (size_t i = 0; i < HIDDEN; i++)
        for (size_t t = 0; t < fitted; t++) mean[i] += h[t][i] / (double)fitted;
    for (size_t t = 0; t < fitted; t++)
        for (size_t i = 0; i < HIDDEN; i++)
            for (size_t k = 0; k < HIDDEN; k++) c[i][k] += (h[t][i] - mean[i]) * (h[t][k] - mean[k]) / (double)fitted;
    for (size_t i = 0; i < HIDDEN; i++) trace += c[i][i];
    for (size_t i = 0; i < HIDDEN; i++) c[i][i] += 1e-3 * trace / HIDDEN;
    for (size_t i = 0; i < HIDDEN; i++)
        for (size_t k = 0; k < HIDDEN; k++)
            for (size_t j = 0; j < WIDTH; j++) cw[i][j] += c[i][k] * w[k][j];
}

/* C_SS B = C_S W for every level. Sums in f32 of terms of `size` in all: some 1e-5 of it. */
static void check_normal_equations(const fov_ffn_fit_data *data, const uint32_t *level, size_t levels) {
    const float *weight = data->weight;
    for (size_t l = 0; l < levels; weight += level[l++] * WIDTH)
        for (size_t k = 0; k < level[l]; k += 5)
            for (size_t j = 0; j < WIDTH; j += 17) {
                double off = -cw[data->order[k]][j], size = fabs(off);
                for (size_t m = 0; m < level[l]; m++) {
                    const double part = c[data->order[k]][data->order[m]] * (double)weight[j * level[l] + m];
                    off += part;
                    size += fabs(part);
                }
                if (!(fabs(off) <= 1e-4 * size)) fail_msg("level %zu, unit %zu, column %zu: %g of %g", l, k, j, off, size);
            }
}

/* The first unit is the one that gains most: ||C_i W||^2 / C_ii. */
static void check_first(const fov_ffn_fit_data *data) {
    double most = 0, chosen = 0;
    for (size_t i = 0; i < HIDDEN; i++) {
        double gain = 0;
        for (size_t j = 0; j < WIDTH; j++) gain += cw[i][j] * cw[i][j] / c[i][i];
        if (gain > most) most = gain;
        if (i == data->order[0]) chosen = gain;
    }
    assert_true(chosen >= most * (1 - 1e-4));
}

/* The certificate: mean over held-out tokens of ||f - bias - B h_S||^2, and the energy of x + f. */
static void check_errors(const struct fov_model *model, const fov_sample *s, size_t fitted, const fov_ffn_fit_data *data,
                         const uint32_t *level, size_t levels) {
    static double f[N][WIDTH];
    const double held = (double)(s->count - fitted);
    double energy = 0;
    for (size_t j = 0; j < WIDTH; j++) {
        double sum = 0, square = 0;
        for (size_t t = fitted; t < s->count; t++) {
            f[t][j] = (double)model->layers[LAYER].down.bias[j];
            for (size_t i = 0; i < HIDDEN; i++) f[t][j] += h[t][i] * w[i][j];
            const double y = f[t][j] + (double)row_of(s, LAYER, t)[j];
            sum += y;
            square += y * y;
        }
        energy += square / held - sum / held * (sum / held);
    }
    assert_true(fabs((double)*data->energy - energy) <= 1e-4 * energy);
    const float *weight = data->weight;
    for (size_t l = 0; l < levels; weight += level[l++] * WIDTH) {
        double error = 0;
        for (size_t t = fitted; t < s->count; t++)
            for (size_t j = 0; j < WIDTH; j++) {
                double off = f[t][j] - (double)data->bias[l * WIDTH + j];
                for (size_t m = 0; m < level[l]; m++) off -= (double)weight[j * level[l] + m] * h[t][data->order[m]];
                error += off * off / held;
            }
        assert_true(fabs((double)data->error[l] - error) <= 1e-4 * error);
        assert_true(!l || data->error[l] < data->error[l - 1]);
    }
}

static void test_fit(void **state) {
    (void)state;
    struct fov_model *model = tiny_load(NULL);
    fov_sample *s = NULL;
    fov_ffn_fit *fit = NULL;
    uint32_t level[FOV_FFN_LEVELS];
    const size_t levels = fov_ffn_fit_levels(HIDDEN, false, level);
    assert_int_equal(fov_sample_create(LAYERS, WIDTH, N, fov_allocator_or_default(NULL), &s), FOV_OK);
    add(s, 0, TEXTS);
    assert_ok(fov_ffn_fit_create(model, s, false, 2, &fit, error));
    const size_t fitted = fov_sample_sort(s);
    fov_ffn_fit_run(fit, LAYER - 1);
    const fov_ffn_fit_data data = fov_ffn_fit_run(fit, LAYER);
    make_reference(model, s, fitted);
    check_first(&data);
    check_normal_equations(&data, level, levels);
    for (size_t l = 0, at = 0; l < levels; at += level[l++] * WIDTH)
        for (size_t j = 0; j < WIDTH; j += 5) {
            double bias = (double)model->layers[LAYER].down.bias[j];
            for (size_t i = 0; i < HIDDEN; i++) bias += mean[i] * w[i][j];
            for (size_t m = 0; m < level[l]; m++) bias -= mean[data.order[m]] * (double)data.weight[at + j * level[l] + m];
            assert_true(fabs((double)data.bias[l * WIDTH + j] - bias) <= 1e-3);
        }
    check_errors(model, s, fitted, &data, level, levels);
    fov_ffn_fit_free(fit);
    fov_sample_free(s);
    fov_model_free(model);
}

/* Texts of 320 tokens or fewer leave less than the largest level's units. */
static void test_too_few(void **state) {
    (void)state;
    struct fov_model *model = tiny_load(NULL);
    fov_sample *s = NULL;
    fov_ffn_fit *fit = NULL;
    fov_error why;
    assert_int_equal(fov_sample_create(LAYERS, WIDTH, N, fov_allocator_or_default(NULL), &s), FOV_OK);
    add(s, 0, 26);
    assert_int_equal(fov_ffn_fit_create(model, s, false, 2, &fit, &why), FOV_ERR_ARGUMENT);
    assert_non_null(strstr(why.message, "more than 320"));
    fov_sample_free(s);
    fov_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sample), cmocka_unit_test(test_fit), cmocka_unit_test(test_too_few)};
    make_inputs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
