/* test_file.c: whole files and parts of them, files that change, and the refusals. */
#include "core/file.h"
#include "core/memory.h"
#include "support/failing_alloc.h"
#include "support/folder.h"

#include <fcntl.h>

static void check_refused(const char *path, const char *word) {
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    fov_file file;
    fov_error error = {0};
    char *bytes;
    size_t size;
    assert_int_equal(fov_file_open(&file, path, &error), FOV_ERR_IO);
    assert_int_equal(error.status, FOV_ERR_IO);
    assert_string_equal(error.where, path);
    if (!strstr(error.message, word)) fail_msg("\"%s\" does not say \"%s\"", error.message, word);
    assert_false(file.open);
    fov_file_close(&file);
    assert_int_equal(fov_file_open(&file, path, NULL), FOV_ERR_IO);
    assert_int_equal(fov_file_load(path, 100, &memory.allocator, &bytes, &size, NULL), FOV_ERR_IO);
    assert_null(bytes);
    failing_alloc_check(&memory);
}

static void test_refusals(void **state) {
    folder *f = *state;
    check_refused(folder_path(f, "absent"), "No such file or directory; check the name");
    check_refused(f->path, "folder");
    assert_int_equal(mkfifo(folder_path(f, "pipe"), 0600), 0);
    check_refused(folder_path(f, "pipe"), "regular"); /* and does not wait for a writer */
}

static void test_content(void **state) {
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    folder *f = *state;
    folder_write_text(f, "text", "seven b");
    folder_write_text(f, "empty", "");
    char *bytes, part[3];
    size_t size;
    fov_error error;
    assert_int_equal(fov_file_load(folder_path(f, "text"), 7, &memory.allocator, &bytes, &size, NULL), FOV_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(bytes, "seven b", 7);
    fov_release(&memory.allocator, bytes);
    assert_int_equal(fov_file_load(folder_path(f, "text"), 6, &memory.allocator, &bytes, &size, &error), FOV_ERR_FORMAT);
    assert_non_null(strstr(error.message, "7 bytes are more than 6"));
    assert_int_equal(fov_file_load(folder_path(f, "empty"), 0, &memory.allocator, &bytes, &size, NULL), FOV_OK);
    assert_null(bytes);
    assert_int_equal(size, 0);
    failing_alloc_check(&memory);
    failing_alloc_init(&memory, 1);
    assert_int_equal(fov_file_load(folder_path(f, "text"), 7, &memory.allocator, &bytes, &size, NULL), FOV_ERR_MEMORY);
    assert_null(bytes);
    failing_alloc_check(&memory);
    fov_file file;
    assert_int_equal(fov_file_open(&file, folder_path(f, "text"), NULL), FOV_OK);
    assert_int_equal(file.size, 7);
    assert_int_equal(fov_file_read(&file, 2, 3, part, "text", NULL), FOV_OK);
    assert_memory_equal(part, "ven", 3);
    assert_int_equal(fov_file_read(&file, 7, 0, part, "text", NULL), FOV_OK);
    fov_file_close(&file);
    fov_file_close(&file); /* twice is harmless */
}

/* Shortened: the bytes that are left can be read, the others are an error. Written to: told. */
static void test_changed(void **state) {
    folder *f = *state;
    folder_write_text(f, "text", "seven b");
    const char *path = folder_path(f, "text");
    fov_file file;
    fov_error error = {0};
    char bytes[7];
    assert_int_equal(fov_file_open(&file, path, NULL), FOV_OK);
    assert_int_equal(fov_file_unchanged(&file, "name", NULL), FOV_OK);
    assert_int_equal(truncate(path, 4), 0);
    assert_int_equal(fov_file_read(&file, 0, 4, bytes, "name", NULL), FOV_OK);
    assert_memory_equal(bytes, "seve", 4);
    assert_int_equal(fov_file_read(&file, 0, 5, bytes, "name", &error), FOV_ERR_IO);
    assert_string_equal(error.where, "name");
    assert_non_null(strstr(error.message, "changed while"));
    assert_int_equal(fov_file_unchanged(&file, "name", &error), FOV_ERR_IO);
    fov_file_close(&file);
    assert_int_equal(fov_file_open(&file, path, NULL), FOV_OK);
    const struct timespec times[2] = {{1, 0}, {1, 0}}; /* the same size, written in 1970 */
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(fov_file_unchanged(&file, "name", &error), FOV_ERR_IO);
    fov_file_close(&file);
}

static void test_join(void **state) {
    (void)state;
    char path[FOV_MAX_PATH];
    assert_int_equal(fov_path_join(path, "a", "b", NULL), FOV_OK);
    assert_string_equal(path, "a/b");
    assert_int_equal(fov_path_join(path, "a/", "b", NULL), FOV_OK);
    assert_string_equal(path, "a/b");
    assert_int_equal(fov_path_join(path, "a", "", NULL), FOV_OK);
    assert_string_equal(path, "a");
    static char name[FOV_MAX_PATH];
    memset(name, 'x', FOV_MAX_PATH - 3);
    assert_int_equal(fov_path_join(path, "a", name, NULL), FOV_OK); /* 4095 letters: just fits */
    name[FOV_MAX_PATH - 3] = 'x';
    fov_error error;
    assert_int_equal(fov_path_join(path, "a", name, &error), FOV_ERR_IO);
    assert_non_null(strstr(error.message, "long"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        folder_unit_test(test_refusals),
        folder_unit_test(test_content),
        folder_unit_test(test_changed),
        cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
