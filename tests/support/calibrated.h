/* calibrated.h: texts, and the profile of the tiny model over them, made through the public calls. */
#ifndef FOV_TESTS_SUPPORT_CALIBRATED_H
#define FOV_TESTS_SUPPORT_CALIBRATED_H

#include "support/folder.h"
#include "support/reference_encoder.h"
#include "support/tiny.h"

#include "core/rng.h"

enum { TEXTS = 160, WIDTH = 256 };

typedef struct bytes {
    unsigned char *data;
    size_t size, room, stop; /* stop: fail once so many bytes are written; 0: never */
} bytes;

static inline int append(void *context, const void *data, size_t size) {
    bytes *b = context;
    if (b->stop && b->size + size > b->stop) return 1;
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return 0;
}

static fov_text texts[TEXTS];

/* Sentences of 12 to 20 words, all different. */
static inline void make_texts(void) {
    static const char *const words[] = {"a",   "warm", "film", "dull", "plot",  "the", "acting", "is",    "never", "slow", "and",
                                        "fun", "it",   "has",  "no",   "heart", "but", "music",  "saves", "us",    "from", "bore"};
    static char lines[TEXTS][200];
    uint64_t state = 1;
    for (size_t i = 0; i < TEXTS; i++) {
        char *to = lines[i];
        *to = 0;
        for (size_t w = 0; w < 12 + i % 9; w++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            strcat(to, words[(state >> 33) % (sizeof words / sizeof *words)]);
            strcat(to, " ");
        }
        texts[i] = text_of(to);
    }
}

static inline bytes calibrate_with(const fov_model *model, const fov_calibration_options *options, size_t step, int reversed) {
    fov_calibration *c = NULL;
    bytes out = {0};
    fov_text order[TEXTS];
    for (size_t i = 0; i < TEXTS; i++) order[i] = texts[reversed ? TEXTS - 1 - i : i];
    assert_ok(fov_calibration_create(model, options, &c, error));
    for (size_t i = 0; i < TEXTS; i += step)
        assert_ok(fov_calibration_add(c, order + i, TEXTS - i < step ? TEXTS - i : step, error));
    fov_calibration_counts counts;
    fov_calibration_get_counts(c, &counts);
    assert_int_equal(counts.texts, TEXTS);
    assert_true(counts.tokens >= counts.tokens_needed);
    assert_ok(fov_calibration_write(c, append, &out, error));
    fov_calibration_free(c);
    return out;
}

static inline bytes calibrate(const fov_model *model, unsigned threads, size_t batch_tokens, size_t step, int reversed) {
    const fov_calibration_options options = {.threads = threads, .batch_tokens = batch_tokens};
    return calibrate_with(model, &options, step, reversed);
}

static fov_model *model;
static folder place;
static bytes profile; /* of the tiny model over the texts */

static inline int set_up(void **state) {
    (void)state;
    make_texts();
    folder_make(&place);
    model = tiny_load(NULL);
    profile = calibrate(model, 2, 0, TEXTS, 0);
    folder_write(&place, "profile", profile.data, profile.size);
    return 0;
}

static inline int tear_down(void **state) {
    (void)state;
    free(profile.data);
    fov_model_free(model);
    folder_remove(&place);
    return 0;
}

/* The rule by which texts are held out, once more. */
static inline bool is_held(const int32_t *ids, size_t count) {
    return fov_mix64(fov_hash_ids(ids, count)) % 8 == 0;
}

#endif
