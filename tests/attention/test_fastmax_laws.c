/* test_fastmax_laws.c: what must hold of Fastmax whatever the numbers are, on one text and head: rows of weights sum to 1, masked
 * keys are not there, later keys are not seen, how far it is from softmax, and what is counted. */
#include <stdio.h>

#include "support/fastmax_reference.h"

enum { N = 61, D = 9 };

typedef struct single {
    size_t q_offsets[2], k_offsets[2];
    float q[N * D], k[N * D], v[N * D], y[N * D];
    uint8_t mask[N];
    fov_attention p;
    fov_setting setting;
} single;

static single *single_make(uint64_t seed, size_t queries, size_t keys, const char *setting) {
    single *s = calloc(1, sizeof *s);
    assert_non_null(s);
    test_rng rng = rng_of(seed);
    for (size_t i = 0; i < N * D; i++) {
        s->q[i] = test_float(&rng);
        s->k[i] = test_float(&rng);
        s->v[i] = test_float(&rng);
    }
    memset(s->mask, 1, sizeof s->mask);
    s->setting = setting_of(&fov_attention_fastmax, setting);
    s->q_offsets[1] = queries;
    s->k_offsets[1] = keys;
    s->p = (fov_attention){.texts = 1,
                           .heads = 1,
                           .head_size = D,
                           .q_offsets = s->q_offsets,
                           .k_offsets = s->k_offsets,
                           .y_offsets = s->q_offsets,
                           .q = s->q,
                           .k = s->k,
                           .v = s->v,
                           .ldq = D,
                           .ldk = D,
                           .ldv = D,
                           .y = s->y,
                           .ldy = D,
                           .scale = 1 / 3.f};
    return s;
}

static void single_run(single *s) {
    const fov_kernels *kernels = fov_kernels_get(NULL);
    assert_non_null(kernels);
    const fov_attention_size size = {.longest = N, .texts = 1, .tokens = N, .heads = 1, .head_size = D, .threads = 1};
    const size_t bytes = fov_attention_fastmax.workspace(&s->setting, &size);
    void *scratch = scratch_make(bytes);
    const fov_attention_run run = {kernels, &s->setting, 1, scratch};
    fov_attention_fastmax.forward(&run, &s->p);
    scratch_free(scratch, bytes);
}

static const char *const forms[] = {
    "fastmax:form=pairs,normalize=none", "fastmax:form=moments,normalize=none",    "fastmax:form=pairs,block=8",
    "fastmax:form=moments,block=8",      "fastmax:form=pairs,p=1,normalize=l2max", "fastmax:form=moments,p=1,normalize=l2max"};
enum { FORMS = 6 };

/* Rows of A sum to 1: v = 1 gives 1, v + c gives y + c; q = 0 gives the mean, or prefix mean, of v. (N + D^2) u of rounding. */
static void test_sums(void **state) {
    (void)state;
    const double tolerance = (N + D * D) * problem_unit * 4;
    for (size_t form = 0; form < FORMS; form++)
        for (int causal = 0; causal < 2; causal++) {
            single *s = single_make(1, N - 5, N, forms[form]);
            s->p.causal = causal;
            single_run(s);
            float before[N * D];
            memcpy(before, s->y, sizeof before);
            for (size_t i = 0; i < N * D; i++) s->v[i] += 2;
            single_run(s);
            for (size_t i = 0; i < (N - 5) * D; i++)
                check_near((double)s->y[i], (double)before[i] + 2, 8 * tolerance, "shift", 0, 0, i);
            for (size_t i = 0; i < N * D; i++) s->v[i] = 1;
            single_run(s);
            for (size_t i = 0; i < (N - 5) * D; i++) check_near((double)s->y[i], 1, tolerance, "sum", 0, 0, i);
            for (size_t i = 0; i < N * D; i++) {
                s->q[i] = 0;
                s->v[i] = (float)(i / D);
            }
            single_run(s);
            for (size_t i = 0; i < (N - 5) * D; i++)
                check_near((double)s->y[i], causal ? (double)(i / D + 5) / 2 : (N - 1) / 2., N * tolerance, "mean", 0, 0, i);
            free(s);
        }
}

/* A masked key is as if it were not there, bit for bit; all masked: zeros. */
static void test_masks(void **state) {
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        single *s = single_make(2, N, N, forms[form]), *r = single_make(2, N, 0, forms[form]);
        size_t kept = 0;
        for (size_t j = 0; j < N; j++) {
            s->mask[j] = j % 3 != 1;
            if (!s->mask[j]) continue;
            memcpy(r->k + kept * D, s->k + j * D, D * sizeof(float));
            memcpy(r->v + kept++ * D, s->v + j * D, D * sizeof(float));
        }
        s->p.key_mask = s->mask;
        r->k_offsets[1] = kept;
        single_run(s);
        single_run(r);
        assert_memory_equal(s->y, r->y, sizeof s->y);
        memset(s->mask, 0, N);
        single_run(s);
        r->k_offsets[1] = 0;
        single_run(r);
        for (size_t i = 0; i < N * D; i++) assert_true(s->y[i] == 0 && r->y[i] == 0);
        free(s);
        free(r);
    }
}

/* Causal: a row keeps its bits whatever later tokens hold (not l2max, whose norm looks ahead). Not causal: the order of keys is
 * rounding alone. */
static void test_order(void **state) {
    (void)state;
    for (size_t form = 0; form < 4; form++) {
        single *s = single_make(3, N, N, forms[form]), *r = single_make(3, N, N, forms[form]);
        s->p.causal = r->p.causal = true;
        for (size_t i = 20 * D; i < N * D; i++) r->k[i] = r->v[i] = r->q[i] = 3;
        single_run(s);
        single_run(r);
        assert_memory_equal(s->y, r->y, 20 * D * sizeof(float));
        memcpy(r, s, sizeof *r);
        r->p = s->p;
        r->p.q_offsets = r->p.y_offsets = r->q_offsets;
        r->p.k_offsets = r->k_offsets;
        r->p.q = r->q;
        r->p.k = r->k;
        r->p.v = r->v;
        r->p.y = r->y;
        s->p.causal = r->p.causal = false;
        for (size_t i = 0; i < N * D; i++) {
            r->k[i] = s->k[(N - 1 - i / D) * D + i % D];
            r->v[i] = s->v[(N - 1 - i / D) * D + i % D];
        }
        single_run(s);
        single_run(r);
        for (size_t i = 0; i < N * D; i++)
            check_near((double)r->y[i], (double)s->y[i], (N + D * D) * problem_unit * 8, "permuted", 0, 0, i);
        free(s);
        free(r);
    }
}

/* Weights of a query over keys 1 e_j: v = identity rows give the weights themselves. */
static void weights_of(const double *x, size_t keys, const char *setting, double *weights) {
    single *s = single_make(4, 1, keys, setting);
    memset(s->q, 0, sizeof s->q);
    memset(s->k, 0, sizeof s->k);
    memset(s->v, 0, sizeof s->v);
    s->q[0] = 1;
    s->p.scale = 1;
    for (size_t j = 0; j < keys; j++) {
        s->k[j * D] = (float)x[j];
        s->v[j * D + j] = 1;
    }
    single_run(s);
    for (size_t j = 0; j < keys; j++) weights[j] = (double)s->y[j];
    free(s);
}

/* p = 2 grows again below -1: f(-3) = 2.5 > f(0) = 1. */
static void test_tail(void **state) {
    (void)state;
    const double x[4] = {0, -3, 0, 0};
    double a[4];
    for (size_t form = 0; form < 2; form++) {
        weights_of(x, 4, forms[form], a);
        for (size_t j = 0; j < 4; j++) check_near(a[j], j == 1 ? 2.5 / 5.5 : 1 / 5.5, 8 * problem_unit, "weight", 0, 0, j);
    }
}

/* Against softmax on scores of eps x: the error falls as eps^(p + 1), and within |x| <= r it keeps to the bound of total variation
 * (sqrt(rho) - 1) / (sqrt(rho) + 1), rho = f(-r) e^r / (f(r) e^-r). */
static void test_softmax(void **state) {
    (void)state;
    for (int p = 1; p <= 2; p++) {
        double error[2], a[D];
        for (int half = 0; half < 2; half++) {
            double x[D], sum = 0;
            for (size_t j = 0; j < D; j++) sum += exp(x[j] = (half ? .2 : .4) * ((double)j / (D - 1) * 2 - 1));
            weights_of(x, D, p == 1 ? "fastmax:p=1,normalize=none" : "fastmax:p=2,normalize=none", a);
            error[half] = 0;
            for (size_t j = 0; j < D; j++) error[half] += fabs(a[j] - exp(x[j]) / sum) / 2;
        }
        const double slope = log2(error[0] / error[1]);
        if (!(fabs(slope - (p + 1)) < .3)) fail_msg("p = %d: the error falls with power %.3f", p, slope);
    }
    for (double r = .25; r <= 2; r *= 2) {
        double x[D], a[D], sum = 0, error = 0, least = 1;
        for (size_t j = 0; j < D; j++) sum += exp(x[j] = j < 2 ? r : -r);
        weights_of(x, D, "fastmax:p=2,normalize=none", a);
        for (size_t j = 0; j < D; j++) {
            error += fabs(a[j] - exp(x[j]) / sum) / 2;
            least = fmin(least, a[j]);
        }
        const double root = sqrt((1 - r + r * r / 2) * exp(r) / ((1 + r + r * r / 2) * exp(-r)));
        assert_true(error <= (root - 1) / (root + 1));
        assert_true(least > 0);
    }
}

/* p = 1, every score -1: the row sum is 0, and the result is finite. */
static void test_guard(void **state) {
    (void)state;
    const double x[3] = {-1, -1, -1};
    double a[3];
    weights_of(x, 3, "fastmax:p=1,normalize=none", a);
    for (size_t j = 0; j < 3; j++) assert_true(isfinite(a[j]));
}

static double cost_of(const char *method, size_t keys) {
    const fov_setting setting = setting_of(&fov_attention_fastmax, method);
    return fov_attention_fastmax.cost(&setting, keys, keys, 64);
}

/* Counted multiply-adds: moments are linear, pairs quadratic, auto the lesser. */
static void test_cost(void **state) {
    (void)state;
    for (size_t keys = 64; keys <= 65536; keys *= 4) {
        const double moments = cost_of("fastmax:form=moments", keys);
        assert_true(moments == 2 * (double)keys * 2145 * 64);
        const double pairs = cost_of("fastmax:form=pairs", keys);
        assert_true(pairs == 2 * (double)keys * (double)keys * 64);
        const double least = cost_of("fastmax", keys);
        assert_true(least == (keys < 2048 ? pairs : keys > 4096 ? moments : least));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),    cmocka_unit_test(test_masks), cmocka_unit_test(test_order), cmocka_unit_test(test_tail),
        cmocka_unit_test(test_softmax), cmocka_unit_test(test_guard), cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
