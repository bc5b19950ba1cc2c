/* test_narrow.c: narrow attention: the fit against eigenvalues, the bound weights and attention of narrow keys against plain loops,
 * all in double. */
#include <math.h>
#include <string.h>

#include "attention/dense.h"
#include "attention/narrow_fit.h"
#include "attention/svd.h"
#include "support/blocks.h"
#include "support/eigenvalues.h"
#include "support/tiers.h"

/* ---- the fit ---- */

enum { N = 24, LEVELS = N / FOV_NARROW_STEP + 1 };

/* Moments of `count` vectors whose directions differ in size: c = sum x x^T / count. */
static void moments(test_rng *rng, size_t count, double c[N][N]) {
    double turn[N][N], x[N];
    for (size_t i = 0; i < N * N; i++) turn[i / N][i % N] = (double)test_float(rng);
    memset(c, 0, sizeof(double[N][N]));
    for (size_t t = 0; t < count; t++) {
        memset(x, 0, sizeof x);
        for (size_t k = 0; k < N; k++) {
            const double size = (double)test_float(rng) * pow(.8, (double)k);
            for (size_t i = 0; i < N; i++) x[i] += size * turn[i][k];
        }
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < N; k++) c[i][k] += x[i] * x[k] / (double)count;
    }
}

/* Squared singular values of Q^(1/2) K^(1/2): eigenvalues of L^T K L, Q = L L^T (Cholesky). */
static void squares(double q[N][N], double k[N][N], double value[N]) {
    static double l[N][N], kl[N][N], g[N][N];
    memset(l, 0, sizeof l);
    for (size_t j = 0; j < N; j++)
        for (size_t i = j; i < N; i++) {
            double sum = q[i][j];
            for (size_t c = 0; c < j; c++) sum -= l[i][c] * l[j][c];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
    memset(kl, 0, sizeof kl);
    memset(g, 0, sizeof g);
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < N; c++)
            for (size_t j = 0; j < N; j++) kl[i][j] += k[i][c] * l[c][j];
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < N; c++)
            for (size_t j = 0; j < N; j++) g[i][j] += l[c][i] * kl[c][j];
    eigenvalues(N, &g[0][0], value);
}

static double query[N][N], key[N][N];
static float to_query[N * N], to_key[N * N], errors[LEVELS];
static double scratch[8 * N * N];

static void run_fit(void) {
    const fov_narrow_fit fit = {N, N, &query[0][0], &key[0][0], to_query, to_key};
    assert_true(fov_narrow_fit_scratch(N) <= sizeof scratch / sizeof *scratch);
    fov_narrow_fit_run(&fit, scratch);
    fov_narrow_fit_error(&fit, errors, scratch);
}

/* E[(q^T k - sum_{i < r} (A q)_i (B k)_i)^2] / N, from its expansion. */
static double left_by(size_t r) {
    static double e[N][N];
    double sum = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            e[i][k] = i == k;
            for (size_t c = 0; c < r; c++) e[i][k] -= (double)to_query[c * N + i] * (double)to_key[c * N + k];
        }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++)
            for (size_t a = 0; a < N; a++)
                for (size_t b = 0; b < N; b++) sum += query[i][j] * e[i][a] * e[j][b] * key[a][b];
    return sum / N;
}

/* What r rows leave is the tail of the squared singular values, the least there can be; A and B are in f32, to 6e-8 of their size.
 */
static void test_fit(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        test_rng rng = {seed};
        double value[N];
        moments(&rng, 400, query);
        moments(&rng, 300, key);
        run_fit();
        squares(query, key, value);
        double whole = 0;
        for (size_t i = 0; i < N; i++) whole += value[i] / N;
        for (size_t l = 0; l < LEVELS; l++) {
            const size_t r = l * FOV_NARROW_STEP;
            double tail = 0;
            for (size_t i = r; i < N; i++) tail += value[i] / N;
            assert_true(fabs(left_by(r) - tail) <= 1e-6 * whole);
            assert_true(fabs(pow((double)errors[l], 2) - left_by(r)) <= 1e-6 * whole);
            if (l) assert_true(tail < .5 * whole); /* there is something to gain */
        }
        /* and so for every r, not just the multiples */
        double tail = value[N - 1] / N + value[N - 2] / N;
        assert_true(fabs(left_by(N - 2) - tail) <= 1e-6 * whole);
    }
}

/* Moments without rank: as many rows as there is rank leave nothing; nothing is blown up. */
static void test_degenerate(void **state) {
    (void)state;
    for (size_t count = 0; count < 6; count += 5) {
        test_rng rng = {9};
        moments(&rng, 50, query);
        memset(key, 0, sizeof key);
        if (count) moments(&rng, count, key);
        run_fit();
        for (size_t i = 0; i < N * N; i++) assert_true(isfinite(to_query[i]) && isfinite(to_key[i]));
        for (size_t l = 0; l < LEVELS; l++) assert_true((double)errors[l] <= (l ? 1e-3 : 1) * (double)errors[0]);
        assert_true(count ? errors[0] > 0 : errors[0] == 0);
    }
}

/* a = sum value left right^T with orthonormal rows, the values descending. */
static void test_svd(void **state) {
    (void)state;
    test_rng rng = {4};
    double a[N][N], right[N][N], left[N][N], value[N];
    for (size_t i = 0; i < N * N; i++) a[i / N][i % N] = right[i / N][i % N] = (double)test_float(&rng);
    fov_svd(N, &right[0][0], &left[0][0], value);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            double sum = 0, u = 0, v = 0;
            for (size_t c = 0; c < N; c++) {
                sum += value[c] * left[c][i] * right[c][k];
                u += left[i][c] * left[k][c];
                v += right[i][c] * right[k][c];
            }
            assert_true(fabs(sum - a[i][k]) <= 1e-12);
            assert_true(fabs(u - (i == k)) <= 1e-12 && fabs(v - (i == k)) <= 1e-12);
        }
    for (size_t i = 1; i < N; i++) assert_true(value[i] <= value[i - 1]);
}

/* ---- binding ---- */

enum { HEADS = 3, SIZE = 16, WIDTH = 70, WIDEST = 16 };

enum { Q, K, V, O, LINEARS, LEVELS_BOUND = WIDEST / FOV_NARROW_STEP + 1 };

typedef struct layer {
    float w[LINEARS][HEADS * SIZE * WIDTH], bias[LINEARS][WIDTH]; /* of q, k, v [HEADS * SIZE][WIDTH], o [WIDTH][HEADS * SIZE] */
    float to[LINEARS][HEADS * WIDEST * SIZE], mean[LINEARS][HEADS * SIZE];
    float error[HEADS * LEVELS_BOUND], held[HEADS * LEVELS_BOUND], value_held[HEADS * LEVELS_BOUND];
    fov_attention_profile profile;
    fov_attention_projections own;
    void *block;
} layer;

static void pack(const float *w, size_t m, const fov_linear *l, float *to, float *scale, int32_t *sum) {
    static float words[FOV_PANEL * WIDTH];
    fov_pack_type(fov_kernels_get(NULL), l->type, w, l->k, m, l->k, to, scale, sum, words);
}

/* A layer's v is packed head by head. */
static void pack_heads(const layer *s, const fov_linear *v) {
    const size_t step = fov_packed_size(SIZE, fov_words(v->type, WIDTH));
    const bool scaled = v->type == FOV_TYPE_INT8;
    for (size_t h = 0; h < HEADS; h++)
        pack(s->w[V] + h * SIZE * WIDTH, SIZE, v, v->w + h * step, scaled ? v->scale + h * SIZE : NULL,
             scaled ? v->sum + h * SIZE : NULL);
}

static void make_layer(layer *s, fov_type type) {
    test_rng rng = {type + 11u};
    float *const all[] = {&s->w[0][0], &s->bias[0][0], &s->to[0][0], &s->mean[0][0]};
    const size_t sizes[] = {sizeof s->w, sizeof s->bias, sizeof s->to, sizeof s->mean};
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < sizes[i] / sizeof(float); k++) all[i][k] = test_float(&rng);
    for (size_t h = 0; h < HEADS; h++)
        for (size_t l = 0; l < LEVELS_BOUND; l++) { /* held: 1 and .4 in two heads, 0 and .1 in one */
            s->held[h * LEVELS_BOUND + l] = l == 0 ? 5 : l == 1 ? (float)(h < 2) : h < 2 ? .4f : .1f;
            s->value_held[h * LEVELS_BOUND + l] = 4 / (float)(1 << l);
            s->error[h * LEVELS_BOUND + l] = 0;
        }
    s->profile = (fov_attention_profile){"file",  WIDEST,   s->to[Q], s->to[K],   s->mean[K],   s->error,
                                         s->held, s->to[V], s->to[O], s->mean[V], s->value_held};
    fov_arena arena = {0};
    for (int pass = 0; pass < 2; pass++) {
        s->own = (fov_attention_projections){.heads = HEADS, .key_size = SIZE, .value_size = SIZE};
        s->own.q = fov_linear_take(&arena, HEADS * SIZE, WIDTH, type);
        s->own.k = fov_linear_take(&arena, HEADS * SIZE, WIDTH, type);
        s->own.v = fov_linear_take(&arena, HEADS * SIZE, WIDTH, type);
        s->own.v.w = fov_arena_take(&arena, HEADS * fov_packed_size(SIZE, fov_words(type, WIDTH)), sizeof(float));
        s->own.o = fov_linear_take(&arena, WIDTH, HEADS * SIZE, type);
        if (pass) break;
        s->block = aligned_alloc(64, arena.used);
        assert_non_null(s->block);
        arena = (fov_arena){s->block, 0, arena.used, false};
    }
    const fov_linear *const linears[] = {&s->own.q, &s->own.k, &s->own.v, &s->own.o};
    for (size_t i = 0; i < LINEARS; i++) {
        const fov_linear *l = linears[i];
        memcpy(l->bias, s->bias[i], l->m * sizeof *l->bias);
        if (i == V)
            pack_heads(s, l);
        else
            pack(s->w[i], l->m, l, l->w, l->scale, l->sum);
    }
}

static fov_setting setting_of(const char *text) {
    size_t count;
    const fov_method_info *const *infos = fov_attention_infos(&count);
    fov_setting setting;
    assert_int_equal(fov_setting_parse(&setting, infos, count, text, NULL), FOV_OK);
    return setting;
}

/* What rounding to the type may change of a row whose largest value is `most`, and f32 sums of SIZE products: at most 2^-24 of
 * their sizes' sum each. */
static double allowed(fov_type type, double most, double reach) {
    return most * (type == FOV_TYPE_INT8 ? 1. / 127 : type == FOV_TYPE_BF16 ? 0x1p-8 : 0x1p-24) + SIZE * 0x1p-24 * reach;
}

/* An element of a layer's own weights, as the type holds it. */
static double own_at(const fov_linear *l, size_t which, size_t row, size_t k) {
    if (which != V) return (double)fov_packed_at(l->type, l->w, l->scale, l->k, row, k);
    const size_t h = row / SIZE;
    return (double)fov_packed_at(l->type, l->w + h * fov_packed_size(SIZE, fov_words(l->type, WIDTH)),
                                 l->scale ? l->scale + h * SIZE : NULL, WIDTH, row % SIZE, k);
}

/* Rows T W and biases T (b - mean) of every head, for the weights as the layer holds them, to the rounding of the type. */
static void check_linear(const layer *s, size_t which, const fov_linear *from, const fov_linear *to, size_t rank) {
    assert_true(to->m == HEADS * rank && to->k == WIDTH && to->type == from->type);
    for (size_t h = 0; h < HEADS; h++)
        for (size_t r = 0; r < rank; r++) {
            const float *t = s->to[which] + (h * WIDEST + r) * SIZE;
            double bias = 0, want[WIDTH] = {0}, size[WIDTH] = {0}, most = 0, reach = 0;
            for (size_t i = 0; i < SIZE; i++) {
                const size_t row = h * SIZE + i;
                bias += (double)t[i] * ((double)s->bias[which][row] - (which == Q ? 0 : (double)s->mean[which][row]));
                for (size_t k = 0; k < WIDTH; k++) {
                    want[k] += (double)t[i] * own_at(from, which, row, k);
                    size[k] += fabs((double)t[i] * own_at(from, which, row, k));
                }
            }
            for (size_t k = 0; k < WIDTH; k++) most = fmax(most, fabs(want[k])), reach = fmax(reach, size[k]);
            assert_true(fabs((double)to->bias[h * rank + r] - bias) <= 1e-5);
            for (size_t k = 0; k < WIDTH; k++)
                assert_true(fabs((double)fov_packed_at(to->type, to->w, to->scale, WIDTH, h * rank + r, k) - want[k]) <=
                            allowed(to->type, most, reach));
        }
}

/* A head's columns of W_O times T^T, and the mean context's part in the bias. */
static void check_output(const layer *s, const fov_linear *from, const fov_linear *to, size_t rank) {
    assert_true(to->m == WIDTH && to->k == HEADS * rank && to->type == from->type);
    for (size_t j = 0; j < WIDTH; j++) {
        double bias = (double)s->bias[O][j], want[HEADS * WIDEST] = {0}, most = 0, reach = 0;
        for (size_t c = 0; c < HEADS * SIZE; c++) bias += own_at(from, O, j, c) * (double)s->mean[V][c];
        for (size_t i = 0; i < HEADS * rank; i++) {
            const size_t h = i / rank;
            double size = 0;
            for (size_t c = 0; c < SIZE; c++) {
                const double product = own_at(from, O, j, h * SIZE + c) * (double)s->to[O][(h * WIDEST + i % rank) * SIZE + c];
                want[i] += product;
                size += fabs(product);
            }
            most = fmax(most, fabs(want[i]));
            reach = fmax(reach, size);
        }
        assert_true(fabs((double)to->bias[j] - bias) <= 1e-5);
        for (size_t i = 0; i < HEADS * rank; i++)
            assert_true(fabs((double)fov_packed_at(to->type, to->w, to->scale, to->k, j, i) - want[i]) <=
                        allowed(to->type, most, reach));
    }
}

/* The least rank whose held-out error is tau at most, rms over heads: sqrt(2 / 3) = .816 at 8, sqrt(.33 / 3) = .332 at 16; of
 * values kappa of that at 0: .5 and .25. */
static void test_bind(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t rank, value;
    } cases[] = {{"narrow:tau=0", 0, 0},
                 {"narrow:tau=.33", 0, 0},
                 {"narrow:tau=.34", 16, 0},
                 {"narrow:tau=.81", 16, 0},
                 {"narrow:tau=.82", 8, 0},
                 {"narrow:tau=1000", 8, 0},
                 {"narrow:tau=0,kappa=.24", 0, 0},
                 {"narrow:tau=0,kappa=.26", 0, 16},
                 {"narrow:tau=.34,kappa=.49", 16, 16},
                 {"narrow:tau=.34,kappa=.51", 16, 8}};
    fov_attention_projections *bound = NULL;
    fov_error error;
    static layer s;
    for (unsigned type = 0; type < FOV_TYPES; type++) {
        make_layer(&s, (fov_type)type);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const fov_setting setting = setting_of(cases[i].text);
            assert_int_equal(
                fov_attention_narrow.bind(&setting, &s.own, &s.profile, fov_allocator_or_default(NULL), &bound, &error), FOV_OK);
            assert_int_equal(fov_attention_narrow.makes_values(&setting), strstr(cases[i].text, "kappa") != NULL);
            assert_int_equal(bound != NULL, cases[i].rank + cases[i].value > 0);
            if (!bound) continue;
            assert_int_equal(bound->key_size, cases[i].rank ? cases[i].rank : SIZE);
            assert_int_equal(bound->value_size, cases[i].value ? cases[i].value : SIZE);
            assert_int_equal(bound->made, cases[i].value > 0);
            assert_int_equal(bound->heads, HEADS);
            if (cases[i].rank) check_linear(&s, Q, &s.own.q, &bound->q, cases[i].rank);
            if (cases[i].rank) check_linear(&s, K, &s.own.k, &bound->k, cases[i].rank);
            if (cases[i].value) check_linear(&s, V, &s.own.v, &bound->v, cases[i].value);
            if (cases[i].value) check_output(&s, &s.own.o, &bound->o, cases[i].value);
            fov_release(fov_allocator_or_default(NULL), bound);
        }
        free(s.block);
    }
    make_layer(&s, FOV_TYPE_F32);
    const fov_setting settings[] = {setting_of("narrow"), setting_of("narrow:kappa=.3")};
    s.profile.value = NULL;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            fov_attention_narrow.bind(&settings[i], &s.own, i ? &s.profile : NULL, fov_allocator_or_default(NULL), &bound, &error),
            FOV_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "foveate calibrate"));
        assert_int_equal(strstr(error.message, "values and outputs") != NULL, i);
    }
    free(s.block);
}

/* ---- keys narrower than values ---- */

typedef struct sizes {
    size_t key, head, keys, queries;
    bool listed; /* outputs are some of the queries */
} sizes;

enum { MOST = 700, WIDE = 40, H = 2 };

/* softmax(q k / 2) v of head h and query i, in double. */
static void reference(const sizes *z, const float *q, const float *k, const float *v, size_t h, size_t i, double *y) {
    static double a[MOST];
    double top = -INFINITY, total = 0;
    for (size_t j = 0; j < z->keys; j++) {
        a[j] = 0;
        for (size_t c = 0; c < z->key; c++) a[j] += (double)q[(i * H + h) * z->key + c] * (double)k[(j * H + h) * z->key + c] / 2;
        top = fmax(top, a[j]);
    }
    for (size_t j = 0; j < z->keys; j++) total += a[j] = exp(a[j] - top);
    for (size_t c = 0; c < z->head; c++) {
        y[c] = 0;
        for (size_t j = 0; j < z->keys; j++) y[c] += a[j] / total * (double)v[(j * H + h) * z->head + c];
    }
}

static void check_sizes(const fov_kernels *kernels, const sizes *z, unsigned threads) {
    test_rng rng = {z->key * 100 + z->head};
    float *q = block_rows(&rng, 0, z->queries, H * z->key, H * z->key, 2);
    float *k = block_rows(&rng, 0, z->keys, H * z->key, H * z->key, 2);
    float *v = block_rows(&rng, 0, z->keys, H * z->head, H * z->head, 1);
    const size_t outputs = z->listed ? 3 : z->queries;
    const uint32_t list[3] = {(uint32_t)z->queries - 1, 0, (uint32_t)z->queries / 2};
    const size_t starts[1] = {0}, q_offsets[2] = {0, z->queries}, k_offsets[2] = {0, z->keys}, y_offsets[2] = {0, outputs};
    const fov_setting setting = setting_of("narrow");
    /* as the encoder asks: for heads of the checkpoint's size, the larger of both */
    const fov_attention_size size = {.longest = z->keys > z->queries ? z->keys : z->queries,
                                     .texts = 1,
                                     .tokens = z->keys,
                                     .heads = H,
                                     .head_size = z->key > z->head ? z->key : z->head,
                                     .threads = threads};
    const size_t bytes = fov_attention_narrow.workspace(&setting, &size);
    for (int stored = 0; stored < 2; stored++) {
        float *y = block_make(outputs * H * z->head, NAN), *weights = block_make(H * z->queries * z->keys, NAN);
        void *memory = scratch_make(bytes);
        const fov_attention p = {.texts = 1,
                                 .heads = H,
                                 .head_size = z->head,
                                 .key_size = z->key,
                                 .q_offsets = q_offsets,
                                 .k_offsets = k_offsets,
                                 .y_offsets = y_offsets,
                                 .y_query = z->listed ? list : NULL,
                                 .q = q,
                                 .k = k,
                                 .v = v,
                                 .ldq = H * z->key,
                                 .ldk = H * z->key,
                                 .ldv = H * z->head,
                                 .y = y,
                                 .ldy = H * z->head,
                                 .scale = .5f};
        const fov_attention_run run = {kernels, &setting, threads, memory};
        const fov_attention_weight_set set = {weights, starts, NULL, NULL};
        if (stored) {
            fov_attention_narrow.weights(&run, &p, &set);
            fov_attention_narrow.apply(&run, &p, &set);
        } else {
            fov_attention_narrow.forward(&run, &p);
        }
        for (size_t o = 0; o < outputs; o++)
            for (size_t h = 0; h < H; h++) {
                double want[WIDE];
                reference(z, q, k, v, h, z->listed ? list[o] : o, want);
                for (size_t c = 0; c < z->head; c++) /* scores up to 2 * key: some 1e-6 of rounding, means of values below 1 */
                    assert_true(fabs((double)y[(o * H + h) * z->head + c] - want[c]) <= 2e-5);
            }
        block_check(y, outputs * H * z->head);
        block_check(weights, H * z->queries * z->keys);
        scratch_free(memory, bytes);
        free(y);
        free(weights);
    }
    free(q);
    free(k);
    free(v);
}

static void test_sizes(void **state) {
    (void)state;
    static const sizes cases[] = {{8, 40, 20, 20, false},  {24, 7, 33, 33, false}, {8, 16, MOST, 60, false},
                                  {16, 8, MOST, 40, true}, {1, 32, 5, 9, false},   {40, 8, 300, 30, true}};
    FOR_EACH_TIER(kernels)
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_sizes(kernels, &cases[i], 1 + (unsigned)i % 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fit), cmocka_unit_test(test_degenerate), cmocka_unit_test(test_svd),
                                       cmocka_unit_test(test_bind), cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
