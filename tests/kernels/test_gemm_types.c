/* test_gemm_types.c: gemms in bf16 and int8 on every tier: bf16 against the double product of rounded inputs with the error bound
 * of f32 sums, int8 against exact whole numbers and the quantisation's own bound; rows alone, threads, values that are not finite.
 */
#include "kernels_test.h"

#include "kernels/gemm.h"
#include "kernels/tile.h"
#include "support/bf16.h"

/* x with 8 significant bits by the definition. */
static double rounded(float x) {
    int exponent;
    const double mantissa = frexp((double)x, &exponent);
    return ldexp(nearbyint(ldexp(mantissa, 8)), exponent - 8);
}

enum { THREADS = 5 };

typedef struct problem {
    fov_gemm g;
    guarded x, w, packed, bias, residual, y, scratch, scale, words;
    int32_t *sum;
} problem;

static problem make(const fov_kernels *k, fov_type type, size_t n, size_t m, size_t depth, const float *x, const float *w) {
    problem p = {.x = guarded_random(n * depth, 3),
                 .w = guarded_random(m * depth, 5),
                 .packed = guarded_make(fov_packed_size(m, fov_words(type, depth)), 0),
                 .bias = guarded_random(m, 1),
                 .residual = guarded_random(n * m, 7),
                 .y = guarded_make(n * m, 2),
                 .scratch = guarded_make(THREADS * fov_gemm_scratch(), 0),
                 .scale = guarded_make(m, 9),
                 .words = guarded_make(FOV_PANEL * fov_words(type, depth), 0),
                 .sum = calloc(m + 1, sizeof(int32_t))};
    assert_non_null(p.sum);
    if (x) memcpy(p.x.data, x, n * depth * sizeof *x);
    if (w) memcpy(p.w.data, w, m * depth * sizeof *w);
    fov_pack_type(k, type, p.w.data, depth, m, depth, p.packed.data, p.scale.data, p.sum, p.words.data);
    p.g = (fov_gemm){.n = n,
                     .m = m,
                     .k = depth,
                     .type = type,
                     .x = p.x.data,
                     .ldx = depth,
                     .w = p.packed.data,
                     .w_scale = p.scale.data,
                     .w_sum = p.sum,
                     .bias = p.bias.data,
                     .residual = p.residual.data,
                     .ldr = m,
                     .y = p.y.data,
                     .ldy = m};
    return p;
}

static void release(problem *p) {
    guarded *const all[] = {&p->x, &p->w, &p->packed, &p->bias, &p->residual, &p->y, &p->scratch, &p->scale, &p->words};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        guarded_check(all[i]);
        guarded_free(all[i]);
    }
    free(p->sum);
}

/* f32 sums in any order: |error| <= gamma(K + 3) sum |x w| (Higham, "Accuracy and Stability", 3.1), and the last roundings. */
static void check_bf16(const problem *p, const char *tier) {
    const fov_gemm *g = &p->g;
    const double unit = 0x1p-24, gamma = (double)(g->k + 3) * unit * 1.01;
    for (size_t i = 0; i < g->n; i++)
        for (size_t j = 0; j < g->m; j++) {
            double exact = 0, size = 0;
            for (size_t k = 0; k < g->k; k++) {
                const double product = bf16_of(p->x.data[i * g->k + k]) * bf16_of(p->w.data[j * g->k + k]);
                exact += product;
                size += fabs(product);
            }
            const double whole = exact + (double)g->bias[j] + (double)g->residual[i * g->m + j];
            const double bound = gamma * size + 3 * unit * (fabs(exact) + fabs((double)g->bias[j]) + fabs(whole));
            const double error = fabs((double)g->y[i * g->m + j] - whole);
            if (!(error <= bound)) fail_msg("%s n=%zu m=%zu k=%zu: error %g, bound %g", tier, g->n, g->m, g->k, error, bound);
        }
}

static const size_t shapes[][3] = {{1, 1, 1},       {1, 33, 7},      {3, 32, 16},     {13, 31, 64},  {14, 65, 30},
                                   {17, 96, 33},    {32, 40, 97},    {33, 64, 770},   {47, 70, 200}, {169, 34, 50},
                                   {200, 300, 768}, {12, 130, 1601}, {170, 64, 3080}, {290, 400, 64}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void test_bf16(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) for (size_t s = 0; s < SHAPES; s++) {
        problem p = make(k, FOV_TYPE_BF16, shapes[s][0], shapes[s][1], shapes[s][2], NULL, NULL);
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        check_bf16(&p, k->name);
        release(&p);
    }
}

/* Y in bf16 is Y rounded, at rows of its own too; and the product of such an X has the bits of that of f32. */
static void test_stored_bf16(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) for (size_t s = 0; k->tiles[FOV_TYPE_BF16]->stores_bf16 && s < SHAPES; s++) {
        const size_t n = shapes[s][0], m = shapes[s][1];
        problem up = make(k, FOV_TYPE_BF16, n, m, shapes[s][2], NULL, NULL);
        guarded half = guarded_make((n * m + 1) / 2, 3);
        uint16_t *rounded_y = calloc(n * m, sizeof *rounded_y);
        uint32_t *reversed = calloc(n, sizeof *reversed);
        assert_true(rounded_y && reversed);
        for (size_t i = 0; i < n; i++) reversed[i] = (uint32_t)(n - 1 - i);
        up.g.residual = NULL;
        up.g.act = s % 2 ? FOV_ACT_GELU : FOV_ACT_NONE;
        up.g.y_rows = s % 3 ? NULL : reversed;
        fov_gemm_run(k, &up.g, 1, up.scratch.data);
        k->to_bf16(up.y.data, rounded_y, n * m);
        fov_gemm stored = up.g;
        stored.y = half.data;
        stored.y_bf16 = true;
        fov_gemm_run(k, &stored, THREADS, up.scratch.data);
        assert_memory_equal(half.data, rounded_y, n * m * sizeof *rounded_y);
        problem down = make(k, FOV_TYPE_BF16, n, 70, m, up.y.data, NULL);
        down.g.x_rows = s % 4 ? NULL : reversed;
        fov_gemm_run(k, &down.g, 1, down.scratch.data);
        guarded y = guarded_make(n * 70, 0);
        memcpy(y.data, down.y.data, n * 70 * sizeof(float));
        fov_gemm f32 = {.type = FOV_TYPE_F32}, chained = up.g;
        fov_gemm_chain(k, &chained, &down.g);
        assert_true(chained.y_bf16 && down.g.x_bf16);
        fov_gemm_chain(k, &chained, &f32);
        assert_false(chained.y_bf16 || f32.x_bf16);
        fov_gemm_chain(k, &f32, &chained);
        assert_false(f32.y_bf16 || chained.x_bf16);
        down.g.x = half.data;
        memset(down.scratch.data, 0xff, THREADS * fov_gemm_scratch() * sizeof(float)); /* NaN in every word that is not written */
        fov_gemm_run(k, &down.g, s % 2 ? 1 : THREADS, down.scratch.data);
        assert_true(same_bits(y.data, down.y.data, n * 70));
        free(rounded_y);
        free(reversed);
        guarded *const all[] = {&half, &y};
        for (size_t i = 0; i < 2; i++) {
            guarded_check(all[i]);
            guarded_free(all[i]);
        }
        release(&up);
        release(&down);
    }
}

/* GELU of the bias alone: a few roundings of the argument, as in f32; from avx512 up the 8e-6 of a polynomial (avx512.h) besides,
 * and near 0 its 2^-11 of the value. */
static void test_gelu(void **state) {
    (void)state;
    const fov_kernels *k;
    enum { M = 4001, N = 3 };
    static const float zeros[M];
    static const fov_type types[] = {FOV_TYPE_BF16, FOV_TYPE_INT8};
    FOR_TIERS(k) for (size_t t = 0; t < 2; t++) {
        problem p = make(k, types[t], N, M, 1, zeros, NULL);
        for (size_t j = 0; j < M; j++) p.bias.data[j] = (float)j / 250 - 8;
        p.bias.data[7] = INFINITY;
        p.bias.data[40] = -INFINITY;
        p.bias.data[77] = NAN;
        for (int e = 0; e < 30; e++) p.bias.data[100 + e] = ldexpf(e % 2 ? 1.0f : -1.0f, -e);
        p.g.act = FOV_ACT_GELU;
        p.g.residual = NULL;
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        for (size_t i = 0; i < N; i++) {
            const float *y = p.g.y + i * M;
            for (size_t j = 0; j < M; j++) {
                const double v = (double)p.bias.data[j], exact = v * 0.5 * erfc(-v * 0.70710678118654752);
                if (!isfinite(v)) continue;
                const double own =
                    fmin(8.0e-6, 0x1p-10 * fabs(v)) * (strncmp(k->name, "avx512", 6) == 0 || !strcmp(k->name, "amx"));
                if (!(fabs((double)y[j] - exact) <= own + 3 * 0x1p-24 * fabs(v)))
                    fail_msg("%s type %d: gelu of %g is %g, not %g", k->name, (int)types[t], v, (double)y[j], exact);
            }
            assert_true(y[2000] == 0); /* of 0 */
            assert_true(y[7] == INFINITY && fabsf(y[40]) <= 8.0e-6f && isnan(y[77]));
        }
        release(&p);
    }
}

/* Rounding itself: all upper halves with lower halves around the tie. */
static void test_to_bf16(void **state) {
    (void)state;
    const fov_kernels *k;
    static const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    FOR_TIERS(k) for (uint32_t upper = 0; upper < 0x10000; upper += 7) {
        float x[6];
        uint16_t y[6];
        for (size_t i = 0; i < 6; i++) {
            const uint32_t bits = upper << 16 | lower[i];
            memcpy(&x[i], &bits, sizeof bits);
        }
        k->to_bf16(x, y, 6);
        for (size_t i = 0; i < 6; i++) {
            const uint32_t bits = (uint32_t)y[i] << 16;
            float back;
            memcpy(&back, &bits, sizeof back);
            if (isnan(x[i]))
                assert_true(isnan(back));
            else if (isinf(x[i]) || fabs((double)x[i]) < 0x1p-126) /* bf16 has the subnormals of f32's upper half */
                assert_true(fabs((double)back - (double)x[i]) <= 0x1p-134 || back == x[i]);
            else if (fabs(rounded(x[i])) > (double)FLT_MAX)
                assert_true(isinf(back) && (back > 0) == (x[i] > 0));
            else
                assert_true((double)back == rounded(x[i]) && bf16_of(x[i]) == rounded(x[i]));
        }
    }
}

/* Whole numbers whose scales are 1: x in [-100, 155] with both ends in every row, so often that none is left out of the range,
 * |w| <= 127 with 127 in every row. Then the products are exact and so is y as long as it stays below 2^24. wide: among them as
 * many large values as a row may have, which need more than a byte. */
static void check_int8_whole(bool wide) {
    const fov_kernels *k;
    FOR_TIERS(k) for (size_t s = 0; s < SHAPES; s++) {
        const size_t n = shapes[s][0], m = shapes[s][1], depth = shapes[s][2];
        if (depth < 2) continue;
        float *x = malloc(n * depth * sizeof *x), *w = malloc(m * depth * sizeof *w);
        assert_true(x && w);
        for (size_t i = 0; i < n * depth; i++) {
            const size_t c = i % depth;
            x[i] = c % 64 == 0 ? -100 : c % 64 == 1 ? 155 : (float)test_below(256) - 100;
        }
        const size_t large = !wide || depth < 128 ? 0 : 1 + depth / 512 < FOV_WIDE ? 1 + depth / 512 : FOV_WIDE;
        for (size_t i = 0; i < n; i++)
            for (size_t o = 0; o < large; o++) { /* of both signs, in every byte of a word */
                const float size = (float)(156 + test_below(o ? 2000 : 30000));
                x[i * depth + 65 * o + 16] = (i + o) % 2 ? size : -size;
            }
        for (size_t i = 0; i < m * depth; i++) w[i] = i % depth == i / depth % depth ? 127 : (float)test_below(255) - 127;
        problem p = make(k, FOV_TYPE_INT8, n, m, depth, x, w);
        p.g.bias = p.g.residual = NULL;
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < m; j++) {
                double exact = 0;
                for (size_t c = 0; c < depth; c++) exact += (double)x[i * depth + c] * (double)w[j * depth + c];
                /* f32 rounds once above 2^24, and the scales may be an ulp from 1 */
                if (!(fabs((double)p.g.y[i * m + j] - exact) <= fabs(exact) * 0x1p-22))
                    fail_msg("%s n=%zu m=%zu k=%zu: %g, not %g", k->name, n, m, depth, (double)p.g.y[i * m + j], exact);
            }
        release(&p);
        free(x);
        free(w);
    }
}

static void test_int8_whole(void **state) {
    (void)state;
    check_int8_whole(false);
}

static void test_int8_wide(void **state) {
    (void)state;
    check_int8_whole(true);
}

/* A row of small values and a few large: the error is that of the small ones' range, so that the large cost the others nothing;
 * of large ones beyond 2^7 times that, a 16 bit number's. */
static void test_int8_outliers(void **state) {
    (void)state;
    enum { N = 9, M = 40, K = 1100 };
    const fov_kernels *k;
    FOR_TIERS(k) for (float large = 16; large < 1e6f; large *= 9) {
        float x[N * K], w[M * K];
        double small = 0;
        for (size_t i = 0; i < N * K; i++) small = fmax(small, fabs((double)(x[i] = test_float())));
        assert_true(small < (double)large / 3);
        for (size_t i = 0; i < M * K; i++) w[i] = i % K == i / K ? 127 : (float)test_below(255) - 127; /* exact in int8 */
        for (size_t i = 0; i < N; i++) x[i * K + 7 * i] = large, x[i * K + 7 * i + 300] = -large / 2, x[i * K + K - 1] = large / 3;
        problem p = make(k, FOV_TYPE_INT8, N, M, K, x, w);
        p.g.bias = p.g.residual = NULL;
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        const double step = fmax(2 * small / 255, (double)large / (240 * 127.5));
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < M; j++) {
                double exact = 0, bound = 0, size = 0;
                for (size_t c = 0; c < K; c++) {
                    const double product = (double)x[i * K + c] * (double)w[j * K + c];
                    exact += product;
                    size += fabs(product);
                    bound += fabs((double)w[j * K + c]) * step; /* half a step, and half for the zero's rounding */
                }
                const double error = fabs((double)p.g.y[i * M + j] - exact);
                if (!(error <= bound + size * 0x1p-20))
                    fail_msg("%s large=%g: error %g, bound %g", k->name, (double)large, error, bound);
            }
        release(&p);
    }
}

/* Real numbers: a weight is off by at most half its step, a value of X by half its row's step, the largest by one (the zero is
 * rounded): |error| <= sum |x| dw + |w| dx + dx dw. All tiers give the same bits: the sums are whole numbers. */
static void test_int8_real(void **state) {
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        const size_t n = shapes[s][0], m = shapes[s][1], depth = shapes[s][2];
        guarded x = guarded_random(n * depth, 0), w = guarded_random(m * depth, 0), first = guarded_make(n * m, 0);
        const fov_kernels *k;
        bool any = false;
        FOR_TIERS(k) {
            problem p = make(k, FOV_TYPE_INT8, n, m, depth, x.data, w.data);
            p.g.bias = p.g.residual = NULL;
            fov_gemm_run(k, &p.g, 1, p.scratch.data);
            if (any)
                assert_true(same_bits(first.data, p.y.data, n * m));
            else
                memcpy(first.data, p.y.data, n * m * sizeof(float));
            any = true;
            release(&p);
        }
        for (size_t i = 0; i < n; i++) {
            double low = 0, high = 0;
            for (size_t c = 0; c < depth; c++) {
                low = fmin(low, (double)x.data[i * depth + c]);
                high = fmax(high, (double)x.data[i * depth + c]);
            }
            const double dx = (high - low) / 255;
            for (size_t j = 0; j < m; j++) {
                double exact = 0, bound = 0, most = 0;
                for (size_t c = 0; c < depth; c++) most = fmax(most, fabs((double)w.data[j * depth + c]));
                const double dw = most / 127 / 2;
                for (size_t c = 0; c < depth; c++) {
                    const double a = (double)x.data[i * depth + c], b = (double)w.data[j * depth + c];
                    exact += a * b;
                    bound += fabs(a) * dw + fabs(b) * dx + dx * dw;
                }
                const double error = fabs((double)first.data[i * m + j] - exact);
                if (!(error <= bound * 1.0001)) fail_msg("n=%zu m=%zu k=%zu: error %g, bound %g", n, m, depth, error, bound);
            }
        }
        guarded_free(&x);
        guarded_free(&w);
        guarded_free(&first);
    }
}

/* A row's bits depend on the row alone: not on its neighbours, the tile it falls in, or the threads. */
static void test_rows_alone(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) for (fov_type type = FOV_TYPE_BF16; type <= FOV_TYPE_INT8; type++) for (size_t s = 0; s < SHAPES; s++) {
        const size_t n = shapes[s][0], m = shapes[s][1], depth = shapes[s][2];
        problem p = make(k, type, n, m, depth, NULL, NULL);
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        guarded all = guarded_make(n * m, 0);
        memcpy(all.data, p.y.data, n * m * sizeof(float));
        fov_gemm_run(k, &p.g, THREADS, p.scratch.data);
        assert_true(same_bits(all.data, p.y.data, n * m));
        for (size_t i = 0; i < n; i += 1 + n / 5) {
            fov_gemm one = p.g;
            one.n = 1;
            one.x += i * depth;
            one.y += i * m;
            one.residual += i * m;
            fov_gemm_run(k, &one, 1, p.scratch.data);
            assert_true(same_bits(all.data + i * m, p.y.data + i * m, m));
        }
        guarded_free(&all);
        release(&p);
    }
}

static void test_not_finite(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const fov_kernels *k;
    FOR_TIERS(k) for (size_t b = 0; b < 3; b++) {
        problem p = make(k, FOV_TYPE_INT8, 5, 40, 70, NULL, NULL);
        p.x.data[2 * 70 + 69] = bad[b];
        memset(p.x.data + 3 * 70, 0, 70 * sizeof(float));
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 40; j++) assert_int_equal(isnan(p.y.data[i * 40 + j]), i == 2);
        for (size_t j = 0; j < 40; j++) /* a row of zeros */
            assert_true(p.y.data[3 * 40 + j] == p.bias.data[j] + p.residual.data[3 * 40 + j]);
        release(&p);
        p = make(k, FOV_TYPE_BF16, 5, 40, 70, NULL, NULL);
        p.x.data[2 * 70 + 69] = NAN;
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 40; j++) assert_int_equal(isnan(p.y.data[i * 40 + j]), i == 2);
        release(&p);
    }
}

/* A weight that is not finite spoils its own column, and no other. */
static void test_not_finite_weight(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const fov_kernels *k;
    FOR_TIERS(k) for (size_t b = 0; b < 3; b++) for (fov_type type = FOV_TYPE_BF16; type <= FOV_TYPE_INT8; type++) {
        float w[40 * 70];
        for (size_t i = 0; i < 40 * 70; i++) w[i] = test_float();
        w[33 * 70 + 69] = bad[b];
        problem p = make(k, type, 5, 40, 70, NULL, w);
        fov_gemm_run(k, &p.g, 1, p.scratch.data);
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 40; j++) assert_int_equal(isfinite(p.y.data[i * 40 + j]) == 0, j == 33);
        release(&p);
    }
}

/* fov_packed_at reads back what was packed: bf16's rounding, int8 within half a step. */
static void test_packed_at(void **state) {
    (void)state;
    const fov_kernels *k = fov_kernels_named("ref");
    problem f = make(k, FOV_TYPE_F32, 1, 37, 19, NULL, NULL), b = make(k, FOV_TYPE_BF16, 1, 37, 19, NULL, f.w.data);
    problem q = make(k, FOV_TYPE_INT8, 1, 37, 19, NULL, f.w.data);
    for (size_t j = 0; j < 37; j++)
        for (size_t i = 0; i < 19; i++) {
            const float w = f.w.data[j * 19 + i];
            assert_true(fov_packed_at(FOV_TYPE_F32, f.packed.data, NULL, 19, j, i) == w);
            assert_true((double)fov_packed_at(FOV_TYPE_BF16, b.packed.data, NULL, 19, j, i) == bf16_of(w));
            const float back = fov_packed_at(FOV_TYPE_INT8, q.packed.data, q.scale.data, 19, j, i);
            assert_true(fabsf(back - w) <= q.scale.data[j] * 0.50001f);
        }
    release(&f);
    release(&b);
    release(&q);
}

int main(void) {
    if (!tier_number(0)) {
        puts("skipped: this processor cannot run the tier");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_stored_bf16), cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_to_bf16),       cmocka_unit_test(test_int8_whole),  cmocka_unit_test(test_int8_wide),
        cmocka_unit_test(test_int8_outliers), cmocka_unit_test(test_int8_real),   cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_not_finite),    cmocka_unit_test(test_packed_at),   cmocka_unit_test(test_not_finite_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
