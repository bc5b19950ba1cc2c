/* test_token_shared.c: one tokenizer used by several threads at once, each with its own scratch, gives the ids of one thread. For
 * the thread sanitizer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/rng.h"
#include "token/token.h"

enum { THREADS = 4, TEXTS = 5000 };

static fov_tokenizer *tokenizer;
static pthread_barrier_t start;

typedef struct job {
    pthread_t thread;
    uint64_t hashes[TEXTS]; /* of each text's ids */
    fov_status status;
    bool together;
} job;

static void *encode_all(void *context) {
    job *j = context;
    fov_token_scratch scratch = {0};
    if (j->together) pthread_barrier_wait(&start);
    for (int i = 0; i < TEXTS && !j->status; i++) {
        char text[80];
        fov_encoding e = {0};
        int size = snprintf(text, sizeof text, "The movies, %d caf\xc3\xa9s [MASK] \xe4\xb8\xad%d unaffable", i, i * i);
        j->status = fov_tokenizer_encode(tokenizer, &scratch, NULL, text, (size_t)size, i & 1 ? text : NULL, 9, 40, &e, NULL);
        j->hashes[i] = fov_hash_ids(e.ids, e.count);
    }
    fov_token_scratch_free(&scratch, NULL);
    return NULL;
}

static void shared(void **state) {
    (void)state;
    static char vocabulary[1 << 18];
    static job jobs[THREADS], alone;
    fov_tokenizer_options options = {.lower_case = 1, .strip_accents = 1, .chinese_chars = 1};
    FILE *file = fopen(FOV_SOURCE_DIR "/models/tiny-sentiment/vocab.txt", "rb");
    assert_non_null(file);
    size_t size = fread(vocabulary, 1, sizeof vocabulary, file);
    fclose(file);
    assert_int_equal(fov_tokenizer_from_vocab(vocabulary, size, &options, "v", NULL, &tokenizer, NULL), FOV_OK);
    encode_all(&alone);
    assert_int_equal(alone.status, FOV_OK);
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (int t = 0; t < THREADS; t++) jobs[t].together = true;
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_create(&jobs[t].thread, NULL, encode_all, &jobs[t]), 0);
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_join(jobs[t].thread, NULL), 0);
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(jobs[t].status, FOV_OK);
        assert_memory_equal(jobs[t].hashes, alone.hashes, sizeof alone.hashes);
    }
    pthread_barrier_destroy(&start);
    fov_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
