/* test_attention.c: the raw-buffer interface: what it refuses, shapes and strides, and one battery that every method of the
 * registry goes through by its row alone: same bits again, for any thread count, alone as in a batch, and in any layout; T = 1, odd
 * head sizes, masks, causality, gradients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "foveate/attention.h"
#include "support/blocks.h"
#include "support/gradient_check.h"

enum { TEXTS = 4, HEADS = 3 };
static const size_t offsets[TEXTS + 1] = {2, 3, 40, 110, 117}; /* lengths 1, 37, 70, 7; two rows before the first text */
static const uint64_t hashes[TEXTS] = {11, 7, 5, 3};

typedef struct matrices {
    size_t rows, width;
    float *q, *k, *v, *y, *dy, *dq, *dk, *dv;
    uint8_t *mask;
    fov_attention_problem p;
} matrices;

static float *floats(test_rng *rng, size_t count) {
    float *x = malloc((count + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) x[i] = rng ? test_float(rng) : NAN;
    return x;
}

static matrices make(const char *method, size_t rows, size_t head_size, uint64_t seed) {
    test_rng rng = {seed * 2 + 1};
    for (int i = 0; i < 8; i++) test_bits(&rng);
    matrices m = {.rows = rows, .width = HEADS * head_size};
    const size_t n = rows * m.width;
    float **random[] = {&m.q, &m.k, &m.v, &m.dy}, **empty[] = {&m.y, &m.dq, &m.dk, &m.dv};
    for (size_t i = 0; i < 4; i++) *random[i] = floats(&rng, n), *empty[i] = floats(NULL, n);
    m.mask = malloc(rows);
    assert_non_null(m.mask);
    for (size_t i = 0; i < rows; i++) m.mask[i] = test_bits(&rng) >> 60 != 0;
    m.p = (fov_attention_problem){.method = method,
                                  .texts = TEXTS,
                                  .heads = HEADS,
                                  .head_size = head_size,
                                  .q_offsets = offsets,
                                  .k_offsets = offsets,
                                  .q = m.q,
                                  .k = m.k,
                                  .v = m.v,
                                  .y = m.y,
                                  .threads = 1,
                                  .hashes = hashes,
                                  .seed = 5,
                                  .layer = 3};
    return m;
}

static void drop(matrices *m) {
    float *all[] = {m->q, m->k, m->v, m->y, m->dy, m->dq, m->dk, m->dv};
    for (size_t i = 0; i < 8; i++) free(all[i]);
    free(m->mask);
}

static void succeed(fov_status status, const fov_error *error) {
    if (status) fail_msg("%s: %s", error->where, error->message);
}

static void forward(const fov_attention_problem *p) {
    fov_error error;
    size_t bytes;
    succeed(fov_attention_workspace(p, &bytes, &error), &error);
    void *scratch = scratch_make(bytes);
    succeed(fov_attention_forward(p, scratch, bytes, &error), &error);
    scratch_free(scratch, bytes);
}

static void backward(const matrices *m) {
    fov_error error;
    size_t bytes;
    const fov_attention_gradients g = {m->dy, m->dq, m->dk, m->dv};
    succeed(fov_attention_backward_workspace(&m->p, &bytes, &error), &error);
    void *scratch = scratch_make(bytes);
    succeed(fov_attention_backward(&m->p, &g, scratch, bytes, &error), &error);
    scratch_free(scratch, bytes);
}

static float *copy_of(const float *x, size_t count) {
    float *y = floats(NULL, count);
    memcpy(y, x, count * sizeof *x);
    return y;
}

static void same(const char *method, const char *what, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s: %s: float %zu is %.9g, not %.9g", method, what, i, (double)a[i], (double)b[i]);
}

/* ---- the battery ---- */

static void check_bits(const char *method, size_t head_size) {
    matrices m = make(method, offsets[TEXTS], head_size, head_size);
    const size_t n = m.rows * m.width, first = offsets[0] * m.width;
    for (int masked = 0; masked < 2; masked++) {
        m.p.key_mask = masked ? m.mask : NULL;
        forward(&m.p);
        float *y = copy_of(m.y, n);
        for (size_t i = 0; i < n; i++)
            if (i < first ? !isnan(y[i]) : !isfinite(y[i]))
                fail_msg("%s, D = %zu: float %zu is %g", method, head_size, i, (double)y[i]);
        forward(&m.p);
        same(method, "the same again", m.y, y, n);
        m.p.threads = 3;
        forward(&m.p);
        same(method, "three threads", m.y, y, n);
        for (size_t b = 0; b < TEXTS; b++) {
            fov_attention_problem one = m.p;
            one.texts = 1;
            one.q_offsets = one.k_offsets = offsets + b;
            one.hashes = hashes + b;
            for (size_t i = offsets[b] * m.width; i < offsets[b + 1] * m.width; i++) m.y[i] = NAN;
            forward(&one);
            same(method, "a text alone", m.y, y, n);
        }
        m.p.threads = 1;
        free(y);
    }
    drop(&m);
}

/* [B, T, H, D] against [B, H, T, D] with gaps between rows. */
static void check_layouts(const char *method) {
    enum { T = 33, D = 5, GAP = 3 };
    matrices m = make(method, TEXTS * T, D, 77);
    m.p.q_offsets = m.p.k_offsets = NULL;
    m.p.queries = m.p.keys = T;
    forward(&m.p);
    const size_t row = D + GAP, count = TEXTS * HEADS * T * row;
    float *moved[4];
    const float *from[] = {m.q, m.k, m.v};
    for (size_t i = 0; i < 4; i++) moved[i] = floats(NULL, count);
#define AT(b, h, t, c) ((((b)*HEADS + (h)) * T + (t)) * row + (c))
#define EACH                                                                                                                       \
    for (size_t b = 0; b < TEXTS; b++)                                                                                             \
        for (size_t h = 0; h < HEADS; h++)                                                                                         \
            for (size_t t = 0; t < T; t++)                                                                                         \
                for (size_t c = 0; c < D; c++)
    for (size_t i = 0; i < 3; i++) EACH moved[i][AT(b, h, t, c)] = from[i][((b * T + t) * HEADS + h) * D + c];
    fov_attention_problem p = m.p;
    const fov_strides s = {.text = HEADS * T * row, .head = T * row, .row = row};
    p.q_strides = p.k_strides = p.v_strides = p.y_strides = s;
    p.q = moved[0];
    p.k = moved[1];
    p.v = moved[2];
    p.y = moved[3];
    forward(&p);
    EACH same(method, "[B, H, T, D]", &p.y[AT(b, h, t, c)], &m.y[((b * T + t) * HEADS + h) * D + c], 1);
    for (size_t i = 0; i < count; i++)
        if (i % row >= D) assert_true(isnan(p.y[i]));
    for (size_t i = 0; i < 4; i++) free(moved[i]);
    drop(&m);
}

/* Keys that are not there do not count, and a text of such keys gives zeros. */
static void check_mask(const char *method) {
    matrices m = make(method, offsets[TEXTS], 8, 99);
    const size_t n = m.rows * m.width;
    m.p.key_mask = m.mask;
    for (size_t i = offsets[2]; i < offsets[3]; i++) m.mask[i] = 0;
    forward(&m.p);
    for (size_t i = offsets[2] * m.width; i < offsets[3] * m.width; i++)
        if (m.y[i] != 0) fail_msg("%s: a text without keys gives %g", method, (double)m.y[i]);
    float *y = copy_of(m.y, n);
    for (size_t i = 0; i < n; i++)
        if (!m.mask[i / m.width]) m.k[i] = 7, m.v[i] = -900;
    forward(&m.p);
    same(method, "masked keys changed", m.y, y, n);
    free(y);
    drop(&m);
}

static void check_causal(const fov_method_info *method) {
    matrices m = make(method->name, offsets[TEXTS], 8, 101);
    const size_t n = m.rows * m.width;
    m.p.causal = 1;
    if (!(method->flags & FOV_METHOD_CAUSAL)) {
        fov_error error;
        size_t bytes;
        assert_int_equal(fov_attention_workspace(&m.p, &bytes, &error), FOV_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, method->name));
        drop(&m);
        return;
    }
    forward(&m.p);
    float *y = copy_of(m.y, n);
    const size_t cut = offsets[2] + 20;
    for (size_t i = cut * m.width; i < offsets[3] * m.width; i++) m.k[i] += 1, m.v[i] -= 2;
    forward(&m.p);
    bool moved = false;
    for (size_t i = offsets[0] * m.width; i < n; i++) {
        const bool later = i >= cut * m.width && i < offsets[3] * m.width;
        if (later)
            moved |= m.y[i] != y[i];
        else if (!(fabsf(m.y[i] - y[i]) <= 1e-6f * (1 + fabsf(y[i])))) /* sums may be grouped by chunks of keys */
            fail_msg("%s: float %zu saw a later key", method->name, i);
    }
    assert_true(moved);
    free(y);
    drop(&m);
}

/* The matrices, and a workspace that serves all the runs of a gradient check. */
typedef struct loss_of {
    const matrices *m;
    void *scratch;
    size_t bytes;
} loss_of;

static double loss(void *context) {
    const loss_of *l = context;
    const matrices *m = l->m;
    fov_error error;
    succeed(fov_attention_forward(&m->p, l->scratch, l->bytes, &error), &error);
    double sum = 0;
    for (size_t i = offsets[0] * m->width; i < m->rows * m->width; i++) sum += (double)m->dy[i] * (double)m->y[i];
    return sum;
}

static void check_gradients(const fov_method_info *method, bool masked, bool causal) {
    static const size_t few[] = {2, 3, 9, 26};
    matrices m = make(method->name, few[3], 5, 55);
    m.p.texts = 3;
    m.p.q_offsets = m.p.k_offsets = few;
    m.p.key_mask = masked ? m.mask : NULL;
    m.p.causal = causal;
    const size_t n = m.rows * m.width, first = few[0] * m.width;
    forward(&m.p);
    backward(&m);
    float *const got[] = {m.dq, m.dk, m.dv};
    float *const of[] = {m.q, m.k, m.v};
    float *kept[3];
    for (size_t i = 0; i < 3; i++) kept[i] = copy_of(got[i], n);
    m.p.threads = 4;
    backward(&m);
    for (size_t i = 0; i < 3; i++) same(method->name, "gradient, four threads", got[i], kept[i], n);
    m.p.threads = 1;
    loss_of of_m = {.m = &m};
    fov_error error;
    succeed(fov_attention_workspace(&m.p, &of_m.bytes, &error), &error);
    of_m.scratch = scratch_make(of_m.bytes);
    const gradient_check check = {loss, &of_m, 1.0 / 32, 3e-4};
    for (size_t i = 0; i < 3 && !(method->flags & FOV_METHOD_RANDOM); i++) {
        char what[80];
        snprintf(what, sizeof what, "%s: d%c, masked %d, causal %d", method->name, "qkv"[i], masked, causal);
        gradient_check_run(&check, what, of[i] + first, got[i] + first, n - first);
    }
    scratch_free(of_m.scratch, of_m.bytes);
    for (size_t i = 0; i < 3; i++) free(kept[i]);
    drop(&m);
}

static void check_backward(const fov_method_info *method) {
    if (method->flags & FOV_METHOD_HAS_BACKWARD) {
        for (int masked = 0; masked < 2; masked++)
            for (int causal = 0; causal < (method->flags & FOV_METHOD_CAUSAL ? 2 : 1); causal++)
                check_gradients(method, masked, causal);
        return;
    }
    matrices m = make(method->name, offsets[TEXTS], 8, 1);
    const fov_attention_gradients g = {m.dy, m.dq, m.dk, m.dv};
    fov_error error;
    size_t bytes;
    assert_int_equal(fov_attention_backward_workspace(&m.p, &bytes, &error), FOV_ERR_UNSUPPORTED);
    assert_int_equal(fov_attention_backward(&m.p, &g, NULL, 0, &error), FOV_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, method->name));
    drop(&m);
}

static void check_workspace(const char *method) {
    matrices m = make(method, offsets[TEXTS], 8, 1);
    fov_error error;
    size_t bytes;
    assert_int_equal(fov_attention_workspace(&m.p, &bytes, &error), FOV_OK);
    unsigned char *scratch = scratch_make(bytes);
    assert_int_equal(fov_attention_forward(&m.p, scratch, bytes - 1, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_forward(&m.p, scratch + 4, bytes, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_forward(&m.p, NULL, bytes, &error), FOV_ERR_ARGUMENT);
    for (size_t i = 0; i < m.rows * m.width; i++) assert_true(isnan(m.y[i]));
    scratch_free(scratch, bytes);
    drop(&m);
}

static void test_battery(void **state) {
    (void)state;
    const fov_method_info *method;
    for (size_t i = 0; (method = fov_method_at(FOV_PLACE_ATTENTION, i)); i++) {
        static const size_t sizes[] = {1, 7, 33, 64};
        if (method->flags & FOV_METHOD_MODEL) continue; /* refused: test_arguments */
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) check_bits(method->name, sizes[j]);
        check_layouts(method->name);
        check_mask(method->name);
        check_causal(method);
        check_backward(method);
        check_workspace(method->name);
    }
    assert_non_null(fov_method_at(FOV_PLACE_ATTENTION, 0));
}

/* ---- what is refused ---- */

static void refused(const fov_attention_problem *p, fov_status want, const char *word) {
    fov_error error;
    size_t bytes;
    assert_int_equal(fov_attention_workspace(p, &bytes, &error), want);
    if (!strstr(error.message, word)) fail_msg("'%s' does not say '%s'", error.message, word);
    unsigned char scratch[128];
    assert_int_equal(fov_attention_forward(p, scratch, sizeof scratch, &error), want);
}

static void test_arguments(void **state) {
    (void)state;
    matrices m = make("dense", offsets[TEXTS], 8, 1);
    static const size_t down[] = {0, 5, 4, 6, 7};
    fov_attention_problem p;
    fov_error error;
    size_t bytes;
#define WITH(change, status, word)                                                                                                 \
    do {                                                                                                                           \
        p = m.p;                                                                                                                   \
        change;                                                                                                                    \
        refused(&p, status, word);                                                                                                 \
    } while (0)
    WITH(p.heads = 0, FOV_ERR_ARGUMENT, "heads");
    WITH(p.head_size = 0, FOV_ERR_ARGUMENT, "head_size");
    WITH(p.threads = 257, FOV_ERR_ARGUMENT, "257");
    WITH(p.scale = -1, FOV_ERR_ARGUMENT, "scale");
    WITH(p.scale = NAN, FOV_ERR_ARGUMENT, "scale");
    WITH(p.scale = INFINITY, FOV_ERR_ARGUMENT, "scale");
    WITH(p.layer = 65536, FOV_ERR_ARGUMENT, "layer");
    WITH(p.q_offsets = down, FOV_ERR_ARGUMENT, "text 1");
    WITH(p.k_offsets = down, FOV_ERR_ARGUMENT, "text 1");
    WITH(p.method = "narrow", FOV_ERR_UNSUPPORTED, "on buffers give 'dense'");
    WITH(p.method = "densest", FOV_ERR_ARGUMENT, "dense");
    assert_int_equal(fov_attention_workspace(NULL, &bytes, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_workspace(&m.p, NULL, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_backward_workspace(&m.p, NULL, NULL), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_workspace(&m.p, &bytes, NULL), FOV_OK);
    void *scratch = scratch_make(bytes);
    const float **inputs[] = {&p.q, &p.k, &p.v};
    for (size_t i = 0; i < 3; i++) {
        p = m.p;
        *inputs[i] = NULL;
        assert_int_equal(fov_attention_forward(&p, scratch, bytes, &error), FOV_ERR_ARGUMENT);
    }
    p = m.p;
    p.y = NULL;
    assert_int_equal(fov_attention_forward(&p, scratch, bytes, &error), FOV_ERR_ARGUMENT);
    scratch_free(scratch, bytes);
    assert_int_equal(fov_attention_backward_workspace(&m.p, &bytes, &error), FOV_OK);
    scratch = scratch_make(bytes);
    fov_attention_gradients g = {m.dy, m.dq, m.dk, NULL};
    assert_int_equal(fov_attention_backward(&m.p, &g, scratch, bytes, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_backward(&m.p, NULL, scratch, bytes, &error), FOV_ERR_ARGUMENT);
    g.dv = m.dv;
    assert_int_equal(fov_attention_backward(&m.p, &g, scratch, bytes - 1, &error), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_attention_backward(&m.p, &g, (char *)scratch + 32, bytes, &error), FOV_ERR_ARGUMENT);
    scratch_free(scratch, bytes);
    m.p.texts = 0; /* nothing to do is no error */
    m.p.q = m.p.k = m.p.v = m.p.y = NULL;
    forward(&m.p);
    drop(&m);
}

/* ---- dense against double, through the interface: more queries than keys and fewer, texts without keys ---- */

static double reference(const matrices *m, const size_t *k_offsets, size_t b, size_t i, size_t h, size_t c) {
    const size_t d = m->p.head_size, keys = k_offsets[b + 1] - k_offsets[b], queries = m->p.q_offsets[b + 1] - m->p.q_offsets[b];
    double top = -INFINITY, sum = 0, y = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j < keys; j++) {
            const size_t row = k_offsets[b] + j;
            if ((m->p.key_mask && !m->mask[row]) || (m->p.causal && j + queries > i + keys)) continue;
            double s = 0;
            for (size_t e = 0; e < d; e++)
                s += (double)m->q[(m->p.q_offsets[b] + i) * m->width + h * d + e] * (double)m->k[row * m->width + h * d + e];
            s /= sqrt((double)d);
            if (!pass) {
                top = fmax(top, s);
                continue;
            }
            sum += exp(s - top);
            y += exp(s - top) * (double)m->v[row * m->width + h * d + c];
        }
    return sum > 0 ? y / sum : 0;
}

static void test_dense(void **state) {
    (void)state;
    static const size_t k_offsets[TEXTS + 1] = {0, 900, 900, 925, 930}; /* 900, 0, 25, 5 keys; 1, 37, 70, 7 queries */
    for (int masked = 0; masked < 2; masked++)
        for (int causal = 0; causal < 2; causal++) {
            matrices m = make("dense", 930, 9, 5);
            m.p.k_offsets = k_offsets;
            m.p.key_mask = masked ? m.mask : NULL;
            m.p.causal = causal;
            forward(&m.p);
            for (size_t b = 0; b < TEXTS; b++)
                for (size_t i = 0; i < offsets[b + 1] - offsets[b]; i++)
                    for (size_t x = 0; x < m.width; x++) {
                        const double got = (double)m.y[(offsets[b] + i) * m.width + x];
                        const double want = reference(&m, k_offsets, b, i, x / 9, x % 9);
                        /* values below 1; scores are off by some 12 roundings, sums of 900 by their pairs */
                        if (!(fabs(got - want) <= 2e-6))
                            fail_msg("masked %d, causal %d, text %zu, row %zu, column %zu: %.9g, not %.9g", masked, causal, b, i, x,
                                     got, want);
                    }
            drop(&m);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_battery),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_dense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
