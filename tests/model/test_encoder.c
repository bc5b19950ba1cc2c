/* test_encoder.c: the encoder against a reference in double precision, and what must hold bit for bit: batches, threads, rows read,
 * order, seeds. Those that
 * depend on kernels run once per instruction tier (FOV_CPU). */
#include <math.h>

#include "core/rng.h"
#include "kernels/kernels.h"
#include "model/encoder.h"
#include "support/reference_encoder.h"
#include "support/tiny.h"

enum { WIDTH = 256, LAYERS = 4, HEADS = 4, HIDDEN = 1024, LABELS = 2 };

static fov_model *model;
static fov_text texts[TINY_TEXTS];

static const struct {
    const char *values, *ffn;
    bool random;
} settings[] = {{"exact", "exact", false},
                {"mca:alpha=.3", "exact", true},
                {"mca:alpha=1,length=padded:128,draws=independent", "exact", true},
                {"exact", "guided:lambda=.02", false}};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static fov_session_options options_of(size_t setting) {
    return (fov_session_options){.values = settings[setting].values, .ffn = settings[setting].ffn, .seed = 3, .threads = 2};
}

/* ---- through the public calls ---- */

typedef struct outcome {
    float logits[TINY_TEXTS][LABELS], vectors[TINY_TEXTS][WIDTH];
    fov_stats stats; /* of the classification */
} outcome;

static fov_session *session_of(const fov_session_options *options) {
    fov_session *session = NULL;
    assert_ok(fov_session_create(model, options, &session, error));
    return session;
}

static outcome *run_in(fov_session *session, const fov_text *some, size_t count) {
    outcome *out = calloc(1, sizeof *out);
    assert_non_null(out);
    fov_session_reset_stats(session);
    assert_ok(fov_classify(session, some, count, out->logits[0], NULL, error));
    fov_session_get_stats(session, &out->stats);
    assert_ok(fov_embed(session, some, count, out->vectors[0], NULL, error)); /* mean pooling reads every row */
    return out;
}

static outcome *run_some(const fov_session_options *options, const fov_text *some, size_t count) {
    fov_session *session = session_of(options);
    outcome *out = run_in(session, some, count);
    fov_session_free(session);
    return out;
}

static outcome *run_all(const fov_session_options *options) {
    return run_some(options, texts, TINY_TEXTS);
}

static void check_same(const outcome *a, outcome *b) {
    assert_memory_equal(a->logits, b->logits, sizeof a->logits);
    assert_memory_equal(a->vectors, b->vectors, sizeof a->vectors);
    free(b);
}

/* Short texts may be exact throughout; the two long ones have tokens that nobody looks at, which every setting samples. */
static void check_other(const outcome *a, outcome *b) {
    static const size_t sampled[] = {2, 10};
    for (size_t i = 0; i < COUNT(sampled); i++) {
        assert_memory_not_equal(a->logits[sampled[i]], b->logits[sampled[i]], sizeof a->logits[0]);
        assert_memory_not_equal(a->vectors[sampled[i]], b->vectors[sampled[i]], sizeof a->vectors[0]);
    }
    free(b);
}

/* ---- the encoder itself ---- */

typedef struct tokens {
    int32_t ids[2048];
    uint8_t types[2048];
    size_t offsets[TINY_TEXTS + 1];
    uint64_t hashes[TINY_TEXTS];
} tokens;

static void tokens_of(tokens *t, const fov_text *some, size_t count) {
    fov_session *session = session_of(NULL);
    t->offsets[0] = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n, first = t->offsets[i];
        assert_ok(fov_tokenize(session, &some[i], t->ids + first, t->types + first, COUNT(t->ids) - first, &n, NULL, error));
        assert_true(first + n <= COUNT(t->ids));
        t->offsets[i + 1] = first + n;
        t->hashes[i] = fov_hash_ids(t->ids + first, n);
    }
    fov_session_free(session);
}

static fov_encoder *encoder_of(const char *values, bool all_rows) {
    fov_encoder_settings s = {.threads = 2, .seed = 7, .all_rows = all_rows, .batch_tokens = 2048, .longest = 512};
    size_t count;
    const fov_method_info *const *infos = fov_attention_infos(&count);
    assert_ok(fov_setting_parse(&s.attention, infos, count, "dense", error));
    infos = fov_values_infos(&count);
    assert_ok(fov_setting_parse(&s.values, infos, count, values, error));
    infos = fov_ffn_infos(&count);
    assert_ok(fov_setting_parse(&s.ffn, infos, count, "exact", error));
    fov_encoder *encoder = NULL;
    assert_ok(fov_encoder_create(model, &s, &encoder, error));
    return encoder;
}

static const float *encode(fov_encoder *encoder, fov_batch batch, const tokens *t, fov_stats *stats) {
    fov_stats none = {0};
    const float *hidden = NULL;
    batch.offsets = t->offsets;
    batch.ids = t->ids;
    batch.types = t->types;
    batch.hashes = t->hashes;
    assert_ok(fov_encoder_run(encoder, &batch, &hidden, stats ? stats : &none, NULL, NULL, error));
    return hidden;
}

static void check_count(const char *what, double got, double want) {
    if (!(got == want)) fail_msg("%s: %.17g, not %.17g", what, got, want); /* whole numbers below 2^53 */
}

/* ---- against the reference ---- */

static double worst(const double *want, const double *got, const float *engine, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((got ? got[i] : (double)engine[i]) - want[i]);
        if (!(off <= most)) most = off; /* NaN stays */
    }
    return most;
}

/* The engine's largest error may be at most twice that of a plain f32 loop on the same text. */
static void check_error(const char *what, size_t text, double engine, double plain) {
    assert_true(plain > 0 && plain < 1e-3);
    if (!(engine <= 2 * plain)) fail_msg("%s of text %zu: error %.3g, a plain f32 loop's is %.3g", what, text, engine, plain);
}

static void test_reference(void **state) {
    (void)state;
    static tokens t;
    static const size_t some[] = {0, 1, 3, 4, 11};
    fov_text chosen[COUNT(some)];
    for (size_t i = 0; i < COUNT(some); i++) chosen[i] = texts[some[i]];
    tokens_of(&t, chosen, COUNT(some));
    fov_tensors *tensors = NULL;
    assert_ok(fov_tensors_open(TINY_FOLDER, NULL, &tensors, error));
    fov_encoder *encoder = encoder_of("exact", false);
    const float *hidden = encode(encoder, (fov_batch){.texts = COUNT(some), .rows = FOV_ROWS_ALL}, &t, NULL);
    size_t total = t.offsets[COUNT(some)];
    float *kept = malloc(total * WIDTH * sizeof *kept);
    assert_non_null(kept);
    memcpy(kept, hidden, total * WIDTH * sizeof *kept);
    for (size_t i = 0; i < COUNT(some); i++) {
        size_t first = t.offsets[i], n = t.offsets[i + 1] - first;
        double *want = malloc(2 * n * WIDTH * sizeof *want), *plain = want + n * WIDTH, logits[2][LABELS];
        assert_non_null(want);
        reference r = {tensors, LAYERS, HEADS, WIDTH, HIDDEN, LABELS, false, 0, 0};
        reference_encode(&r, t.ids + first, t.types + first, n, want);
        reference_classify(&r, want, logits[0]);
        r.single = true;
        reference_encode(&r, t.ids + first, t.types + first, n, plain);
        reference_classify(&r, plain, logits[1]);
        check_error("hidden states", i, worst(want, NULL, kept + first * WIDTH, n * WIDTH), worst(want, plain, NULL, n * WIDTH));

        float got[LABELS];
        fov_session *session = session_of(NULL);
        assert_ok(fov_classify(session, &chosen[i], 1, got, NULL, error));
        fov_session_free(session);
        /* One logit's error is a single draw, not a maximum over thousands: its yardstick is the hidden states' error, which the
         * head carries over with a gain of at most the classifier's and the pooler's; measured far below 8. */
        for (size_t j = 0; j < LABELS; j++)
            check_error("logit", i, fabs((double)got[j] - logits[0][j]), 4 * worst(want, plain, NULL, n * WIDTH));
        free(want);
    }
    free(kept);
    fov_encoder_free(encoder);
    fov_tensors_close(tensors);
}

/* ---- bit for bit ---- */

static void test_batch_is_single(void **state) {
    (void)state;
    for (size_t s = 0; s < COUNT(settings); s++) {
        fov_session_options options = options_of(s);
        fov_session *session = session_of(&options);
        outcome *all = run_in(session, texts, TINY_TEXTS);
        for (size_t i = 0; i < TINY_TEXTS; i++) {
            outcome *one = run_in(session, &texts[i], 1);
            assert_memory_equal(all->logits[i], one->logits[0], sizeof one->logits[0]);
            assert_memory_equal(all->vectors[i], one->vectors[0], sizeof one->vectors[0]);
            free(one);
        }
        free(all);
        fov_session_free(session);
    }
}

static void test_threads_and_batches(void **state) {
    (void)state;
    for (size_t s = 0; s < COUNT(settings); s++) {
        fov_session_options options = options_of(s);
        options.threads = 1;
        options.batch_tokens = 4096;
        outcome *all = run_all(&options);
        static const unsigned threads[] = {2, 5};
        for (size_t i = 0; i < COUNT(threads); i++) {
            options.threads = threads[i];
            check_same(all, run_all(&options));
        }
        options.batch_tokens = 128;
        options.max_length = 128; /* no text is longer, so that a batch may be as small */
        check_same(all, run_all(&options));
        free(all);
    }
}

static void test_order(void **state) {
    (void)state;
    for (size_t s = 0; s < COUNT(settings); s++) {
        fov_session_options options = options_of(s);
        fov_text backwards[TINY_TEXTS];
        for (size_t i = 0; i < TINY_TEXTS; i++) backwards[i] = texts[TINY_TEXTS - 1 - i];
        outcome *all = run_all(&options), *back = run_some(&options, backwards, TINY_TEXTS);
        for (size_t i = 0; i < TINY_TEXTS; i++) {
            assert_memory_equal(all->logits[i], back->logits[TINY_TEXTS - 1 - i], sizeof all->logits[i]);
            assert_memory_equal(all->vectors[i], back->vectors[TINY_TEXTS - 1 - i], sizeof all->vectors[i]);
        }
        /* Texts 1 and 6 are the same: so are their draws. */
        assert_memory_equal(all->logits[1], all->logits[6], sizeof all->logits[1]);
        free(all);
        free(back);
    }
}

static void test_seeds(void **state) {
    (void)state;
    for (size_t s = 0; s < COUNT(settings); s++) {
        fov_session_options options = options_of(s);
        outcome *all = run_all(&options);
        check_same(all, run_all(&options));
        options.seed = 4;
        outcome *other = run_all(&options);
        if (settings[s].random)
            check_other(all, other);
        else
            check_same(all, other);
        free(all);
    }
}

/* The error of a text must not be the error of another text that begins alike: the draws are keyed by the whole text. */
static void test_texts_differ(void **state) {
    (void)state;
    static const char *const names[] = {"mca:alpha=.3", "mca:alpha=.3,draws=independent"};
    for (size_t s = 0; s < COUNT(names); s++) {
        static tokens t;
        tokens_of(&t, texts, 1);
        fov_encoder *encoder = encoder_of(names[s], true);
        float first[WIDTH];
        memcpy(first, encode(encoder, (fov_batch){.texts = 1, .rows = FOV_ROWS_FIRST}, &t, NULL), sizeof first);
        assert_memory_equal(first, encode(encoder, (fov_batch){.texts = 1, .rows = FOV_ROWS_FIRST}, &t, NULL), sizeof first);
        t.hashes[0] ^= 1; /* another text, as far as the draws know */
        assert_memory_not_equal(first, encode(encoder, (fov_batch){.texts = 1, .rows = FOV_ROWS_FIRST}, &t, NULL), sizeof first);
        fov_encoder_free(encoder);
    }
}

static void test_exact_limit(void **state) {
    (void)state;
    static const char *const names[] = {"mca:alpha=1e-9", "mca:alpha=1e-9,draws=independent", "mca:alpha=1e-9,length=padded:128"};
    fov_session_options options = {.threads = 2};
    outcome *exact = run_all(&options);
    for (size_t s = 0; s < COUNT(names); s++) {
        options.values = names[s];
        check_same(exact, run_all(&options));
    }
    free(exact);
}

/* Importance out of the one pass is that of the stored weights, which an estimator makes even where all its values are exact: the
 * guided layer chooses the same levels, and a text is explained alike. */
static void test_one_pass(void **state) {
    (void)state;
    fov_session_options options = {.ffn = "guided:lambda=.02", .threads = 2};
    outcome *one_pass = run_all(&options), *exact = run_all(&(fov_session_options){.threads = 2});
    check_other(exact, one_pass);
    one_pass = run_all(&options);
    options.values = "mca:alpha=1e-15";
    check_same(one_pass, run_all(&options));
    free(one_pass);
    free(exact);

    fov_session *sessions[2] = {session_of(&(fov_session_options){.threads = 2}),
                                session_of(&(fov_session_options){.values = "mca:alpha=1e-15", .threads = 2})};
    fov_explanation e[2];
    for (size_t i = 0; i < 2; i++) assert_ok(fov_explain(sessions[i], &texts[2], &e[i], error));
    assert_memory_equal(e[0].importance, e[1].importance, e[0].layers * e[0].tokens * sizeof *e[0].importance);
    assert_memory_equal(e[0].head_importance, e[1].head_importance, e[0].layers * e[0].heads * sizeof *e[0].head_importance);
    for (size_t i = 0; i < 2; i++) fov_session_free(sessions[i]);
}

static void test_rows(void **state) {
    (void)state;
    static tokens t;
    tokens_of(&t, texts, TINY_TEXTS);
    size_t total = t.offsets[TINY_TEXTS];
    float *all = malloc(total * WIDTH * sizeof *all);
    assert_non_null(all);
    static uint32_t list[2048];
    size_t row_offsets[TINY_TEXTS + 1] = {0}, listed = 0;
    for (size_t b = 0; b < TINY_TEXTS; b++) { /* none of text 2, all of text 0, every third of the others */
        size_t n = t.offsets[b + 1] - t.offsets[b];
        for (size_t i = b ? 1 : 0; i < n && b != 2; i += b ? 3 : 1) list[listed++] = (uint32_t)i;
        row_offsets[b + 1] = listed;
    }
    /* Importance counts the query rows that are computed, so an estimator with a real length and fewer rows in the last layer
     * makes other draws there; all_rows, or a padded length, computes them all. */
    static const struct {
        const char *values;
        bool all_rows;
    } cases[] = {{"exact", false},
                 {"exact", true},
                 {"mca:alpha=.3", true},
                 {"mca:alpha=.3,length=padded:128", false},
                 {"mca:alpha=.3,length=padded:128,draws=independent", true}};
    for (size_t c = 0; c < COUNT(cases); c++) {
        fov_encoder *encoder = encoder_of(cases[c].values, cases[c].all_rows);
        memcpy(all, encode(encoder, (fov_batch){.texts = TINY_TEXTS, .rows = FOV_ROWS_ALL}, &t, NULL), total * WIDTH * sizeof *all);
        const float *first = encode(encoder, (fov_batch){.texts = TINY_TEXTS, .rows = FOV_ROWS_FIRST}, &t, NULL);
        for (size_t b = 0; b < TINY_TEXTS; b++)
            assert_memory_equal(first + b * WIDTH, all + t.offsets[b] * WIDTH, WIDTH * sizeof *all);
        const float *rows =
            encode(encoder, (fov_batch){.texts = TINY_TEXTS, .rows = FOV_ROWS_LIST, .row_list = list, .row_offsets = row_offsets},
                   &t, NULL);
        for (size_t b = 0; b < TINY_TEXTS; b++)
            for (size_t i = row_offsets[b]; i < row_offsets[b + 1]; i++)
                assert_memory_equal(rows + i * WIDTH, all + (t.offsets[b] + list[i]) * WIDTH, WIDTH * sizeof *all);
        fov_encoder_free(encoder);
    }
    free(all);
}

/* Five texts of 500 tokens: their weights do not fit the store at once, so they are made in two groups. */
static void test_weight_groups(void **state) {
    (void)state;
    enum { LONG = 5 };
    static char blocks[LONG][3000];
    fov_text some[LONG];
    for (size_t i = 0; i < LONG; i++) {
        snprintf(blocks[i], sizeof blocks[i], "number %zu .", i);
        while (strlen(blocks[i]) < 2500) strcat(blocks[i], i % 2 ? " a dull film , and long ." : " what a film to see !");
        some[i] = text_of(blocks[i]);
    }
    float logits[LONG][LABELS], one[LABELS];
    fov_session *session = session_of(&(fov_session_options){.values = "mca:alpha=.3", .seed = 3, .threads = 2});
    fov_stats stats;
    assert_ok(fov_classify(session, some, LONG, logits[0], NULL, error));
    fov_session_get_stats(session, &stats);
    assert_true(stats.tokens > LONG * 460);                                         /* heads * tokens^2 beyond 4 Mi floats */
    check_count("padded", stats.values_exact_padded + stats.values_done_padded, 0); /* no such figure: over 128 tokens */
    assert_ok(fov_classify(session, &some[LONG - 1], 1, one, NULL, error));         /* of the second group */
    assert_memory_equal(logits[LONG - 1], one, sizeof one);
    fov_session_free(session);
}

/* ---- multiply-adds ---- */

typedef struct cost {
    double values_exact, total_exact, total_first, total_padded; /* total_padded: every query row, first rows leave */
} cost;

/* From the shapes alone. Attention: two products of T^2 C. The head: pooler and classifier of one row. */
static cost cost_of(size_t tokens_of_text) {
    double n = (double)tokens_of_text, c = WIDTH, f = HIDDEN, l = LAYERS, head = c * c + c * LABELS;
    double layer = 4 * n * c * c + 2 * n * n * c + 2 * n * c * f;
    double first = 2 * n * c * c + 2 * c * c + 2 * n * c + 2 * c * f;      /* k, v of all; q, o, attention, ffn of one */
    double padded = 3 * n * c * c + c * c + n * n * c + n * c + 2 * c * f; /* q and weights of all too */
    return (cost){l * n * c * c, l * layer + head, (l - 1) * layer + first + head, (l - 1) * layer + padded + head};
}

static void test_multiply_adds(void **state) {
    (void)state;
    static tokens t;
    tokens_of(&t, texts, TINY_TEXTS);
    cost sum = {0};
    for (size_t b = 0; b < TINY_TEXTS; b++) {
        cost one = cost_of(t.offsets[b + 1] - t.offsets[b]);
        sum.values_exact += one.values_exact;
        sum.total_exact += one.total_exact;
        sum.total_first += one.total_first;
        sum.total_padded += one.total_padded;
    }
    static const struct {
        const char *values;
        int all_rows;
    } cases[] = {{"exact", 0}, {"exact", 1}, {"mca:alpha=1e-9", 0}, {"mca:alpha=1e-9,length=padded:128", 0}, {"mca:alpha=.3", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        fov_session_options options = {.values = cases[i].values, .all_rows = cases[i].all_rows, .batch_tokens = 512};
        outcome *out = run_all(&options);
        const fov_stats *s = &out->stats;
        assert_int_equal(s->texts, TINY_TEXTS);
        assert_int_equal(s->tokens, t.offsets[TINY_TEXTS]);
        check_count("exact values", s->values_exact_real, sum.values_exact);
        check_count("exact total", s->total_exact_real, sum.total_exact);
        check_count("exact values, padded", s->values_exact_padded, (double)LAYERS * TINY_TEXTS * 128 * WIDTH * WIDTH);
        check_count("done values, padded", s->values_done_padded, s->values_done_real);
        bool padded = strstr(cases[i].values, "padded"), sampled = strstr(cases[i].values, "=.3");
        double want = cases[i].all_rows ? sum.total_exact : padded ? sum.total_padded : sum.total_first;
        if (sampled)
            assert_true(s->values_done_real > 0 && s->values_done_real < sum.values_exact);
        else
            check_count("done values", s->values_done_real, sum.values_exact);
        check_count("done total", s->total_done_real, want - sum.values_exact + s->values_done_real);
        free(out);
    }
}

static int set_up(void **state) {
    (void)state;
    model = tiny_load(NULL);
    tiny_texts(texts);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fov_model_free(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest kernel_tests[] = {
        cmocka_unit_test(test_reference),   cmocka_unit_test(test_batch_is_single),
        cmocka_unit_test(test_exact_limit), cmocka_unit_test(test_one_pass),
        cmocka_unit_test(test_rows),
    };
    const struct CMUnitTest other_tests[] = {
        cmocka_unit_test(test_threads_and_batches), cmocka_unit_test(test_order),         cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_texts_differ),        cmocka_unit_test(test_weight_groups), cmocka_unit_test(test_multiply_adds),
    };
    if (!fov_kernels_get(NULL)) return 77; /* FOV_CPU names a tier that this processor lacks: skipped */
    int failed = cmocka_run_group_tests(kernel_tests, set_up, tear_down);
    if (!getenv("FOV_CPU")) failed += cmocka_run_group_tests(other_tests, set_up, tear_down); /* these do not depend on the tier */
    return failed;
}
