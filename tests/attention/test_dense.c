/* test_dense.c: dense attention in f32 and bf16 against a double reference on ragged, strided, sliced problems, on every tier; and
 * what the encoder relies on bit for bit. */
#include "attention/dense.h"
#include "support/attention_problem.h"
#include "support/bf16.h"

enum { MAX_LENGTH = 512, MODES = 8 };
enum { ALL_ROWS, IN_PLACE, SOME_QUERIES, LISTED_OUTPUTS, BF16 }; /* modes; from BF16 on the same in bf16 */

static void make(attention_problem *t, uint64_t seed, int mode) {
    static const size_t sizes[] = {1, 7, 32, 33, 64, 100, FOV_GEMM_KC + 1};
    static const size_t lengths[] = {1, 2, 16, 57, 64, 65, 113, 128, 384, 385, 511, 512};
    test_rng rng = rng_of(seed);
    const size_t texts = test_between(&rng, 1, PROBLEM_TEXTS), heads = test_between(&rng, 1, 4);
    attention_problem_begin(t, &fov_attention_dense, "dense", heads, sizes[test_between(&rng, 0, 6)]);
    t->p.type = mode >= BF16 ? FOV_TYPE_BF16 : FOV_TYPE_F32;
    mode %= BF16;
    t->k_offsets[0] = test_between(&rng, 0, 9);
    t->q_offsets[0] = mode == SOME_QUERIES ? test_between(&rng, 0, 9) : t->k_offsets[0];
    t->y_offsets[0] = mode == LISTED_OUTPUTS ? test_between(&rng, 0, 9) : t->q_offsets[0];
    while (t->p.texts < texts) {
        const bool edge = test_between(&rng, 0, 2) == 0; /* the two ways give the same bits up to MAX_LENGTH keys */
        const size_t keys = edge ? lengths[test_between(&rng, 0, 11)] : test_between(&rng, 1, 150);
        const size_t queries = mode == SOME_QUERIES ? test_between(&rng, 1, keys) : keys;
        attention_problem_add(t, keys, queries, mode == LISTED_OUTPUTS ? test_between(&rng, 0, 70) : queries);
    }
    attention_problem_fill(t, &rng, 3, mode == IN_PLACE);
    if (mode == LISTED_OUTPUTS) attention_problem_list(t, &rng);
}

/* ---- the reference ---- */

/* Short texts are multiplied in f32. */
static bool rounds(const fov_attention *p, size_t keys) {
    return p->type == FOV_TYPE_BF16 && keys > FOV_DENSE_F32_KEYS;
}

/* A value as it is multiplied. */
static double value_of(const fov_attention *p, size_t keys, float x) {
    return rounds(p, keys) ? bf16_of(x) : (double)x;
}

/* Weights of query i of a text and head, in double; *slack: how far an f32 computation may be off, relative to a weight: the
 * scores' rounding, (D + 2) u per product sum, counts twice (numerator and sum); exp and the division some more. */
static void reference_weights(const attention_problem *t, size_t text, size_t head, size_t query, double *a, double *slack) {
    const fov_attention *p = &t->p;
    size_t d = p->head_size, keys = problem_keys(t, text);
    const float *q = t->q + (t->q_offsets[text] + query) * p->ldq + head * d;
    double peak = -INFINITY, sum = 0, largest = 0;
    for (size_t j = 0; j < keys; j++) {
        const float *k = t->k + (t->k_offsets[text] + j) * p->ldk + head * d;
        double dot = 0, size = 0;
        for (size_t c = 0; c < d; c++) {
            const double product = value_of(p, keys, q[c]) * value_of(p, keys, k[c]);
            dot += product;
            size += fabs(product);
        }
        a[j] = dot * (double)p->scale;
        peak = fmax(peak, a[j]);
        largest = fmax(largest, size * (double)p->scale);
    }
    for (size_t j = 0; j < keys; j++) sum += a[j] = exp(a[j] - peak);
    for (size_t j = 0; j < keys; j++) a[j] /= sum;
    *slack = problem_unit * (2 * (double)(d + 2) * largest + (double)keys + 16);
}

/* ys: the output of every tier, so that the reference is made once. In bf16 the weights, which may be off by slack, are rounded
 * too.
 */
static void check_outputs(const attention_problem *t, float *const *ys, size_t tiers) {
    const fov_attention *p = &t->p;
    size_t d = p->head_size;
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++) {
                double a[MAX_LENGTH], slack;
                size_t keys = problem_keys(t, b);
                const double rounding = rounds(p, keys) ? bf16_unit * 1.01 : 0;
                reference_weights(t, b, h, p->y_query ? p->y_query[o] : o - t->y_offsets[b], a, &slack);
                for (size_t c = 0; c < d; c++) {
                    double y = 0, size = 0;
                    for (size_t j = 0; j < keys; j++) {
                        double v = value_of(p, keys, t->v[(t->k_offsets[b] + j) * p->ldv + h * d + c]);
                        y += a[j] * v;
                        size += a[j] * fabs(v);
                    }
                    const double most = size * (slack + rounding + problem_unit * (double)keys);
                    for (size_t n = 0; n < tiers; n++) check_near((double)ys[n][o * p->ldy + h * d + c], y, most, "y", b, h, o);
                }
            }
}

static void check_stored(const attention_problem *t, const stored_weights *s, size_t tiers) {
    const fov_attention *p = &t->p;
    size_t stride = t->k_offsets[p->texts];
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++) {
            const size_t keys = problem_keys(t, b), queries = problem_queries(t, b),
                         first = p->heads * t->starts[b] + h * queries * keys;
            double most[MOST_TIERS][MAX_LENGTH] = {0}, energy[MOST_TIERS][MAX_LENGTH] = {0}, want[MAX_LENGTH], slack;
            for (size_t i = 0; i < queries; i++) {
                reference_weights(t, b, h, i, want, &slack);
                for (size_t n = 0; n < tiers; n++)
                    for (size_t j = 0; j < keys; j++) {
                        double got = (double)s[n].weights[first + i * keys + j];
                        check_near(got, want[j], want[j] * slack + 0x1p-126, "weight", b, h, i);
                        most[n][j] = fmax(most[n][j], got);
                        energy[n][j] += got * got;
                    }
            }
            for (size_t n = 0; n < tiers; n++)
                for (size_t j = 0; j < keys; j++) {
                    size_t at = h * stride + t->k_offsets[b] + j;
                    check_near((double)s[n].col_max[at], most[n][j], 0, "col_max", b, h, j);
                    check_near((double)s[n].col_energy[at], energy[n][j], energy[n][j] * problem_unit * (double)(queries + 2),
                               "col_energy", b, h, j);
                }
        }
}

/* ---- tests ---- */

enum { SEEDS = 12 };

static void test_reference(void **state) {
    (void)state;
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            if (mode >= BF16 && seed % 3) continue; /* the reference is slow */
            attention_problem t;
            float *ys[MOST_TIERS];
            stored_weights s[MOST_TIERS];
            size_t tiers = 0;
            make(&t, seed * MODES + (uint64_t)mode, mode);
            FOR_EACH_TIER(kernels) {
                assert_true(tiers < MOST_TIERS);
                attention_problem_forward(&t, kernels, 1);
                attention_problem_untouched(&t, false);
                ys[tiers] = block_copy(t.y, t.y_floats);
                s[tiers] = stored_make(&t);
                attention_problem_stored(&t, kernels, 1, &s[tiers]);
                attention_problem_untouched(&t, false);
                /* The two ways make the same bits: an estimator in its exact limit must not be told from exact values. */
                assert_memory_equal(t.y, ys[tiers], t.y_floats * sizeof *t.y);
                tiers++;
            }
            check_outputs(&t, ys, tiers);
            check_stored(&t, s, tiers);
            for (size_t n = 0; n < tiers; n++) {
                free(ys[n]);
                stored_free(&s[n]);
            }
            attention_problem_free(&t);
        }
}

static void check_same(const float *a, const float *b, size_t floats) {
    assert_memory_equal(a, b, floats * sizeof *a);
}

static void test_threads(void **state) {
    (void)state;
    static const unsigned counts[] = {2, 5};
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        attention_problem t, u;
        make(&t, 100 + (uint64_t)mode, mode);
        make(&u, 100 + (uint64_t)mode, mode);
        for (size_t i = 0; i < 2; i++) {
            attention_problem_forward(&t, kernels, 1);
            attention_problem_forward(&u, kernels, counts[i]);
            check_same(t.y, u.y, t.y_floats);
            stored_weights s = stored_make(&t), r = stored_make(&u);
            attention_problem_stored(&t, kernels, 1, &s);
            attention_problem_stored(&u, kernels, counts[i], &r);
            check_same(t.y, u.y, t.y_floats);
            check_same(s.weights, r.weights, s.cells);
            size_t keys = t.k_offsets[t.p.texts], first = t.k_offsets[0];
            for (size_t h = 0; h < t.p.heads; h++) {
                check_same(s.col_max + h * keys + first, r.col_max + h * keys + first, keys - first);
                check_same(s.col_energy + h * keys + first, r.col_energy + h * keys + first, keys - first);
            }
            stored_free(&s);
            stored_free(&r);
        }
        attention_problem_free(&t);
        attention_problem_free(&u);
    }
}

static void check_text(const attention_problem *t, size_t b, const float *batch) {
    for (size_t o = t->y_offsets[b]; o < t->y_offsets[b + 1]; o++)
        check_same(t->y + o * t->p.ldy, batch + o * t->p.ldy, t->p.heads * t->p.head_size);
}

/* Text b's weights and importance from a slice: importance rows are as long as the slice's last key offset. */
static void check_slice_stored(attention_problem *t, size_t b, const fov_kernels *kernels, const stored_weights *all) {
    attention_problem one = attention_problem_alone(t, b);
    size_t first = t->k_offsets[b], last = t->k_offsets[b + 1], stride = t->k_offsets[t->p.texts], heads = t->p.heads;
    stored_weights s = stored_make(&one);
    attention_problem_stored(&one, kernels, 2, &s);
    check_same(s.weights, all->weights + heads * t->starts[b], s.cells);
    for (size_t h = 0; h < heads; h++) {
        check_same(s.col_max + h * last + first, all->col_max + h * stride + first, last - first);
        check_same(s.col_energy + h * last + first, all->col_energy + h * stride + first, last - first);
        for (size_t i = 0; i < first; i++) assert_true(isnan(s.col_max[h * last + i]) && isnan(s.col_energy[h * last + i]));
    }
    stored_free(&s);
}

static void test_alone(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 200; seed < (mode < BF16 ? 204 : 201); seed++) {
            attention_problem t;
            make(&t, seed + 10 * (uint64_t)mode, mode);
            stored_weights all = stored_make(&t);
            attention_problem_stored(&t, kernels, 1, &all);
            attention_problem_forward(&t, kernels, 1);
            float *batch = block_copy(t.y, t.y_floats);
            for (size_t b = 0; b < t.p.texts; b++) {
                attention_problem one = attention_problem_alone(&t, b);
                attention_problem_forward(&one, kernels, 2);
                check_text(&t, b, batch);
                check_slice_stored(&t, b, kernels, &all);
                check_text(&t, b, batch);
            }
            free(batch);
            stored_free(&all);
            attention_problem_free(&t);
        }
}

/* NaN in a key of one text: that head of that text is NaN, nothing else changes. */
static void test_nan(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 300; seed < 306; seed++) {
        attention_problem t;
        make(&t, seed, seed % 2 ? BF16 : ALL_ROWS);
        attention_problem_forward(&t, kernels, 2);
        float *before = block_copy(t.y, t.y_floats);
        size_t sick = t.p.texts / 2, head = t.p.heads - 1, d = t.p.head_size;
        t.k[(t.k_offsets[sick + 1] - 1) * t.p.ldk + head * d] = NAN;
        stored_weights s = stored_make(&t);
        for (int way = 0; way < 2; way++) {
            if (way)
                attention_problem_stored(&t, kernels, 2, &s);
            else
                attention_problem_forward(&t, kernels, 2);
            for (size_t b = 0; b < t.p.texts; b++)
                if (b != sick) check_text(&t, b, before);
            for (size_t o = t.y_offsets[sick]; o < t.y_offsets[sick + 1]; o++) {
                check_same(t.y + o * t.p.ldy, before + o * t.p.ldy, head * d);
                for (size_t c = 0; c < d; c++) assert_true(isnan(t.y[o * t.p.ldy + head * d + c]));
            }
        }
        stored_free(&s);
        free(before);
        attention_problem_free(&t);
    }
}

/* forward's importance is that of the stored weights, bit for bit, with any number of threads, and its outputs stay as they were;
 * either of the two alone will do, and texts without queries have none. */
static void test_one_pass(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        if (mode % BF16 == LISTED_OUTPUTS) continue;
        for (uint64_t seed = 500; seed < 503; seed++) {
            attention_problem t;
            make(&t, seed + 10 * (uint64_t)mode, mode);
            if (mode % BF16 == SOME_QUERIES && seed == 500) { /* the last text has keys alone */
                t.q_offsets[t.p.texts] = t.q_offsets[t.p.texts - 1];
                t.y_offsets[t.p.texts] = t.y_offsets[t.p.texts - 1];
            }
            stored_weights s = stored_make(&t), f = stored_make(&t);
            attention_problem_forward(&t, kernels, 1);
            float *y = block_copy(t.y, t.y_floats);
            attention_problem_stored(&t, kernels, 1, &s);
            for (unsigned threads = 1; threads <= 3; threads++) {
                for (size_t i = 0; i < f.keys; i++) f.col_max[i] = f.col_energy[i] = NAN;
                t.p.col_max = threads == 2 ? NULL : f.col_max;
                t.p.col_energy = threads == 3 ? NULL : f.col_energy;
                attention_problem_forward(&t, kernels, threads);
                check_same(t.y, y, t.y_floats);
                if (t.p.col_max) check_same(f.col_max, s.col_max, s.keys);
                if (t.p.col_energy) check_same(f.col_energy, s.col_energy, s.keys);
            }
            free(y);
            stored_free(&f);
            stored_free(&s);
            attention_problem_free(&t);
        }
    }
}

/* Importance is optional. */
static void test_no_importance(void **state) {
    (void)state;
    attention_problem t;
    make(&t, 400, ALL_ROWS);
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    stored_weights s = stored_make(&t), none = {.weights = block_make(s.cells, NAN), .cells = s.cells};
    attention_problem_stored(&t, kernels, 1, &s);
    t.longest += 3; /* a workspace for longer texts serves too */
    attention_problem_stored(&t, kernels, 1, &none);
    check_same(s.weights, none.weights, s.cells);
    block_check(none.weights, none.cells);
    free(none.weights);
    stored_free(&s);
    attention_problem_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_threads),       cmocka_unit_test(test_alone),
        cmocka_unit_test(test_nan),       cmocka_unit_test(test_no_importance), cmocka_unit_test(test_one_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
