/* test_sharing.c: one model, several threads, each with its own session: the logits of every thread and thread count are those of
 * a lone session with one thread, bit for bit. Under the thread sanitizer this is the test that shared state is not written. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "foveate/foveate.h"

enum { CALLERS = 3, TEXTS = 12, LABELS = 2 };

typedef struct caller {
    const fov_model *model;
    const char *values;
    unsigned threads;
    fov_status status;
    fov_error error;
    float logits[TEXTS][LABELS];
} caller;

/* Texts of unequal length, so that batches are ragged and threads get unequal work. */
static void make_texts(fov_text texts[TEXTS], char letters[TEXTS][400]) {
    static const char *const parts[] = {"the film ", "was not ", "as slow as ", "its first hour; ", "a warm, ", "odd ending "};
    for (size_t i = 0; i < TEXTS; i++) {
        letters[i][0] = '\0';
        for (size_t j = 0; j <= 2 * i; j++) strcat(letters[i], parts[(i + j) % 6]);
        texts[i] = (fov_text){.a = letters[i], .a_size = strlen(letters[i])};
    }
}

static void *classify(void *context) {
    caller *c = context;
    fov_text texts[TEXTS];
    char letters[TEXTS][400];
    make_texts(texts, letters);
    const fov_session_options options = {.threads = c->threads, .seed = 7, .values = c->values, .batch_tokens = 64};
    fov_session *session = NULL;
    c->status = fov_session_create(c->model, &options, &session, &c->error);
    for (int round = 0; round < 2 && c->status == FOV_OK; round++)
        c->status = fov_classify(session, texts, TEXTS, c->logits[0], NULL, &c->error);
    fov_session_free(session);
    return NULL;
}

static void check_shared(const char *values) {
    fov_model *model = NULL;
    fov_error error = {0};
    fov_status status = fov_model_load(FOV_SOURCE_DIR "/models/tiny-sentiment", NULL, &model, &error);
    if (status != FOV_OK) fail_msg("%s: %s", error.where, error.message);
    caller alone = {.model = model, .values = values, .threads = 1};
    classify(&alone);
    if (alone.status != FOV_OK) fail_msg("%s: %s", alone.error.where, alone.error.message);
    for (size_t i = 1; i < TEXTS; i++) assert_memory_not_equal(alone.logits[0], alone.logits[i], sizeof alone.logits[0]);

    static caller callers[CALLERS];
    pthread_t ids[CALLERS];
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.model = model, .values = values, .threads = i + 1};
        assert_int_equal(pthread_create(&ids[i], NULL, classify, &callers[i]), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) assert_int_equal(pthread_join(ids[i], NULL), 0);
    for (unsigned i = 0; i < CALLERS; i++) {
        if (callers[i].status != FOV_OK) fail_msg("%s: %s", callers[i].error.where, callers[i].error.message);
        assert_memory_equal(callers[i].logits, alone.logits, sizeof alone.logits);
    }
    fov_model_free(model);
}

static void test_exact(void **state) {
    (void)state;
    check_shared("exact");
}

static void test_monte_carlo(void **state) {
    (void)state;
    check_shared("mca:alpha=.5");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact), cmocka_unit_test(test_monte_carlo)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
