/* test_sampled.c: the sampled value projection of every tier. */
#include "kernels_test.h"

typedef struct problem {
    fov_sampled s;
    size_t n_all, d;
    guarded x, w, bias, scale, y;
    uint32_t *rows, *count, *index;
} problem;

static int descending(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

static uint32_t *numbers(size_t count) {
    uint32_t *list = malloc((count + 1) * sizeof *list);
    assert_non_null(list);
    return list;
}

/* Counts from 0 to `most`; features drawn with repetition, as the method draws them. */
static problem make(size_t n, size_t e, size_t d, size_t most, bool bias) {
    problem p = {.n_all = n + 2, .d = d};
    const size_t ldx = d + test_below(3), ldy = e + test_below(3);
    p.x = guarded_random(p.n_all * ldx, 1 + test_below(15));
    p.w = guarded_random(d * e, 1 + test_below(15));
    p.bias = guarded_random(e, 1 + test_below(15));
    p.scale = guarded_random(n, 1 + test_below(15));
    p.y = guarded_make(p.n_all * ldy, 1 + test_below(15));
    p.rows = numbers(n), p.count = numbers(n), p.index = numbers(most);
    for (size_t i = 0; i < n; i++) {
        p.rows[i] = (uint32_t)(p.n_all - 1 - i);
        p.count[i] = (uint32_t)test_below(most + 1);
    }
    qsort(p.count, n, sizeof *p.count, descending);
    for (size_t k = 0; k < most; k++) p.index[k] = (uint32_t)test_below(d);
    p.s = (fov_sampled){.n = n,
                        .e = e,
                        .x = p.x.data,
                        .ldx = ldx,
                        .rows = p.rows,
                        .count = p.count,
                        .index = p.index,
                        .w = p.w.data,
                        .bias = bias ? p.bias.data : NULL,
                        .scale = p.scale.data,
                        .y = p.y.data,
                        .ldy = ldy};
    return p;
}

static void release(problem *p) {
    guarded *const all[] = {&p->x, &p->w, &p->bias, &p->scale, &p->y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        guarded_check(all[i]);
        guarded_free(all[i]);
    }
    free(p->rows);
    free(p->count);
    free(p->index);
}

static void check_values(const problem *p, const char *tier) {
    const fov_sampled *s = &p->s;
    char what[100];
    snprintf(what, sizeof what, "%s n=%zu e=%zu d=%zu", tier, s->n, s->e, p->d);
    for (size_t i = 0; i < s->n; i++)
        for (size_t c = 0; c < s->e; c++) {
            const float *x = s->x + s->rows[i] * s->ldx;
            plain_sum sum = {0};
            for (size_t k = 0; k < s->count[i]; k++) {
                const uint32_t a = s->index[k];
                plain_add(&sum, (double)x[a], (double)s->w[a * s->e + c]);
            }
            const double scale = (double)s->scale[i], scaled = sum.exact * scale, bias = s->bias ? (double)s->bias[c] : 0;
            /* a feature may be drawn often, and is then rounded alike each time: the worst case, not deviations */
            check_rounded(scaled + bias, s->y[s->rows[i] * s->ldy + c], 0, fabs(scale) * sum.worst + fabs(scaled) * f32_unit, what);
        }
}

/* Each row alone gives the bits it gives among others; nothing else is written. */
static void check_rows(const fov_kernels *k, problem *p) {
    const fov_sampled *s = &p->s;
    float *y = malloc((p->y.count + 1) * sizeof *y);
    assert_non_null(y);
    memcpy(y, p->y.data, p->y.count * sizeof *y);
    for (size_t i = 0; i < p->y.count; i++) p->y.data[i] = test_canary();
    for (size_t i = 0; i < s->n; i++) {
        fov_sampled one = *s;
        one.n = 1, one.rows += i, one.count += i, one.scale += i;
        k->sampled(&one);
    }
    assert_true(same_bits(y, p->y.data, p->y.count));
    for (size_t i = 0; i < p->n_all; i++)
        for (size_t c = 0; c < s->ldy; c++)
            if (c >= s->e || i < p->n_all - s->n) assert_true(is_canary(s->y[i * s->ldy + c]));
    free(y);
}

static void test_random(void **state) {
    (void)state;
    static const size_t es[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 128, 255, 256};
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t i = 0; i < 68; i++) {
            problem p = make(1 + test_below(20), es[i % 17], 1 + test_below(100), 1 + test_below(200), test_bits() & 1);
            k->sampled(&p.s);
            check_values(&p, k->name);
            check_rows(k, &p);
            release(&p);
        }
    }
}

/* A NaN in a row of X is that row's alone; a NaN in a feature nobody drew is nobody's. */
static void test_nan_isolation(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        problem p = make(9, 64, 40, 30, true);
        for (size_t i = 0; i < 9; i++) p.count[i] = (uint32_t)(30 - i);
        for (size_t i = 0; i < 30; i++) p.index[i] = (uint32_t)i;
        k->sampled(&p.s);
        float *clean = malloc(p.y.count * sizeof *clean);
        assert_non_null(clean);
        memcpy(clean, p.y.data, p.y.count * sizeof *clean);
        p.x.data[p.rows[4] * p.s.ldx + 2] = NAN;
        p.x.data[p.rows[7] * p.s.ldx + 35] = NAN;
        for (size_t c = 0; c < 64; c++) p.w.data[36 * 64 + c] = NAN;
        k->sampled(&p.s);
        for (size_t i = 0; i < 9; i++)
            for (size_t c = 0; c < 64; c++) {
                const size_t at = p.rows[i] * p.s.ldy + c;
                if (i == 4)
                    assert_true(isnan(p.y.data[at]));
                else
                    assert_true(same_bits(&clean[at], &p.y.data[at], 1));
            }
        free(clean);
        release(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_nan_isolation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
