/* test_gemm.c: gemm_block and fov_gemm_run of every tier: precision, what is written, and that a row's bits depend on nothing but
 * the row. */
#include "kernels_test.h"

#include "kernels/gemm.h"

typedef struct problem {
    fov_gemm g;
    size_t n_all; /* rows of x, y and residual */
    guarded x, w, packed, bias, residual, y, scratch;
    uint32_t *x_rows, *y_rows, *x_columns;
} problem;

enum { THREADS = 5 };

static uint32_t *permutation(size_t count) {
    uint32_t *rows = malloc(count * sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < count; i++) rows[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        const size_t j = test_below(i);
        const uint32_t t = rows[i - 1];
        rows[i - 1] = rows[j];
        rows[j] = t;
    }
    return rows;
}

enum { BIAS = 1, RESIDUAL = 2, ALIAS = 4, X_ROWS = 8, Y_ROWS = 16, X_COLUMNS = 32 };

static problem make(const fov_kernels *k, size_t n, size_t m, size_t depth, fov_activation act, unsigned flags) {
    problem p = {.n_all = n + 3};
    const size_t ldx = depth + test_below(4), ldy = m + test_below(4), ldr = flags & ALIAS ? ldy : m + test_below(4);
    p.x = guarded_random(p.n_all * ldx, 1 + test_below(15));
    p.w = guarded_random(m * depth, 1 + test_below(15));
    p.bias = guarded_random(m, 1 + test_below(15));
    p.residual = guarded_random(p.n_all * ldr, 1 + test_below(15));
    p.y = guarded_make(p.n_all * ldy, 1 + test_below(15));
    p.packed = guarded_make(fov_packed_size(m, depth), 0);
    p.scratch = guarded_make(THREADS * fov_gemm_scratch(), 0);
    p.x_rows = permutation(p.n_all);
    p.y_rows = permutation(p.n_all);
    p.x_columns = permutation(ldx);
    k->pack_t(p.w.data, depth, m, depth, p.packed.data);
    p.g = (fov_gemm){
        .n = n, .m = m, .k = depth, .x = p.x.data, .ldx = ldx, .w = p.packed.data, .act = act, .y = p.y.data, .ldy = ldy};
    if (flags & BIAS) p.g.bias = p.bias.data;
    if (flags & RESIDUAL) p.g.residual = p.residual.data, p.g.ldr = ldr;
    if (flags & ALIAS) p.g.residual = p.y.data, p.g.ldr = ldy;
    if (flags & X_ROWS) p.g.x_rows = p.x_rows;
    if (flags & Y_ROWS) p.g.y_rows = p.y_rows;
    if (flags & X_COLUMNS) p.g.x_columns = p.x_columns;
    return p;
}

static void release(problem *p) {
    guarded *const all[] = {&p->x, &p->w, &p->packed, &p->bias, &p->residual, &p->y, &p->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        guarded_check(all[i]);
        guarded_free(all[i]);
    }
    free(p->x_rows);
    free(p->y_rows);
    free(p->x_columns);
}

static size_t x_row(const problem *p, size_t i) {
    return p->g.x_rows ? p->g.x_rows[i] : i;
}

static float x_at(const problem *p, size_t i, size_t k) {
    return p->g.x[x_row(p, i) * p->g.ldx + (p->g.x_columns ? p->g.x_columns[k] : k)];
}

static size_t y_row(const problem *p, size_t i) {
    return p->g.y_rows ? p->g.y_rows[i] : i;
}

/* Columns of y, with what the run may not touch as canaries; with ALIAS the residual is put in y first. */
static void prepare_y(problem *p) {
    for (size_t i = 0; i < p->y.count; i++) p->y.data[i] = test_canary();
    if (p->g.residual != p->g.y) return;
    for (size_t i = 0; i < p->n_all; i++)
        for (size_t j = 0; j < p->g.m; j++) p->y.data[i * p->g.ldy + j] = p->residual.data[i * p->g.ldr + j];
}

static double act_double(fov_activation act, double v) {
    switch (act) {
    case FOV_ACT_GELU:
        return v * 0.5 * erfc(-v * 0.70710678118654752440);
    case FOV_ACT_RELU:
        return v > 0 ? v : 0;
    case FOV_ACT_TANH:
        return tanh(v);
    default:
        return v;
    }
}

/* What an activation adds to the error of its argument v: its largest slope times that, and its own: 1.5 |v| u of gelu in plain f32
 * (1 + erf cancels), twice that allowed as in test_elementwise.c; two units in the last place of tanh, four allowed. */
static double slope_of(fov_activation act) {
    return act == FOV_ACT_GELU ? 1.13 : 1;
}

static double own_error(fov_activation act, double v) {
    return act == FOV_ACT_GELU ? 3 * fabs(v) * f32_unit : act == FOV_ACT_TANH ? 4 * fabs(tanh(v)) * f32_unit : 0;
}

static void check_values(const problem *p, const char *tier) {
    const fov_gemm *g = &p->g;
    const double slope = slope_of(g->act);
    char what[100];
    snprintf(what, sizeof what, "%s n=%zu m=%zu k=%zu act=%d", tier, g->n, g->m, g->k, (int)g->act);
    for (size_t i = 0; i < g->n; i++)
        for (size_t j = 0; j < g->m; j++) {
            const float *w = p->w.data + j * g->k;
            plain_sum s = {0};
            for (size_t k = 0; k < g->k; k++) plain_add(&s, (double)x_at(p, i, k), (double)w[k]);
            if (g->bias) plain_add(&s, (double)g->bias[j], 1);
            const double active = act_double(g->act, s.exact);
            const double exact = active + (g->residual ? (double)p->residual.data[y_row(p, i) * g->ldr + j] : 0);
            check_rounded(exact, g->y[y_row(p, i) * g->ldy + j], slope * slope * s.variance + rounding(active * active),
                          own_error(g->act, s.exact), what);
        }
}

/* Rows that are not in the output and columns past m are as they were. */
static void check_untouched(const problem *p) {
    const fov_gemm *g = &p->g;
    bool *written = calloc(p->n_all, sizeof *written);
    assert_non_null(written);
    for (size_t i = 0; i < g->n; i++) written[y_row(p, i)] = true;
    for (size_t i = 0; i < p->n_all; i++)
        for (size_t j = 0; j < g->ldy; j++)
            if (j >= g->m || (!written[i] && g->residual != g->y)) assert_true(is_canary(g->y[i * g->ldy + j]));
    free(written);
}

static float *copy_y(const problem *p) {
    float *copy = malloc(p->y.count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, p->y.data, p->y.count * sizeof *copy);
    return copy;
}

static void check_case(const fov_kernels *k, size_t n, size_t m, size_t depth, fov_activation act, unsigned flags) {
    problem p = make(k, n, m, depth, act, flags);
    prepare_y(&p);
    fov_gemm_block(k, &p.g, 0, n, 0, fov_panels(m), p.scratch.data);
    check_values(&p, k->name);
    check_untouched(&p);
    float *whole = copy_y(&p);
    for (unsigned threads = 1; threads <= THREADS; threads += 2) {
        prepare_y(&p);
        fov_gemm_run(k, &p.g, threads, p.scratch.data);
        assert_true(same_bits(whole, p.y.data, p.y.count));
    }
    prepare_y(&p); /* any cut in rows and panels gives the same bits: here one row, one panel at a time, from the end */
    for (size_t i = n; i-- > 0;)
        for (size_t j = fov_panels(m); j-- > 0;) fov_gemm_block(k, &p.g, i, i + 1, j, j + 1, p.scratch.data);
    assert_true(same_bits(whole, p.y.data, p.y.count));
    free(whole);
    release(&p);
}

static void test_random(void **state) {
    (void)state;
    static const size_t ns[] = {1, 2, 3, 5, 6, 7, 12, 13, 14, 15, 25, 29}, ms[] = {1, 8, 15, 16, 17, 31, 32, 33, 48, 65},
                        ks[] = {1, 2, 7, 64, 383, 384, 385, 770};
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (size_t i = 0; i < 60; i++)
            check_case(k, ns[i % 12], ms[test_below(10)], ks[test_below(8)], (fov_activation)test_below(4), test_bits() & 63u);
    }
}

static void test_large(void **state) { /* more rows than a task packs, more panels than a group keeps sums of, K in blocks */
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        check_case(k, FOV_GEMM_ROWS + 1, 70, 390, FOV_ACT_GELU, BIAS | ALIAS | X_ROWS | Y_ROWS | X_COLUMNS);
        check_case(k, 2 * FOV_GEMM_ROWS, 33, 20, FOV_ACT_NONE, BIAS | RESIDUAL);
        check_case(k, 60, 14 * FOV_PANEL + 1, 2 * FOV_GEMM_KC, FOV_ACT_NONE, ALIAS);
    }
}

static void test_empty(void **state) { /* no rows or columns: nothing written; no depth: only the epilogue */
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        problem p = make(k, 5, 40, 9, FOV_ACT_NONE, BIAS);
        p.g.n = 0;
        fov_gemm_run(k, &p.g, 3, p.scratch.data);
        p.g.n = 5, p.g.m = 0;
        fov_gemm_run(k, &p.g, 3, p.scratch.data);
        for (size_t i = 0; i < p.y.count; i++) assert_true(is_canary(p.y.data[i]));
        p.g.m = 40, p.g.k = 0;
        fov_gemm_run(k, &p.g, 3, p.scratch.data);
        for (size_t i = 0; i < 5; i++) assert_true(same_bits(p.y.data + i * p.g.ldy, p.bias.data, 40));
        release(&p);
    }
}

static void test_nan_isolation(void **state) {
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) {
        for (int bad = 0; bad < 2; bad++) {
            problem p = make(k, 30, 37, 400, FOV_ACT_GELU, BIAS);
            fov_gemm_run(k, &p.g, 2, p.scratch.data);
            float *clean = copy_y(&p);
            p.x.data[17 * p.g.ldx + 111] = bad ? INFINITY : NAN;
            p.w.data[20 * p.g.k + 3] = NAN;
            k->pack_t(p.w.data, p.g.k, p.g.m, p.g.k, p.packed.data);
            fov_gemm_run(k, &p.g, 2, p.scratch.data);
            for (size_t i = 0; i < 30; i++)
                for (size_t j = 0; j < 37; j++) {
                    const float *was = clean + i * p.g.ldy + j, *is = p.y.data + i * p.g.ldy + j;
                    if (j == 20 || (i == 17 && !bad))
                        assert_true(isnan(*is));
                    else if (i != 17)
                        assert_true(same_bits(was, is, 1));
                }
            free(clean);
            release(&p);
        }
    }
}

static void test_run_all(void **state) { /* unequal gemms in one pool give what they give alone */
    (void)state;
    enum { COUNT = 9 };
    const fov_kernels *k;
    FOR_TIERS(k) {
        problem p[COUNT];
        fov_gemm g[COUNT];
        float *alone[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            p[i] = make(k, i == 4 ? 0 : 1 + test_below(200), 1 + test_below(100), 1 + test_below(100), FOV_ACT_NONE, BIAS | X_ROWS);
            g[i] = p[i].g;
            fov_gemm_run(k, &g[i], 1, p[i].scratch.data);
            alone[i] = copy_y(&p[i]);
            prepare_y(&p[i]);
        }
        fov_gemm_run_all(k, g, COUNT, 4, p[0].scratch.data);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(same_bits(alone[i], p[i].y.data, p[i].y.count));
            free(alone[i]);
            release(&p[i]);
        }
        fov_gemm_run_all(k, g, 0, 4, NULL);
    }
}

static void test_cut_panels(void **state) { /* blocks of rows whose panels are tasks too */
    (void)state;
    const fov_kernels *k;
    FOR_TIERS(k) check_case(k, 290, 13 * FOV_PANEL, 40, FOV_ACT_NONE, BIAS | RESIDUAL);
}

static void test_side_by_side(void **state) { /* gemms of one X, packed once for all of them, cut in rows and panels */
    (void)state;
    enum { COUNT = 3 };
    const fov_kernels *k;
    FOR_TIERS(k) for (unsigned threads = 1; threads <= 4; threads++) {
        problem p[COUNT];
        fov_gemm g[COUNT];
        float *alone[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            p[i] = make(k, 230, 100 + 150 * i, 50, FOV_ACT_NONE, BIAS);
            p[i].g.x = p[0].g.x;
            p[i].g.ldx = p[0].g.ldx;
            g[i] = p[i].g;
            fov_gemm_run(k, &g[i], 1, p[i].scratch.data);
            alone[i] = copy_y(&p[i]);
            prepare_y(&p[i]);
        }
        fov_gemm_run_all(k, g, COUNT, threads, p[0].scratch.data);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(same_bits(alone[i], p[i].y.data, p[i].y.count));
            free(alone[i]);
        }
        for (size_t i = 0; i < COUNT; i++) release(&p[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),    cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_empty),     cmocka_unit_test(test_nan_isolation),
                                       cmocka_unit_test(test_run_all),   cmocka_unit_test(test_side_by_side),
                                       cmocka_unit_test(test_cut_panels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
