/* test_memory.c: the allocator in use, checked sizes, the arena, the growing buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/memory.h"

/* Counts blocks and fails from the `fail_at`-th allocation on (0: never). */
typedef struct counter {
    size_t calls, live, fail_at;
} counter;

static void *counted_alloc(void *context, size_t bytes, size_t align) {
    counter *c = context;
    assert_true(align == FOV_ALIGN && bytes > 0);
    if (++c->calls >= c->fail_at && c->fail_at) return NULL;
    c->live++;
    return aligned_alloc(align, (bytes + align - 1) / align * align);
}

static void counted_release(void *context, void *block) {
    counter *c = context;
    if (block) c->live--;
    free(block);
}

static fov_allocator counting(counter *c) {
    return (fov_allocator){counted_alloc, counted_release, c};
}

static void test_alloc(void **state) {
    (void)state;
    counter c = {0};
    const fov_allocator mine = counting(&c), *const both[] = {NULL, &mine};
    assert_ptr_equal(fov_allocator_or_default(&mine), &mine);
    assert_non_null(fov_allocator_or_default(NULL));
    for (size_t i = 0; i < 2; i++) {
        unsigned char *a = fov_alloc(both[i], 100), *none = fov_alloc(both[i], 0), *z = fov_alloc_zero(both[i], 1000);
        assert_true(a && none && z);
        assert_int_equal((uintptr_t)a % FOV_ALIGN | (uintptr_t)none % FOV_ALIGN | (uintptr_t)z % FOV_ALIGN, 0);
        memset(a, 1, 100);
        for (size_t j = 0; j < 1000; j++) assert_int_equal(z[j], 0);
        char *text = fov_copy_text(both[i], "abcdef", 3);
        assert_string_equal(text, "abc");
        fov_release(both[i], a);
        fov_release(both[i], none);
        fov_release(both[i], z);
        fov_release(both[i], text);
        fov_release(both[i], NULL);
        assert_null(fov_alloc(both[i], SIZE_MAX));
        assert_null(fov_copy_text(both[i], "", SIZE_MAX));
    }
    assert_null(fov_alloc(NULL, SIZE_MAX - 10)); /* would wrap when rounded up */
    assert_int_equal(c.live, 0);
}

/* A block large enough for huge pages is whole ones, and as long as asked for. */
static void test_large(void **state) {
    (void)state;
    const size_t bytes = ((size_t)32 << 20) + 1;
    unsigned char *block = fov_alloc(NULL, bytes);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % ((size_t)2 << 20), 0);
    block[0] = 1;
    block[bytes - 1] = 2;
    assert_int_equal(block[0] + block[bytes - 1], 3);
    fov_release(NULL, block);
}

static void test_sizes(void **state) {
    (void)state;
    assert_true(fov_mul(3, 5) == 15 && fov_mul(0, SIZE_MAX) == 0 && fov_mul(SIZE_MAX, 1) == SIZE_MAX);
    assert_true(fov_mul(SIZE_MAX / 2 + 1, 2) == SIZE_MAX && fov_mul(SIZE_MAX, SIZE_MAX) == SIZE_MAX);
    assert_true(fov_add(3, 5) == 8 && fov_add(SIZE_MAX, 0) == SIZE_MAX && fov_add(SIZE_MAX, 1) == SIZE_MAX);
}

typedef struct carved {
    float *a, *b;
    char *c;
} carved;

static carved carve(fov_arena *arena, size_t n) {
    carved r;
    r.a = fov_arena_take(arena, n, sizeof *r.a);
    r.b = fov_arena_take(arena, 1, sizeof *r.b);
    r.c = fov_arena_take(arena, 65, 1);
    return r;
}

static void test_arena(void **state) { /* measured and carved by one function; one byte short is an overflow */
    (void)state;
    fov_arena measure = {0};
    const carved none = carve(&measure, 100);
    assert_true(!none.a && !none.b && !none.c && !measure.overflow);
    assert_int_equal(measure.used, 448 + 64 + 128); /* 400, 4 and 65 bytes, each rounded up to 64 */
    unsigned char *block = fov_alloc(NULL, measure.used);
    assert_non_null(block);
    fov_arena arena = {.block = block, .size = measure.used};
    const carved all = carve(&arena, 100);
    assert_true(!arena.overflow && arena.used == measure.used);
    assert_ptr_equal(all.a, block);
    assert_ptr_equal(all.b, block + 448);
    assert_ptr_equal(all.c, block + 512);
    fov_arena small = {.block = block, .size = measure.used - 1};
    const carved part = carve(&small, 100);
    assert_true(part.a && part.b && !part.c && small.overflow);
    fov_release(NULL, block);
}

static void test_arena_saturates(void **state) {
    (void)state;
    fov_arena arena = {0};
    fov_arena_take(&arena, SIZE_MAX / 2, 4);
    assert_true(arena.used == SIZE_MAX);
    fov_arena_take(&arena, 10, 4);
    assert_true(arena.used == SIZE_MAX);
    unsigned char block[64];
    fov_arena real = {.block = block, .size = sizeof block};
    assert_null(fov_arena_take(&real, SIZE_MAX, 1));
    assert_true(real.overflow);
    assert_null(fov_arena_take(&real, 1, 1)); /* nothing fits after that */
}

static void test_buffer(void **state) {
    (void)state;
    counter c = {0};
    const fov_allocator mine = counting(&c);
    fov_buffer buffer = {0};
    void *first = fov_buffer_reserve(&buffer, &mine, 100);
    assert_non_null(first);
    assert_ptr_equal(fov_buffer_reserve(&buffer, &mine, 40), first);
    assert_int_equal(c.calls, 1);
    assert_non_null(fov_buffer_reserve(&buffer, &mine, 1000));
    assert_true(c.live == 1 && buffer.size == 1000);
    void *kept = buffer.block;
    c.fail_at = 1;
    assert_null(fov_buffer_reserve(&buffer, &mine, 2000));
    assert_ptr_equal(buffer.block, kept);
    assert_ptr_equal(fov_buffer_reserve(&buffer, &mine, 1000), kept);
    fov_buffer_free(&buffer, &mine);
    fov_buffer_free(&buffer, &mine);
    assert_true(c.live == 0 && !buffer.block && buffer.size == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alloc),           cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_sizes),           cmocka_unit_test(test_arena),
                                       cmocka_unit_test(test_arena_saturates), cmocka_unit_test(test_buffer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
