/* test_window_values.c: windowed attention with Monte-Carlo values, as the encoder puts them together: weights, importance, values
 * by it, and then Y = A V. */
#include "support/window_reference.h"
#include "values/values.h"

enum { VALUE_WIDTH = 24 };

typedef struct projection {
    float *x, *w, *b, *packed, *work;
} projection;

/* weights -> importance -> mca -> apply, as the encoder does; t->a.v becomes what mca made. */
static void run_mca(window_problem *t, const fov_kernels *kernels, const projection *j, const char *method,
                    const stored_weights *s) {
    const fov_attention *p = &t->a.p;
    const size_t n = t->a.k_offsets[p->texts], d = VALUE_WIDTH;
    size_t count;
    const fov_method_info *const *infos = fov_values_infos(&count);
    fov_setting setting;
    void *bound;
    uint64_t hashes[MAX_TEXTS] = {11, 12, 13, 14, 15};
    double done = 0;
    assert_int_equal(fov_setting_parse(&setting, infos, count, method, NULL), FOV_OK);
    const fov_value_weights w = {.width = d, .heads = p->heads, .head_size = p->head_size, .packed = j->packed, .bias = j->b};
    const fov_values_size size = {n, p->texts, t->a.longest, d, p->heads, p->head_size, 2};
    void *scratch = block_make(fov_values_mca.workspace(&size) / sizeof(float) + 16, NAN);
    float *gemm = block_make(2 * fov_gemm_scratch(), NAN);
    assert_int_equal(fov_values_mca.bind(&setting, &w, fov_allocator_or_default(NULL), &bound, NULL), FOV_OK);
    attention_problem_stored(&t->a, kernels, 2, s); /* for the importance */
    const fov_values_run run = {kernels, &setting, &w, bound, 2, scratch, gemm, &done};
    const fov_values values = {.texts = p->texts,
                               .offsets = t->a.k_offsets,
                               .hashes = hashes,
                               .x = j->x,
                               .ldx = d,
                               .v = t->a.v,
                               .ldv = p->ldv,
                               .col_max = s->col_max,
                               .col_energy = s->col_energy,
                               .work = j->work};
    fov_values_mca.forward(&run, &values);
    attention_problem_stored(&t->a, kernels, 2, s);
    fov_release(fov_allocator_or_default(NULL), bound);
    free(scratch);
    free(gemm);
}

/* Eq. 9 in double, from the reference's importance: the share of the projection between what max (1 -+ 1e-4) gives. */
static void check_work(const window_problem *t, const projection *j, double alpha) {
    const fov_attention *p = &t->a.p;
    for (size_t b = 0; b < p->texts; b++) {
        double low[MAX_LENGTH] = {0}, high[MAX_LENGTH] = {0}, a[MAX_LENGTH], slack;
        const size_t keys = problem_keys(&t->a, b);
        for (size_t h = 0; h < p->heads; h++) {
            double most[MAX_LENGTH] = {0};
            for (size_t i = 0; i < keys; i++) {
                local_weights(t, b, h, i, a, &slack);
                for (size_t k = 0; k < keys; k++) most[k] = fmax(most[k], a[k]);
            }
            for (size_t k = 0; k < keys; k++) {
                const double r = (double)keys * most[k] / alpha, share = 1 / (double)(VALUE_WIDTH * p->heads);
                low[k] += share * fmin(fmax(ceil(r * r * .9998), 1), VALUE_WIDTH);
                high[k] += share * fmin(fmax(ceil(r * r * 1.0002), 1), VALUE_WIDTH);
            }
        }
        for (size_t k = 0; k < keys; k++) {
            const double work = (double)j->work[t->a.k_offsets[b] + k];
            if (!(work >= low[k] - 1e-5 && work <= high[k] + 1e-5))
                fail_msg("token %zu of text %zu: %.6g of the projection, not %.6g to %.6g", k, b, work, low[k], high[k]);
        }
    }
}

static void check_exact_values(const window_problem *t, const projection *j) {
    const fov_attention *p = &t->a.p;
    for (size_t i = t->a.k_offsets[0]; i < t->a.k_offsets[p->texts]; i++)
        for (size_t c = 0; c < p->heads * p->head_size; c++) {
            double sum = (double)j->b[c], size = fabs(sum);
            for (size_t k = 0; k < VALUE_WIDTH; k++) {
                const double term = (double)j->x[i * VALUE_WIDTH + k] * (double)j->w[c * VALUE_WIDTH + k];
                sum += term;
                size += fabs(term);
            }
            check_near((double)t->a.v[i * p->ldv + c], sum, size * problem_unit * (VALUE_WIDTH + 2), "v", 0, c, i);
        }
}

/* Window with mca: r from the local weights, Y = A V~ for the V~ that mca made, global rows exact whatever V~ is. */
static void test_mca(void **state) {
    (void)state;
    FOR_EACH_TIER(kernels)
    for (uint64_t seed = 500; seed < 506; seed++) {
        window_problem t;
        window_problem_make(&t, seed, ALL_ROWS);
        test_rng rng = {seed};
        const size_t c = t.a.p.heads * t.a.p.head_size, n = t.a.k_offsets[t.a.p.texts], e = t.a.p.head_size;
        projection j = {block_rows(&rng, 0, n, VALUE_WIDTH, VALUE_WIDTH, 1), block_rows(&rng, 0, c, VALUE_WIDTH, VALUE_WIDTH, 1),
                        block_rows(&rng, 0, 1, c, c, 1), block_make(t.a.p.heads * fov_packed_size(e, VALUE_WIDTH), NAN),
                        block_make(n, NAN)};
        for (size_t h = 0; h < t.a.p.heads; h++)
            kernels->pack_t(j.w + h * e * VALUE_WIDTH, VALUE_WIDTH, e, VALUE_WIDTH, j.packed + h * fov_packed_size(e, VALUE_WIDTH));
        stored_weights s = stored_make(&t.a);
        run_mca(&t, kernels, &j, "mca:alpha=1", &s);
        check_work(&t, &j, 1);
        check_outputs(&t);
        run_mca(&t, kernels, &j, "mca:alpha=1e-9", &s);
        if (!t.a.mask) check_exact_values(&t, &j); /* a key that is not there has no importance, so one draw */
        check_outputs(&t);
        stored_free(&s);
        float *blocks[] = {j.x, j.w, j.b, j.packed, j.work};
        for (size_t i = 0; i < 5; i++) free(blocks[i]);
        window_problem_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
