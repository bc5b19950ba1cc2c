/* test_token_parts.c: the tokenizer's parts against independent references: UTF-8 and Unicode against utf8proc, the trie against
 * a search of all keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <utf8proc.h>

#include "core/rng.h"
#include "token/trie.h"
#include "token/unicode.h"

/* Every code point there and back, and utf8proc's decoder agrees. */
static void utf8_valid(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code - 0xD800u < 0x800u) continue;
        uint8_t bytes[4] = {0};
        uint32_t back;
        utf8proc_int32_t theirs;
        size_t size = fov_utf8_encode(code, bytes);
        assert_int_equal(utf8proc_iterate(bytes, (utf8proc_ssize_t)size, &theirs), size);
        assert_int_equal(theirs, code);
        assert_int_equal(fov_utf8_decode(bytes, 4, &back), size);
        assert_int_equal(back, code);
    }
}

/* The maximal subpart by its definition: the longest prefix that some valid sequence begins with, at least one byte. Prefixes of
 * valid sequences are found by encoding every code point. */
static uint8_t prefix2[256][256], valid3[256][256][64];

static void utf8_invalid(void **state) {
    (void)state;
    for (uint32_t code = 0x80; code < 0x110000; code++) {
        utf8proc_uint8_t b[4];
        if (code - 0xD800u < 0x800u) continue;
        utf8proc_ssize_t size = utf8proc_encode_char((utf8proc_int32_t)code, b);
        prefix2[b[0]][b[1]] = (uint8_t)size;
        if (size > 2) valid3[b[0]][b[1]][b[2] & 63] = (uint8_t)size;
    }
    for (uint32_t i = 0; i < 1u << 24; i += 7) { /* 7: 2.4 million of the three-byte strings, all first pairs */
        uint8_t text[4] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 0x41};
        size_t want;
        bool valid;
        if (text[0] < 0x80) {
            want = 1, valid = true;
        } else if (!prefix2[text[0]][text[1]]) {
            want = 1, valid = false;
        } else if (prefix2[text[0]][text[1]] == 2) {
            want = 2, valid = true;
        } else if ((text[2] & 0xC0) != 0x80 || !valid3[text[0]][text[1]][text[2] & 63]) {
            want = 2, valid = false;
        } else {
            want = 3, valid = prefix2[text[0]][text[1]] == 3;
        }
        uint32_t code;
        size_t taken = fov_utf8_decode(text, 4, &code);
        if (taken != want || (code != FOV_INVALID) != valid) fail_msg("%06x: %zu bytes, not %zu", i, taken, want);
        if (fov_utf8_decode(text, 1, &code) != 1) fail_msg("%06x: reads beyond its size", i);
    }
}

/* Canonical decompositions of assigned characters never change (Unicode's stability policy), so every one of the table is in any
 * utf8proc; simple lower case agrees for whatever utf8proc knows, U+0130 apart, whose full lower case has two. */
static void unicode_tables(void **state) {
    (void)state;
    size_t decomposed = 0, lowered = 0;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code - 0xD800u < 0x800u) continue;
        uint32_t parts[4], lower[2];
        utf8proc_int32_t theirs[8];
        int last = 0;
        size_t count = fov_unicode_decompose(code, parts);
        if (count > 1 || parts[0] != code) {
            decomposed++;
            utf8proc_ssize_t n =
                utf8proc_decompose_char((utf8proc_int32_t)code, theirs, 8, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &last);
            assert_int_equal(n, count);
            for (size_t i = 0; i < count; i++) assert_int_equal(theirs[i], parts[i]);
        }
        utf8proc_int32_t low = utf8proc_tolower((utf8proc_int32_t)code);
        count = fov_unicode_lowercase(code, lower);
        lowered += lower[0] != code;
        if (low != (utf8proc_int32_t)code) assert_int_equal(lower[0], low);
        assert_int_equal(count, code == 0x130 ? 2 : 1);
    }
    assert_true(decomposed > 11172 + 2000 && lowered > 1400);
}

static void classes(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x80; c++) {
        unsigned flags = fov_unicode_of(c);
        bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r', control = c < 0x20 || c == 0x7F;
        bool letter = (c | 32u) - 'a' < 26u || c - '0' < 10u;
        assert_int_equal(!!(flags & FOV_CP_SPACE), space);
        assert_int_equal(!!(flags & FOV_CP_DROP), control && !space);
        assert_int_equal(!!(flags & FOV_CP_PUNCT), !control && !space && !letter);
    }
    assert_true(fov_unicode_of(0x4E2D) & FOV_CP_CJK);
    assert_true(fov_unicode_of(0xFFFD) & FOV_CP_DROP);
    assert_true(fov_unicode_of(0x301) & FOV_CP_MARK);
    assert_true(fov_unicode_of(0x302E) & FOV_CP_NONSTARTER && !(fov_unicode_of(0x302E) & FOV_CP_MARK));
    assert_int_equal(fov_unicode_ccc(0x302E), 224);
    assert_int_equal(fov_unicode_ccc(0x1D165), 216);
}

static void trie(void **state) {
    (void)state;
    enum { KEYS = 3000, SIZE = 6 };
    static uint8_t texts[KEYS][SIZE];
    static fov_trie_key keys[KEYS], sorted[KEYS];
    fov_rng rng = fov_rng_stream(3, 0, 0, 0, 0);
    uint32_t draw[4];
    for (int32_t k = 0; k < KEYS; k++) {
        fov_rng_next4(&rng, draw);
        for (size_t i = 0; i < SIZE; i++) texts[k][i] = (uint8_t)((draw[0] >> (4 * i) & 3u) * 85u); /* 0, 85, 170, 255 */
        keys[k] = (fov_trie_key){texts[k], draw[1] % (SIZE + 1), k};
    }
    memcpy(sorted, keys, sizeof keys);
    fov_trie t;
    assert_int_equal(fov_trie_build(&t, sorted, KEYS, "trie", NULL, NULL), FOV_OK);
    for (int n = 0; n < 3000; n++) {
        uint8_t text[8];
        fov_rng_next4(&rng, draw);
        for (size_t i = 0; i < 8; i++) text[i] = (uint8_t)((draw[0] >> (4 * i) & 3u) * 85u);
        size_t best = 0, size = draw[1] % 9;
        int32_t id = -1, found = -1;
        for (size_t k = 0; k < KEYS; k++) {
            if (!keys[k].size || keys[k].size > size || keys[k].size < best || memcmp(keys[k].text, text, keys[k].size)) continue;
            best = keys[k].size;
            id = keys[k].id; /* the last of equal keys */
        }
        assert_int_equal(fov_trie_longest(&t, text, size, &found), best);
        assert_int_equal(found, id);
    }
    fov_trie_free(&t, NULL);
    assert_int_equal(fov_trie_build(&t, NULL, 0, "trie", NULL, NULL), FOV_OK);
    int32_t none = -1;
    assert_int_equal(fov_trie_longest(&t, (const uint8_t *)"\0a", 2, &none), 0);
    fov_trie_free(&t, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(utf8_valid), cmocka_unit_test(utf8_invalid),
                                       cmocka_unit_test(unicode_tables), cmocka_unit_test(classes), cmocka_unit_test(trie)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
