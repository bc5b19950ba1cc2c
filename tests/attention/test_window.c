/* test_window.c: windowed attention with global tokens against a double reference on ragged and masked problems, on every tier; and
 * bit for bit what the encoder relies on. */
#include "support/window_reference.h"

/* Importance counts the local weights of every query row, those of global tokens too. */
static void check_importance(const window_problem *t, const stored_weights *s) {
    const fov_attention *p = &t->a.p;
    const size_t total = t->a.k_offsets[p->texts];
    for (size_t b = 0; b < p->texts; b++)
        for (size_t h = 0; h < p->heads; h++) {
            double most[MAX_LENGTH] = {0}, energy[MAX_LENGTH] = {0}, a[MAX_LENGTH], slack, worst = 0;
            const size_t queries = t->a.q_offsets[b + 1] - t->a.q_offsets[b];
            for (size_t i = 0; i < queries; i++) {
                local_weights(t, b, h, i, a, &slack);
                worst = fmax(worst, slack);
                for (size_t j = 0; j < problem_keys(&t->a, b); j++) {
                    most[j] = fmax(most[j], a[j]);
                    energy[j] += a[j] * a[j];
                }
            }
            for (size_t j = 0; j < problem_keys(&t->a, b); j++) {
                const size_t at = h * total + t->a.k_offsets[b] + j;
                check_near((double)s->col_max[at], most[j], most[j] * worst, "col_max", b, h, j);
                check_near((double)s->col_energy[at], energy[j],
                           energy[j] * (2 * worst + problem_unit * (double)(queries + 2)) + 0x1p-126, "col_energy", b, h, j);
            }
        }
}

enum { SEEDS = 8 };

static void test_reference(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            window_problem t;
            window_problem_make(&t, seed * MODES + (uint64_t)mode, mode);
            attention_problem_forward(&t.a, kernels, 1);
            check_outputs(&t);
            attention_problem_untouched(&t.a, false);
            stored_weights s = stored_make(&t.a);
            float *y = block_copy(t.a.y, t.a.y_floats);
            attention_problem_stored(&t.a, kernels, 1, &s);
            check_importance(&t, &s);
            attention_problem_untouched(&t.a, false);
            /* The two ways make the same bits: an estimator in its exact limit must not be told from exact values. */
            assert_memory_equal(t.a.y, y, t.a.y_floats * sizeof *y);
            free(y);
            stored_free(&s);
            window_problem_free(&t);
        }
}

static void test_threads(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        window_problem t;
        window_problem_make(&t, 100 + (uint64_t)mode, mode);
        stored_weights s = stored_make(&t.a), r = stored_make(&t.a);
        attention_problem_stored(&t.a, kernels, 1, &s);
        float *y = block_copy(t.a.y, t.a.y_floats);
        attention_problem_stored(&t.a, kernels, 5, &r);
        assert_memory_equal(t.a.y, y, t.a.y_floats * sizeof *y);
        const size_t keys = t.a.k_offsets[t.a.p.texts], first = t.a.k_offsets[0];
        for (size_t h = 0; h < t.a.p.heads; h++) {
            assert_memory_equal(s.col_max + h * keys + first, r.col_max + h * keys + first, (keys - first) * sizeof(float));
            assert_memory_equal(s.col_energy + h * keys + first, r.col_energy + h * keys + first, (keys - first) * sizeof(float));
        }
        free(y);
        stored_free(&s);
        stored_free(&r);
        window_problem_free(&t);
    }
}

/* A text alone, as a slice of the batch's offsets, gives the batch's bits. */
static void test_alone(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (int mode = 0; mode < MODES; mode++) {
        if (mode == IN_PLACE) continue; /* a run overwrites the other texts' queries */
        window_problem t;
        window_problem_make(&t, 200 + (uint64_t)mode, mode);
        attention_problem_forward(&t.a, kernels, 1);
        float *y = block_copy(t.a.y, t.a.y_floats);
        for (size_t b = 0; b < t.a.p.texts; b++) {
            attention_problem one = attention_problem_alone(&t.a, b);
            attention_problem_forward(&one, kernels, 2);
            for (size_t o = t.a.y_offsets[b]; o < t.a.y_offsets[b + 1]; o++)
                assert_memory_equal(t.a.y + o * t.a.p.ldy, y + o * t.a.p.ldy, t.a.p.heads * t.a.p.head_size * sizeof *y);
        }
        free(y);
        window_problem_free(&t);
    }
}

/* The bits of a row depend on its position alone: a few queries by q_position give what all queries give. */
static void test_subset(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 300; seed < 304; seed++) {
        window_problem t;
        window_problem_make(&t, seed, ALL_ROWS);
        attention_problem_forward(&t.a, kernels, 1);
        float *all = block_copy(t.a.y, t.a.y_floats);
        size_t offsets[MAX_TEXTS + 1] = {0};
        uint32_t positions[MAX_TEXTS * 2];
        float *q = block_make(MAX_TEXTS * 2 * t.a.p.ldq, NAN);
        attention_problem few = t.a;
        for (size_t b = 0; b < t.a.p.texts; b++) { /* the first and the last token */
            const size_t keys = problem_keys(&t.a, b), n = keys > 1 ? 2 : 1;
            for (size_t i = 0; i < n; i++) {
                positions[offsets[b] + i] = (uint32_t)(i ? keys - 1 : 0);
                memcpy(q + (offsets[b] + i) * t.a.p.ldq, t.a.q + (t.a.q_offsets[b] + positions[offsets[b] + i]) * t.a.p.ldq,
                       t.a.p.ldq * sizeof *q);
            }
            offsets[b + 1] = offsets[b] + n;
        }
        few.p.q = q;
        few.p.q_offsets = few.p.y_offsets = offsets;
        few.p.q_position = positions;
        attention_problem_forward(&few, kernels, 1);
        for (size_t b = 0; b < t.a.p.texts; b++)
            for (size_t o = offsets[b]; o < offsets[b + 1]; o++)
                assert_memory_equal(t.a.y + o * t.a.p.ldy, all + (t.a.k_offsets[b] + positions[o]) * t.a.p.ldy,
                                    t.a.p.heads * t.a.p.head_size * sizeof *q);
        free(q);
        free(all);
        window_problem_free(&t);
    }
}

/* NaN in one text stays in that text. */
static void test_nan(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 400; seed < 404; seed++) {
        window_problem t;
        window_problem_make(&t, seed, ALL_ROWS);
        attention_problem_forward(&t.a, kernels, 1);
        float *y = block_copy(t.a.y, t.a.y_floats);
        const size_t sick = t.a.p.texts - 1, row = t.a.k_offsets[sick];
        t.a.k[row * t.a.p.ldk] = NAN;
        if (t.a.mask) t.a.mask[row] = 1;
        attention_problem_forward(&t.a, kernels, 2);
        for (size_t o = t.a.y_offsets[0]; o < t.a.y_offsets[sick]; o++)
            assert_memory_equal(t.a.y + o * t.a.p.ldy, y + o * t.a.p.ldy, t.a.p.heads * t.a.p.head_size * sizeof *y);
        if (!t.globals) assert_true(isnan(t.a.y[row * t.a.p.ldy]));
        free(y);
        window_problem_free(&t);
    }
}

/* Memory of stored weights is linear in T; a window over everything is no larger than the dense matrix. */
static void test_floats(void **state) {
    (void)state;
    const fov_setting narrow = {.info = &fov_attention_window.info, .values = {256}};
    const size_t at_1k = fov_attention_weight_floats(&narrow, 1, 1024, 1024);
    assert_int_equal(fov_attention_weight_floats(&narrow, 1, 4096, 4096), 4 * at_1k);
    assert_int_equal(at_1k, 1024 * (1 + 64 + 256));
    assert_int_equal(fov_attention_weight_floats(&narrow, 0, 100, 100), 100 * 100);
    const fov_setting dense = {.info = &fov_attention_dense.info};
    assert_int_equal(fov_attention_weight_floats(&dense, 0, 70, 300), 70 * 300);
}

/* The exact count of a small case: blocks of 64 queries, each with its columns. */
static void test_cost(void **state) {
    (void)state;
    const fov_setting setting = {.info = &fov_attention_window.info, .values = {64}};
    /* queries 0..63 see keys 0..95, 64..127 see 32..159, 128..149 see 96..149 */
    const double cells = 64 * 96 + 64 * (150 - 32) + 22 * (150 - 96);
    assert_true(fov_attention_window.cost(&setting, 150, 150, 7) == 2 * cells * 7);
    assert_true(fov_attention_window.cost(&setting, 10, 10, 7) == fov_attention_dense.cost(&setting, 10, 10, 7));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_threads), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_subset),    cmocka_unit_test(test_nan),     cmocka_unit_test(test_floats),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
