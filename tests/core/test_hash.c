/* test_hash.c: the hash of bytes against a plain transcription of its definition in Python with whole numbers. Profiles, packed
 * models and resumed runs hold these numbers, so they never change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/hash.h"

enum { BYTES = 200 };

static void fill(unsigned char bytes[BYTES]) {
    for (size_t i = 0; i < BYTES; i++) bytes[i] = (unsigned char)(7 * i + 3);
}

static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t from;
        size_t size;
        uint64_t hash;
    } known[] = {
        {0x0u, 0, 0xcdb8e918da09f350u},
        {0x0u, 1, 0x012164ee8665a4e4u},
        {0x5u, 31, 0x9895a63b99e8ccfbu},
        {0x5u, 32, 0x3162fdb7b3fc0605u},
        {0xffffffffffffffffu, 33, 0x5f608ed8683b8729u},
        {0x1u, 200, 0xcfb4ef7375af9bb0u},
    };
    unsigned char room[BYTES + 1];
    for (size_t shift = 0; shift < 2; shift++) { /* wherever they begin */
        unsigned char bytes[BYTES];
        fill(bytes);
        memcpy(room + shift, bytes, BYTES);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            assert_true(fov_hash_bytes(known[i].from, room + shift, known[i].size) == known[i].hash);
    }
    assert_true(fov_hash_bytes(0, NULL, 0) == known[0].hash);
}

/* Every single bit tells, and so does a zero more at the end. */
static void test_changes(void **state) {
    (void)state;
    unsigned char bytes[BYTES];
    fill(bytes);
    const uint64_t whole = fov_hash_bytes(9, bytes, BYTES - 1);
    for (size_t i = 0; i < (BYTES - 1) * 8; i++) {
        bytes[i / 8] ^= (unsigned char)(1U << i % 8);
        assert_true(fov_hash_bytes(9, bytes, BYTES - 1) != whole);
        bytes[i / 8] ^= (unsigned char)(1U << i % 8);
    }
    bytes[BYTES - 1] = 0;
    assert_true(fov_hash_bytes(9, bytes, BYTES) != whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
