/* test_score.c: scores of chosen keys against double, scores in 8 bits exactly, and the k largest against a sort, every tier. */
#include "kernels/kernels_test.h"

static void check_dots(const fov_kernels *k, size_t n, size_t rows, size_t cols, size_t ldw) {
    guarded x = guarded_random(cols, 1), w = guarded_random(rows * ldw, 3), y = guarded_make(n, 5);
    uint32_t *index = malloc((n + 1) * sizeof *index);
    assert_non_null(index);
    for (size_t i = 0; i < n; i++) index[i] = (uint32_t)test_below(rows);
    for (size_t i = 0; i < rows; i++) /* beyond the columns: not read */
        for (size_t c = cols; c < ldw; c++) w.data[i * ldw + c] = test_canary();
    k->dots(x.data, index, n, w.data, ldw, cols, y.data);
    for (size_t i = 0; i < n; i++) {
        double exact = 0, size = 0;
        for (size_t c = 0; c < cols; c++) {
            const double part = (double)x.data[c] * (double)w.data[index[i] * ldw + c];
            exact += part;
            size += fabs(part);
        }
        if (!(fabs((double)y.data[i] - exact) <=
              (double)(cols + 1) * 0x1p-24 * size)) /* cols roundings of at most the sum of sizes */
            fail_msg("%s: dot %zu of %zu, %zu columns: %.9g, not %.9g", k->name, i, n, cols, (double)y.data[i], exact);
    }
    /* alone as among others, bit for bit */
    for (size_t i = 0; i < n; i++) {
        float one;
        k->dots(x.data, index + i, 1, w.data, ldw, cols, &one);
        assert_true(same_bits(&one, y.data + i, 1));
    }
    guarded_check(&y);
    guarded_free(&x);
    guarded_free(&w);
    guarded_free(&y);
    free(index);
}

static void test_dots(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k)
    for (size_t cols = 0; cols < 140; cols += cols < 70 ? 1 : 13)
        for (size_t n = 0; n < 40; n += n < 20 ? 1 : 7) check_dots(k, n, 30, cols, cols + test_below(4) + 1);
}

/* size: values as large as they get, of one sign, so that a sum of pairs in 16 bits would not fit. */
static void check_i8(const fov_kernels *k, size_t n, size_t m, size_t depth, bool large) {
    const size_t wide = (m + 31) / 32 * 32, ldy = m + test_below(5);
    int8_t *x = malloc(n * depth + 1);
    uint8_t *w = aligned_alloc(64, (wide * depth + 64) / 64 * 64);
    int *plain = malloc((m * depth + 1) * sizeof *plain);
    guarded scale = guarded_random(wide, 1), shift = guarded_random(wide, 3), y = guarded_make(n * ldy, 5);
    assert_true(x && w && plain);
    for (size_t i = 0; i < n * depth; i++) x[i] = (int8_t)(large ? 127 : (int)test_below(255) - 127);
    memset(w, 128, wide * depth);
    for (size_t j = 0; j < m; j++)
        for (size_t c = 0; c < depth; c++) {
            plain[j * depth + c] = large ? (j & 1 ? 127 : -127) : (int)test_below(255) - 127;
            w[j / 32 * 32 * depth + c / 4 * 128 + j % 32 * 4 + c % 4] = (uint8_t)(plain[j * depth + c] + 128);
        }
    for (size_t j = m; j < wide; j++) scale.data[j] = shift.data[j] = 0;
    for (size_t j = 0; j < m; j += 5) shift.data[j] = -INFINITY;
    const fov_score_i8 s = {n, m, depth, x, w, scale.data, shift.data, y.data, ldy};
    k->score_i8(&s);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < ldy; j++) {
            long sum = 0;
            for (size_t c = 0; c < depth && j < m; c++) sum += (long)x[i * depth + c] * plain[j * depth + c];
            const volatile float product = j < m ? (float)sum * scale.data[j] : 0; /* volatile: rounded before it is added to */
            const float want = j < m ? product + shift.data[j] : test_canary();
            if (!same_bits(&want, &y.data[i * ldy + j], 1))
                fail_msg("%s: row %zu, key %zu of %zu x %zu x %zu: %.9g, not %.9g", k->name, i, j, n, m, depth,
                         (double)y.data[i * ldy + j], (double)want);
        }
    guarded_check(&y);
    guarded_free(&scale);
    guarded_free(&shift);
    guarded_free(&y);
    free(x);
    free(w);
    free(plain);
}

static void test_score_i8(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t n = 0; n < 32; n++) check_i8(k, n, 1 + test_below(100), 4 * (1 + test_below(20)), n & 1);
        for (size_t m = 0; m < 70; m++) check_i8(k, 1 + test_below(20), m, 64, m & 1);
        check_i8(k, 3, 600, 4, true);           /* more than a group of panels */
        check_i8(k, 60, 33, FOV_I8_MOST, true); /* and of rows */
    }
}

typedef struct ranked {
    float value;
    size_t place;
} ranked;

static int rank_of(float x, float y) { /* -1: x before y */
    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x);
    return (x < y) - (x > y);
}

static int compare(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    const int order = rank_of(x->value, y->value);
    return order ? order : x->place < y->place ? -1 : 1;
}

enum { NORMAL, TIES, EQUAL, ODD, KINDS };

static void check_keep(const fov_kernels *k, size_t n, size_t keep, int kind) {
    static const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-42f, -1e-42f, FLT_MAX};
    guarded value = guarded_random(n, 1), index = guarded_make(n, 3), spare = guarded_make(2 * n, 5);
    ranked *order = malloc((n + 1) * sizeof *order);
    bool *kept = calloc(n + 1, sizeof *kept);
    float *before = malloc((n + 1) * sizeof *before), least = -77;
    assert_true(order && kept && before);
    uint32_t *to = (uint32_t *)(void *)index.data;
    for (size_t i = 0; i < n; i++) {
        if (kind == TIES) value.data[i] = (float)test_below(5);
        if (kind == EQUAL) value.data[i] = 3;
        if (kind == ODD) value.data[i] = odd[test_below(8)];
        before[i] = value.data[i];
        to[i] = (uint32_t)(7 * i + 1);
        order[i] = (ranked){value.data[i], i};
    }
    qsort(order, n, sizeof *order, compare);
    for (size_t i = 0; i < keep && i < n; i++) kept[order[i].place] = true;
    const size_t count = k->keep_largest(value.data, to, n, keep, (uint32_t *)(void *)spare.data, &least);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!kept[i]) continue;
        if (!(at < count && same_bits(&value.data[at], &before[i], 1) && to[at] == 7 * i + 1))
            fail_msg("%s: n %zu, k %zu, kind %d: place %zu is not value %zu", k->name, n, keep, kind, at, i);
        at++;
    }
    assert_int_equal(count, at);
    if (keep && n >= keep) assert_int_equal(rank_of(least, order[keep - 1].value), 0);
    guarded_check(&value);
    guarded_check(&index);
    guarded_check(&spare);
    guarded_free(&value);
    guarded_free(&index);
    guarded_free(&spare);
    free(order);
    free(kept);
    free(before);
}

static void test_keep(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k)
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t n = 0; n < 400; n += n < 70 ? 1 : 29)
            for (size_t keep = 0; keep < n + 2; keep += n < 40 ? 1 : 1 + test_below(17)) check_keep(k, n, keep, kind);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dots), cmocka_unit_test(test_score_i8), cmocka_unit_test(test_keep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
