/* tiny.h: the model every engine test can have: models/tiny-sentiment, and texts for it. */
#ifndef FOV_TESTS_SUPPORT_TINY_H
#define FOV_TESTS_SUPPORT_TINY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "foveate/foveate.h"

#define TINY_FOLDER FOV_SOURCE_DIR "/models/tiny-sentiment"

/* Fail the test with the library's own words. */
#define assert_ok(call)                                                                                                            \
    do {                                                                                                                           \
        fov_error error_ = {0};                                                                                                    \
        fov_error *error = &error_;                                                                                                \
        fov_status status_ = (call);                                                                                               \
        if (status_) fail_msg("%s: %s (%s)", #call, error_.message, error_.where);                                                 \
    } while (0)

static inline fov_text text_of(const char *a) {
    return (fov_text){a, NULL, strlen(a), 0};
}
static inline fov_text pair_of(const char *a, const char *b) {
    return (fov_text){a, b, strlen(a), strlen(b)};
}

static inline fov_model *tiny_load(const fov_allocator *allocator) {
    fov_model_options options = {.allocator = allocator, .threads = 2};
    fov_model *model = NULL;
    assert_ok(fov_model_load(TINY_FOLDER, &options, &model, error));
    return model;
}

enum { TINY_TEXTS = 13 };

/* Sentences and pairs of 2 to about 60 tokens, some of them twice. */
static inline void tiny_texts(fov_text texts[TINY_TEXTS]) {
    static char longest[500];
    if (!*longest)
        while (strlen(longest) < 200) strcat(longest, "the second half is slower than the first , yet nothing in it is dull . ");
    const fov_text all[TINY_TEXTS] = {
        text_of("a warm , funny and quietly moving film ."),
        text_of("no."),
        text_of(longest),
        pair_of("The plot is thin.", "The acting more than makes up for it!"),
        text_of(""),
        text_of("I wanted to like it; the jokes, the songs, the whole tired third act would not let me."),
        text_of("no."),
        pair_of("", "only a second text"),
        text_of("Two hours of my life that I will not get back - and I would gladly give two more."),
        text_of("unwatchable"),
        pair_of(longest, "the same again ?"),
        text_of("caf\xc3\xa9 na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80 #hashtag http://x.y/z 1,234.5"),
        text_of("a warm , funny and quietly moving film"),
    };
    memcpy(texts, all, sizeof all);
}

#endif
