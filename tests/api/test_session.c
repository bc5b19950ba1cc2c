/* test_session.c: the public calls: every refusal by the smallest input that raises it, odd texts, progress, stats, scores, memory
 * that runs out, and no memory asked for once a size has been seen. */
#include <math.h>

#include "support/failing_alloc.h"
#include "support/tiny.h"

#define GOLDEN FOV_SOURCE_DIR "/tests/golden/"
#define COUNT(array) (sizeof(array) / sizeof *(array))

static fov_model *model;

/* The call must fail with this status and one line that says the word. */
#define assert_fails(call, wanted, word)                                                                                           \
    do {                                                                                                                           \
        fov_error problem = {0}, *error = &problem;                                                                                \
        fov_status got_ = (call);                                                                                                  \
        if (got_ != (wanted)) fail_msg("%s: %s, not %s (%s)", #call, fov_status_name(got_), #wanted, problem.message);             \
        assert_int_equal(problem.status, got_);                                                                                    \
        if (!strstr(problem.message, (word)) && !strstr(problem.where, (word)))                                                    \
            fail_msg("%s: \"%s\" (%s) does not say \"%s\"", #call, problem.message, problem.where, (const char *)(word));          \
        assert_null(strchr(problem.message, '\n'));                                                                                \
        error = NULL;                                                                                                              \
        assert_int_equal((call), (wanted)); /* and without an error to fill */                                                     \
    } while (0)

static fov_session *session_of(const fov_model *m, const fov_session_options *options) {
    fov_session *session = NULL;
    assert_ok(fov_session_create(m, options, &session, error));
    assert_non_null(session);
    return session;
}

static fov_model *load(const char *folder, const fov_allocator *allocator) {
    fov_model *m = NULL;
    assert_ok(fov_model_load(folder, &(fov_model_options){.allocator = allocator}, &m, error));
    return m;
}

/* ---- refusals ---- */

static void test_model_arguments(void **state) {
    (void)state;
    fov_model *m = NULL;
    assert_fails(fov_model_load(NULL, NULL, &m, error), FOV_ERR_ARGUMENT, "folder");
    assert_fails(fov_model_load("", NULL, &m, error), FOV_ERR_ARGUMENT, "folder");
    assert_fails(fov_model_load(TINY_FOLDER, NULL, NULL, error), FOV_ERR_ARGUMENT, "model");
    const fov_allocator half = {0};
    assert_fails(fov_model_load(TINY_FOLDER, &(fov_model_options){.allocator = &half}, &m, error), FOV_ERR_ARGUMENT, "alloc");
    assert_fails(fov_model_load(TINY_FOLDER, &(fov_model_options){.threads = 300}, &m, error), FOV_ERR_ARGUMENT, "300");
    assert_fails(fov_model_load(TINY_FOLDER "/absent", NULL, &m, error), FOV_ERR_IO, "absent");
    fov_model_files files = {.config = "{}", .vocab = "", .weights = NULL};
    assert_fails(fov_model_load_memory(NULL, NULL, &m, error), FOV_ERR_ARGUMENT, "config");
    assert_fails(fov_model_load_memory(&files, NULL, &m, error), FOV_ERR_ARGUMENT, "weights");
    assert_null(m);
    fov_model_free(NULL);
}

static void test_session_arguments(void **state) {
    (void)state;
    fov_session *s = NULL;
    assert_fails(fov_session_create(NULL, NULL, &s, error), FOV_ERR_ARGUMENT, "model");
    assert_fails(fov_session_create(model, NULL, NULL, error), FOV_ERR_ARGUMENT, "session");
    static const struct {
        fov_session_options options;
        fov_status status;
        const char *word;
    } cases[] = {
        {{.threads = 300}, FOV_ERR_ARGUMENT, "300"},
        {{.threads = 257}, FOV_ERR_ARGUMENT, "256"},
        {{.max_length = 2}, FOV_ERR_ARGUMENT, "[3, 512]"},
        {{.max_length = 513}, FOV_ERR_ARGUMENT, "[3, 512]"},
        {{.batch_tokens = (size_t)-1}, FOV_ERR_ARGUMENT, "batch_tokens"},
        {{.pooling = (fov_pooling)7}, FOV_ERR_ARGUMENT, "pooling"},
        {{.attention = "denso"}, FOV_ERR_ARGUMENT, "'dense'"},
        {{.attention = ""}, FOV_ERR_ARGUMENT, "unknown method"},
        {{.attention = "dense:k=3"}, FOV_ERR_ARGUMENT, "no parameters"},
        {{.values = "mcaa"}, FOV_ERR_ARGUMENT, "'mca'"},
        {{.values = "exakt"}, FOV_ERR_ARGUMENT, "'exact'"},
        {{.ffn = "exacto"}, FOV_ERR_ARGUMENT, "'exact'"},
        {{.values = "mca:"}, FOV_ERR_ARGUMENT, "missing"},
        {{.values = "mca:alhpa=.2"}, FOV_ERR_ARGUMENT, "'alpha'"},
        {{.values = "mca:alpha"}, FOV_ERR_ARGUMENT, "key=value"},
        {{.values = "mca:alpha=0"}, FOV_ERR_ARGUMENT, "(0, 1]"},
        {{.values = "mca:alpha=1.5"}, FOV_ERR_ARGUMENT, "(0, 1]"},
        {{.values = "mca:alpha=-1"}, FOV_ERR_ARGUMENT, "(0, 1]"},
        {{.values = "mca:alpha=abc"}, FOV_ERR_ARGUMENT, "not a number"},
        {{.values = "mca:alpha=nan"}, FOV_ERR_ARGUMENT, "not a number"},
        {{.values = "mca:alpha="}, FOV_ERR_ARGUMENT, "not a number"},
        {{.values = "mca:alpha=.1,alpha=.2"}, FOV_ERR_ARGUMENT, "twice"},
        {{.values = "mca:alpha=.1,"}, FOV_ERR_ARGUMENT, "missing"},
        {{.values = "mca:length=padded:x"}, FOV_ERR_ARGUMENT, "padded:N"},
        {{.values = "mca:length=padded:0"}, FOV_ERR_ARGUMENT, "padded:N"},
        {{.values = "mca:length=128"}, FOV_ERR_ARGUMENT, "padded:N"},
        {{.values = "mca:draws=some"}, FOV_ERR_ARGUMENT, "shared|independent"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_fails(fov_session_create(model, &cases[i].options, &s, error), cases[i].status, cases[i].word);
    assert_null(s);
    fov_session_free(NULL);
}

static void test_call_arguments(void **state) {
    (void)state;
    fov_session *s = session_of(model, NULL);
    fov_text good = text_of("good"), no_a = {NULL, NULL, 3, 0}, no_b = {"a", NULL, 1, 3};
    float out[256];
    size_t n = 1;
    int32_t ids[4];
    fov_candidate candidates[4];
    fov_explanation explanation;
    assert_fails(fov_classify(NULL, &good, 1, out, NULL, error), FOV_ERR_ARGUMENT, "session");
    assert_fails(fov_classify(s, NULL, 1, out, NULL, error), FOV_ERR_ARGUMENT, "texts");
    assert_fails(fov_classify(s, &good, 1, NULL, NULL, error), FOV_ERR_ARGUMENT, "output");
    assert_fails(fov_classify(s, &no_a, 1, out, NULL, error), FOV_ERR_ARGUMENT, "text 0");
    assert_fails(fov_classify(s, &no_b, 1, out, NULL, error), FOV_ERR_ARGUMENT, "text 0");
    assert_fails(fov_embed(s, NULL, 1, out, NULL, error), FOV_ERR_ARGUMENT, "texts");
    assert_fails(fov_embed(NULL, &good, 1, out, NULL, error), FOV_ERR_ARGUMENT, "session");
    assert_fails(fov_embed(s, &no_a, 1, out, NULL, error), FOV_ERR_ARGUMENT, "text 0");
    assert_fails(fov_tokenize(NULL, &good, ids, NULL, 4, &n, NULL, error), FOV_ERR_ARGUMENT, "session");
    assert_fails(fov_tokenize(s, NULL, ids, NULL, 4, &n, NULL, error), FOV_ERR_ARGUMENT, "texts");
    assert_fails(fov_tokenize(s, &good, ids, NULL, 4, NULL, NULL, error), FOV_ERR_ARGUMENT, "output");
    assert_fails(fov_tokenize(s, &good, NULL, NULL, 4, &n, NULL, error), FOV_ERR_ARGUMENT, "ids");
    assert_fails(fov_explain(NULL, &good, &explanation, error), FOV_ERR_ARGUMENT, "session");
    assert_fails(fov_explain(s, NULL, &explanation, error), FOV_ERR_ARGUMENT, "texts");
    assert_fails(fov_explain(s, &good, NULL, error), FOV_ERR_ARGUMENT, "output");
    assert_fails(fov_fill_mask(s, &good, 1, candidates, &n, error), FOV_ERR_UNSUPPORTED, "masked-LM");
    assert_fails(fov_fill_mask(s, &good, 1, candidates, NULL, error), FOV_ERR_ARGUMENT, "masks");
    assert_fails(fov_fill_mask(s, &good, 0, candidates, &n, error), FOV_ERR_ARGUMENT, "top");
    assert_ok(fov_classify(s, NULL, 0, NULL, NULL, error)); /* nothing to do */
    assert_ok(fov_embed(s, NULL, 0, NULL, NULL, error));
    assert_ok(fov_tokenize(s, &good, NULL, NULL, 0, &n, NULL, error));
    assert_int_equal(n, 3);
    assert_ok(fov_embed(s, &good, 1, out, NULL, error)); /* a classifier embeds too */
    fov_session_free(s);
    assert_null(fov_model_label(model, 2));
    assert_string_equal(fov_model_label(model, 1), "positive");
    assert_null(fov_model_token(model, -1));
    assert_null(fov_model_token(model, 8192));
    assert_string_equal(fov_model_token(model, 0), "[PAD]");
}

static void test_fill_mask_arguments(void **state) {
    (void)state;
    fov_model *m = load(GOLDEN "bert-mask", NULL);
    fov_session *s = session_of(m, NULL);
    fov_text none = text_of("the film"), two = text_of("[MASK] film [MASK]");
    fov_candidate candidates[2 * 101];
    size_t masks = 1;
    float logits[2];
    assert_fails(fov_fill_mask(s, &none, 1, candidates, &masks, error), FOV_ERR_ARGUMENT, "[MASK]");
    assert_fails(fov_fill_mask(s, &two, 1, candidates, &masks, error), FOV_ERR_ARGUMENT, "2 masks");
    assert_fails(fov_fill_mask(s, &two, 102, candidates, &masks, error), FOV_ERR_ARGUMENT, "101");
    assert_fails(fov_classify(s, &two, 1, logits, NULL, error), FOV_ERR_UNSUPPORTED, "fill-mask");
    masks = 2;
    assert_ok(fov_fill_mask(s, &two, 101, candidates, &masks, error)); /* the whole vocabulary: each id once, in falling order */
    for (size_t r = 0; r < 2; r++) {
        double sum = 0;
        bool seen[101] = {false};
        for (size_t i = 0; i < 101; i++) {
            const fov_candidate *c = &candidates[r * 101 + i];
            assert_false(seen[c->id]);
            seen[c->id] = true;
            sum += (double)c->probability;
            if (i) assert_true(c->probability <= c[-1].probability);
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
    fov_session_free(s);
    fov_model_free(m);
}

/* ---- odd texts ---- */

static void test_odd_texts(void **state) {
    (void)state;
    static char huge[1 << 17];
    for (size_t i = 0; i < sizeof huge; i++) huge[i] = i % 6 == 5 ? ' ' : 'a';
    const fov_text texts[] = {
        text_of(""),           text_of(" \t\n \xc2\xa0 "), {NULL, NULL, 0, 0}, {huge, NULL, sizeof huge, 0},
        text_of("a\xff\xc3z"), {"a\0b", NULL, 3, 0},       pair_of("", ""),    {huge, huge, sizeof huge, sizeof huge}};
    enum { TEXTS = COUNT(texts) };
    float logits[TEXTS][2];
    fov_text_info info[TEXTS];
    fov_session *s = session_of(model, NULL);
    assert_ok(fov_classify(s, texts, TEXTS, logits[0], info, error));
    for (size_t i = 0; i < TEXTS; i++) assert_true(isfinite(logits[i][0]) && isfinite(logits[i][1]));
    for (size_t i = 0; i < 3; i++) { /* [CLS] [SEP] */
        assert_int_equal(info[i].tokens, 2);
        assert_int_equal(info[i].truncated, 0);
        assert_memory_equal(logits[i], logits[0], sizeof logits[0]);
    }
    assert_int_equal(info[3].tokens, 512);
    assert_true(info[3].truncated >= sizeof huge / 6 - 510);
    assert_int_equal(info[4].invalid, 2);
    assert_int_equal(info[5].invalid, 0);
    assert_int_equal(info[6].tokens, 3);
    assert_int_equal(info[7].tokens, 512);
    fov_stats stats;
    fov_session_get_stats(s, &stats);
    assert_int_equal(stats.texts, TEXTS);
    assert_int_equal(stats.truncated_texts, 2);
    assert_int_equal(stats.invalid_texts, 1);
    fov_session_free(s);

    s = session_of(model, &(fov_session_options){.max_length = 3});
    fov_text one = text_of("the film is good"), two = pair_of("the film", "is good");
    assert_ok(fov_classify(s, &one, 1, logits[0], info, error));
    assert_int_equal(info[0].tokens, 3);
    assert_int_equal(info[0].truncated, 3);
    assert_fails(fov_classify(s, &two, 1, logits[0], info, error), FOV_ERR_ARGUMENT, "at least 4");
    fov_session_free(s);
}

static void test_tokenize(void **state) {
    (void)state;
    fov_session *s = session_of(model, NULL);
    fov_text pair = pair_of("the film", "the end");
    int32_t ids[8] = {0}, few[3] = {-7, -7, -7};
    uint8_t types[8];
    size_t n;
    fov_text_info info;
    assert_ok(fov_tokenize(s, &pair, ids, types, 8, &n, &info, error));
    assert_int_equal(n, 7);
    assert_int_equal(info.tokens, 7);
    static const uint8_t want[7] = {0, 0, 0, 0, 1, 1, 1};
    assert_memory_equal(types, want, 7);
    static const char *const pieces[] = {"[CLS]", "the", "film", "[SEP]", "the", "end", "[SEP]"};
    for (size_t i = 0; i < 7; i++) assert_string_equal(fov_model_token(model, ids[i]), pieces[i]);
    assert_ok(fov_tokenize(s, &pair, few, NULL, 2, &n, NULL, error)); /* what fits; the number needed */
    assert_int_equal(n, 7);
    assert_memory_equal(few, ids, 2 * sizeof *ids);
    assert_int_equal(few[2], -7);
    fov_session_free(s);
}

/* ---- what a session reports ---- */

typedef struct progress_log {
    size_t calls, last, total, stop_at;
} progress_log;

static int log_progress(void *context, size_t done, size_t total) {
    progress_log *log = context;
    assert_true(done > log->last && done <= total);
    log->last = done;
    log->total = total;
    return ++log->calls == log->stop_at;
}

static void test_progress(void **state) {
    (void)state;
    fov_text texts[TINY_TEXTS];
    tiny_texts(texts);
    float logits[TINY_TEXTS][2], again[TINY_TEXTS][2];
    fov_session *s = session_of(model, &(fov_session_options){.batch_tokens = 128, .max_length = 128});
    progress_log log = {0};
    fov_session_set_progress(s, log_progress, &log);
    assert_ok(fov_classify(s, texts, TINY_TEXTS, logits[0], NULL, error));
    assert_true(log.calls >= 2);
    assert_int_equal(log.last, TINY_TEXTS);
    assert_int_equal(log.total, TINY_TEXTS);
    log = (progress_log){.stop_at = 1};
    fov_error problem = {0};
    assert_int_equal(fov_classify(s, texts, TINY_TEXTS, again[0], NULL, &problem), FOV_ERR_ARGUMENT);
    assert_string_equal(problem.message, "stopped by the caller");
    assert_int_equal(log.calls, 1);
    fov_session_set_progress(s, NULL, NULL);
    assert_ok(fov_classify(s, texts, TINY_TEXTS, again[0], NULL, error)); /* the session goes on */
    assert_memory_equal(logits, again, sizeof logits);
    fov_session_free(s);
}

static void test_settings_and_scores(void **state) {
    (void)state;
    fov_session *s = session_of(model, &(fov_session_options){.values = "mca:alpha=.25,length=padded:128"});
    assert_string_equal(fov_session_method(s, FOV_PLACE_ATTENTION), "dense");
    assert_string_equal(fov_session_method(s, FOV_PLACE_VALUES), "mca:alpha=0.25,length=padded:128,draws=shared,p=weights");
    assert_string_equal(fov_session_method(s, FOV_PLACE_FFN), "exact");
    assert_string_equal(fov_session_method(s, (fov_place)9), "");
    fov_text text = text_of("good");
    float logits[2], scores[2];
    assert_ok(fov_classify(s, &text, 1, logits, NULL, error));
    fov_scores(model, logits, scores);
    double want = 1 / (1 + exp((double)logits[0] - (double)logits[1]));
    assert_true(fabs((double)scores[1] - want) < 1e-7 && fabs((double)scores[0] + (double)scores[1] - 1) < 1e-6);
    fov_stats stats;
    fov_session_get_stats(s, &stats);
    assert_true(stats.seconds_total > 0 && stats.seconds_values > 0 && stats.seconds_values <= stats.seconds_total);
    assert_int_equal(stats.texts, 1);
    fov_session_reset_stats(s);
    fov_session_get_stats(s, &stats);
    static const fov_stats none;
    assert_memory_equal(&stats, &none, sizeof none);
    fov_session_free(s);

    const fov_model_info *info = fov_model_get_info(model);
    assert_string_equal(info->name, "tiny-sentiment");
    assert_string_equal(info->attention, "dense");
    const size_t c = 256, f = 1024, layer = 4 * (c * c + c) + 4 * c + f * c + f + c * f + c;
    assert_int_equal(info->parameters, (8192 + 512 + 2) * c + 2 * c + 4 * layer + c * c + c + 2 * c + 2);
    assert_true(info->weight_bytes > 4 * 3000000u); /* in f32, the embedding table apart */
}

/* Attentions that form no weights have nothing to show, and say so. */
static void test_explain_without_weights(void **state) {
    (void)state;
    const fov_method_info *method;
    fov_text text = text_of("a film");
    size_t refused = 0;
    for (size_t i = 0; (method = fov_method_at(FOV_PLACE_ATTENTION, i)); i++) {
        if (method->flags & FOV_METHOD_HAS_IMPORTANCE) continue;
        fov_session *s = session_of(model, &(fov_session_options){.attention = method->name});
        fov_explanation e;
        assert_fails(fov_explain(s, &text, &e, error), FOV_ERR_UNSUPPORTED, "softmax");
        fov_session_free(s);
        refused++;
    }
    assert_true(refused > 0);
}

static void test_explain(void **state) {
    (void)state;
    fov_text text = text_of("a warm , funny and quietly moving film , and much longer than it has any right to be .");
    float logits[2];
    static const char *const values[] = {"mca:alpha=.8", "exact", "mca:alpha=.05"}; /* the last: most tokens exact in every head */
    for (size_t k = 0; k < COUNT(values); k++) {
        fov_session *s = session_of(model, &(fov_session_options){.values = values[k], .seed = 5});
        fov_explanation e;
        assert_ok(fov_classify(s, &text, 1, logits, NULL, error));
        assert_ok(fov_explain(s, &text, &e, error));
        assert_int_equal(e.layers, 4);
        assert_int_equal(e.tokens, 22);
        assert_int_equal(e.heads, 4);
        assert_memory_equal(e.logits, logits, sizeof logits); /* what is explained is what was computed */
        double work = 0;
        for (size_t i = 0; i < e.layers * e.tokens; i++) {
            assert_true(e.importance[i] > 0 && e.importance[i] <= 1);
            assert_true(e.work[i] > 0 && e.work[i] <= 1.000001F);
            work += (double)e.work[i];
        }
        assert_true(k == 1 ? work == 4 * 22 : k == 0 ? work < 4 * 22 * .9 : work > 4 * 22 * .5);
        /* Both means of a layer are over all tokens and heads: they agree, but for the rounding of sums of at most 22 + 4 terms. */
        for (size_t l = 0; l < e.layers; l++) {
            double by_token[2] = {0}, by_head[2] = {0};
            for (size_t t = 0; t < e.tokens; t++) {
                by_token[0] += (double)e.importance[l * e.tokens + t] / (double)e.tokens;
                by_token[1] += (double)e.work[l * e.tokens + t] / (double)e.tokens;
            }
            for (size_t h = 0; h < e.heads; h++) {
                by_head[0] += (double)e.head_importance[l * e.heads + h] / (double)e.heads;
                by_head[1] += (double)e.head_work[l * e.heads + h] / (double)e.heads;
            }
            for (size_t i = 0; i < 2; i++) assert_true(fabs(by_token[i] - by_head[i]) < 1e-5);
        }
        assert_string_equal(fov_model_token(model, e.ids[0]), "[CLS]");
        fov_session_free(s);
    }
}

/* ---- memory ---- */

/* Everything that asks for memory, in order; the first failure ends it. */
static fov_status use_all(const char *folder, const fov_allocator *allocator, fov_error *error) {
    fov_text texts[] = {text_of("the film is [MASK] good"), pair_of("bad", "[MASK] slow ending")};
    float out[2][256];
    fov_explanation explanation;
    fov_candidate candidates[8];
    size_t masks = 1, ids;
    fov_model *m = NULL;
    fov_session *s = NULL;
    fov_status status = fov_model_load(folder, &(fov_model_options){.allocator = allocator, .threads = 1}, &m, error);
    const fov_session_options options = {.values = "mca:alpha=.5", .threads = 2, .batch_tokens = 128};
    if (!status) status = fov_session_create(m, &options, &s, error);
    if (!status) status = fov_tokenize(s, texts, NULL, NULL, 0, &ids, NULL, error);
    if (!status && fov_model_get_info(m)->labels) status = fov_classify(s, texts, 2, out[0], NULL, error);
    if (!status) status = fov_embed(s, texts, 2, out[0], NULL, error);
    if (!status) status = fov_explain(s, texts, &explanation, error);
    if (!status && fov_model_get_info(m)->head == FOV_HEAD_MASKED_LM)
        status = fov_fill_mask(s, texts, 4, candidates, &masks, error);
    fov_session_free(s);
    fov_model_free(m);
    return status;
}

static void test_memory_runs_out(void **state) {
    (void)state;
    static const char *const folders[] = {GOLDEN "bert-single-f32", GOLDEN "bert-sharded", GOLDEN "bert-mask", GOLDEN "sentence"};
    for (size_t f = 0; f < COUNT(folders); f++) {
        size_t tried = 0;
        for (size_t n = 1;; n++) {
            failing_alloc memory;
            failing_alloc_init(&memory, n);
            fov_error error = {0};
            fov_status status = use_all(folders[f], &memory.allocator, &error);
            failing_alloc_check(&memory);
            if (!memory.failed) {
                assert_int_equal(status, FOV_OK);
                break;
            }
            if (status != FOV_ERR_MEMORY)
                fail_msg("%s, allocation %zu: %s, %s", folders[f], n, fov_status_name(status), error.message);
            assert_int_equal(error.status, FOV_ERR_MEMORY);
            assert_non_null(strstr(error.message, "memory"));
            tried = n;
        }
        assert_true(tried > 15);
    }
}

/* Once a call of a size has been made, the next asks for nothing. */
static void test_no_memory_twice(void **state) {
    (void)state;
    static const char *const values[] = {"exact", "mca:alpha=.4", "mca:alpha=.4,draws=independent,length=padded:128"};
    fov_text texts[TINY_TEXTS];
    tiny_texts(texts);
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    fov_model *m = tiny_load(&memory.allocator);
    for (size_t v = 0; v < COUNT(values); v++) {
        fov_session *s = session_of(m, &(fov_session_options){.values = values[v], .threads = 2, .batch_tokens = 128});
        float logits[TINY_TEXTS][2], vectors[TINY_TEXTS][256];
        assert_ok(fov_classify(s, texts, TINY_TEXTS, logits[0], NULL, error));
        assert_ok(fov_embed(s, texts, TINY_TEXTS, vectors[0], NULL, error));
        size_t calls = memory.calls;
        for (size_t count = TINY_TEXTS; count; count /= 2) { /* the same, then less */
            assert_ok(fov_classify(s, texts, count, logits[0], NULL, error));
            assert_ok(fov_embed(s, texts, count, vectors[0], NULL, error));
        }
        assert_int_equal(memory.calls, calls);
        fov_session_free(s);
    }
    fov_model_free(m);
    failing_alloc_check(&memory);
}

static int set_up(void **state) {
    (void)state;
    model = tiny_load(NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fov_model_free(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_arguments), cmocka_unit_test(test_session_arguments),
        cmocka_unit_test(test_call_arguments),  cmocka_unit_test(test_fill_mask_arguments),
        cmocka_unit_test(test_odd_texts),       cmocka_unit_test(test_tokenize),
        cmocka_unit_test(test_progress),        cmocka_unit_test(test_settings_and_scores),
        cmocka_unit_test(test_explain),         cmocka_unit_test(test_explain_without_weights),
        cmocka_unit_test(test_memory_runs_out), cmocka_unit_test(test_no_memory_twice),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
