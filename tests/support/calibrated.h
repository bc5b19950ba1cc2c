/* calibrated.h: texts, and the profile over them of the tiny model's first two layers, made through the public calls. Two are one
 * in the middle and the last, of which only what the head reads is computed; all four would take twice the time. */
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

enum { LAYERS = 2 };

typedef struct edit {
    const char *word;
    size_t at; /* wherever the word stands, its character number `at` ... */
    char with; /* becomes this one */
} edit;

/* A file of the tiny model into `to`. flipped: so many bytes from its end one bit is another; 0: none. */
static inline void copy_tiny(const folder *to, const char *name, const edit *edits, size_t count, size_t flipped) {
    static char data[12 << 20];
    FILE *file = fopen(folder_path(&(folder){TINY_FOLDER}, name), "rb");
    assert_non_null(file);
    const size_t size = fread(data, 1, sizeof data, file);
    assert_int_equal(fclose(file), 0);
    for (size_t e = 0; e < count; e++) {
        const size_t length = strlen(edits[e].word);
        size_t found = 0;
        for (size_t i = 0; i + length <= size; i++)
            if (!memcmp(data + i, edits[e].word, length)) data[i + edits[e].at] = edits[e].with, found++;
        assert_true(found);
    }
    if (flipped) data[size - flipped] ^= 1;
    folder_write(to, name, data, size);
}

/* The tiny model's files without its profile, with two layers: the names of the others are hidden. */
static inline void copy_model(const folder *to, size_t flipped) {
    static const edit layers = {"num_hidden_layers\": 4", 20, '0' + LAYERS};
    static const edit hidden[] = {{"encoder.layer.2.", 8, 'L'}, {"encoder.layer.3.", 8, 'L'}};
    copy_tiny(to, "config.json", &layers, 1, 0);
    copy_tiny(to, "vocab.txt", NULL, 0, 0);
    copy_tiny(to, "tokenizer_config.json", NULL, 0, 0);
    copy_tiny(to, "model.safetensors", hidden, 2, flipped);
}

static fov_model *model;
static folder place;  /* of the model and its profile, by the name "profile" */
static bytes profile; /* of the model over the texts */

static inline int set_up(void **state) {
    (void)state;
    make_texts();
    folder_make(&place);
    copy_model(&place, 0);
    assert_ok(fov_model_load(place.path, &(fov_model_options){.threads = 2}, &model, error));
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

enum { MOST_IDS = 64 };

/* Ids of a text; whether it is held out, by the rule once more. */
static inline bool tokenize_held(fov_session *s, size_t text, int32_t ids[MOST_IDS], uint8_t types[MOST_IDS], size_t *count) {
    assert_ok(fov_tokenize(s, &texts[text], ids, types, MOST_IDS, count, NULL, error));
    return fov_mix64(fov_hash_ids(ids, *count)) % 8 == 0;
}

#endif
