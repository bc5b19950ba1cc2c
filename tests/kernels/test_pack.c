/* test_pack.c: both packings against the index formula, and conversions of every 16-bit value. */
#include "kernels_test.h"

#include "support/bf16.h"

static void check_pack(const fov_kernels *k, size_t m, size_t depth) {
    const size_t ldt = depth + test_below(3), ldn = m + test_below(3);
    guarded t = guarded_random(m * ldt, 3), n = guarded_random(depth * ldn, 5);
    guarded pt = guarded_make(fov_packed_size(m, depth), 0), pn = guarded_make(fov_packed_size(m, depth), 0);
    k->pack_t(t.data, ldt, m, depth, pt.data);
    k->pack_n(n.data, ldn, depth, m, pn.data);
    for (size_t i = 0; i < pt.count; i++) {
        const size_t panel = i / (FOV_PANEL * depth), row = i / FOV_PANEL % depth, j = panel * FOV_PANEL + i % FOV_PANEL;
        const float zero = 0, *from_t = j < m ? t.data + j * ldt + row : &zero, *from_n = j < m ? n.data + row * ldn + j : &zero;
        assert_true(same_bits(pt.data + i, from_t, 1));
        assert_true(same_bits(pn.data + i, from_n, 1));
    }
    guarded *const all[] = {&t, &n, &pt, &pn};
    for (size_t i = 0; i < 4; i++) {
        guarded_check(all[i]);
        guarded_free(all[i]);
    }
}

/* The words of pack_n_bf16: row 2 i below, row 2 i + 1 above, rounded. */
static void check_pack_bf16(const fov_kernels *k, size_t m, size_t depth) {
    const size_t ld = m + test_below(3), words = fov_words(FOV_TYPE_BF16, depth);
    guarded w = guarded_random(depth * ld, 5), packed = guarded_make(fov_packed_size(m, words), 0);
    k->pack_n_bf16(w.data, ld, depth, m, packed.data);
    for (size_t i = 0; i < packed.count; i++) {
        const size_t j = i / (FOV_PANEL * words) * FOV_PANEL + i % FOV_PANEL, row = i / FOV_PANEL % words * 2;
        uint16_t pair[2];
        memcpy(pair, packed.data + i, sizeof pair);
        for (size_t half = 0; half < 2; half++) {
            const uint32_t bits = (uint32_t)pair[half] << 16;
            const bool there = j < m && row + half < depth;
            float value;
            memcpy(&value, &bits, sizeof value);
            if (there)
                assert_true((double)value == bf16_of(w.data[(row + half) * ld + j]));
            else
                assert_int_equal(bits, 0);
        }
    }
    guarded_check(&w);
    guarded_check(&packed);
    guarded_free(&w);
    guarded_free(&packed);
}

static void test_pack_bf16(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t i = 0; i < 100; i++) check_pack_bf16(k, 1 + test_below(100), 1 + test_below(70));
        check_pack_bf16(k, 0, 5);
        check_pack_bf16(k, 5, 0);
        float w[3 * 17];
        for (size_t i = 0; i < 3 * 17; i++) w[i] = i % 2 ? NAN : INFINITY;
        _Alignas(64) float packed[2 * FOV_PANEL];
        k->pack_n_bf16(w, 17, 3, 17, packed);
        for (size_t i = 0; i < 3 * 17; i++) {
            const float value = fov_packed_at(FOV_TYPE_BF16, packed, NULL, 3, i % 17, i / 17);
            assert_true(i % 2 ? isnan(value) : isinf(value) && value > 0);
        }
    }
}

static void test_pack(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t i = 0; i < 100; i++) check_pack(k, 1 + test_below(100), 1 + test_below(70));
        check_pack(k, 64, 64);
        check_pack(k, 0, 5);
        check_pack(k, 5, 0);
    }
}

/* Value of a half by its definition. */
static double half_value(uint16_t bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double value = ldexp(exponent ? mantissa + 1024 : mantissa, (exponent ? exponent : 1) - 25);
    if (exponent == 31) value = mantissa ? (double)NAN : (double)INFINITY;
    return bits & 0x8000 ? -value : value;
}

static void check_float(float ours, double exact, uint32_t sign) {
    if (isnan(exact)) {
        assert_true(isnan(ours));
        return;
    }
    assert_true((double)ours == exact);
    assert_int_equal(!!signbit(ours), sign);
}

static void test_convert(void **state) {
    (void)state;
    enum { ALL = 65536 };
    uint16_t *bits = malloc(ALL * sizeof *bits);
    assert_non_null(bits);
    for (size_t i = 0; i < ALL; i++) bits[i] = (uint16_t)i;
    const fov_kernels *k;
    FOR_TIERS(k) {
        guarded y = guarded_make(ALL, 1);
        k->from_f16(bits, y.data, ALL);
        for (size_t i = 0; i < ALL; i++) check_float(y.data[i], half_value(bits[i]), bits[i] >> 15);
        k->from_bf16(bits, y.data, ALL);
        for (size_t i = 0; i < ALL; i++) { /* a bf16 is the upper half of an f32 */
            const uint32_t wide = (uint32_t)i << 16;
            assert_memory_equal(&y.data[i], &wide, 4);
        }
        guarded_check(&y);
        guarded_free(&y);
        for (size_t count = 0; count < 40; count++) { /* tails */
            y = guarded_make(count, count % 7);
            k->from_f16(bits + 0x3bf1, y.data, count);
            for (size_t i = 0; i < count; i++) check_float(y.data[i], half_value(bits[0x3bf1 + i]), 0);
            guarded_check(&y);
            k->from_bf16(bits + 1, y.data, count);
            guarded_check(&y);
            guarded_free(&y);
        }
    }
    free(bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pack), cmocka_unit_test(test_pack_bf16),
                                       cmocka_unit_test(test_convert)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
