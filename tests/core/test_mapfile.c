/* test_mapfile.c: mapping, dropping pages, and the refusals. */
#include "core/mapfile.h"
#include "support/folder.h"

static void check_refused(const char *path, const char *word) {
    fov_mapfile file;
    fov_error error = {0};
    assert_int_equal(fov_mapfile_open(&file, path, &error), FOV_ERR_IO);
    assert_int_equal(error.status, FOV_ERR_IO);
    assert_string_equal(error.where, path);
    if (!strstr(error.message, word)) fail_msg("\"%s\" does not say \"%s\"", error.message, word);
    assert_null(file.data);
    assert_int_equal(file.size, 0);
    assert_int_equal(fov_mapfile_open(&file, path, NULL), FOV_ERR_IO);
    fov_mapfile_close(&file);
}

static void test_refusals(void **state) {
    (void)state;
    folder f;
    folder_make(&f);
    check_refused(folder_path(&f, "absent"), "No such file");
    check_refused(f.path, "folder");
    assert_int_equal(mkfifo(folder_path(&f, "pipe"), 0600), 0);
    check_refused(folder_path(&f, "pipe"), "regular"); /* and does not wait for a writer */
    folder_remove(&f);
}

static void test_content(void **state) {
    (void)state;
    folder f;
    folder_make(&f);
    folder_write_text(&f, "text", "seven b");
    folder_write_text(&f, "empty", "");
    fov_mapfile file;
    assert_int_equal(fov_mapfile_open(&file, folder_path(&f, "text"), NULL), FOV_OK);
    assert_int_equal(file.size, 7);
    assert_memory_equal(file.data, "seven b", 7);
    fov_mapfile_close(&file);
    assert_null(file.data);
    fov_mapfile_close(&file); /* twice is harmless */
    assert_int_equal(fov_mapfile_open(&file, folder_path(&f, "empty"), NULL), FOV_OK);
    assert_null(file.data);
    assert_int_equal(file.size, 0);
    fov_mapfile_close(&file);
    folder_remove(&f);
}

/* Resident KiB of the mapping that holds `address`, from /proc/self/smaps. */
static long resident(const void *address) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    if (!maps) return -1;
    char line[512];
    unsigned long long begin, end, at = (uintptr_t)address;
    long kib = -1;
    for (int inside = 0; kib < 0 && fgets(line, sizeof line, maps);) {
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2) inside = begin <= at && at < end;
        if (inside) sscanf(line, "Rss: %ld", &kib);
    }
    fclose(maps);
    return kib;
}

/* Dropped pages leave memory and come back unchanged; pages shared with a neighbour stay. */
static void test_drop(void **state) {
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 64 * page;
    unsigned char *bytes = malloc(size);
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i / page * 7 + i);
    folder f;
    folder_make(&f);
    folder_write(&f, "pages", bytes, size);
    fov_mapfile file;
    assert_int_equal(fov_mapfile_open(&file, folder_path(&f, "pages"), NULL), FOV_OK);
    const unsigned char *data = file.data;
    assert_memory_equal(data, bytes, size);
    const long all = (long)(size / 1024), one = (long)(page / 1024);
    if (resident(data) != all) {
        fov_mapfile_close(&file);
        folder_remove(&f);
        free(bytes);
        skip(); /* no smaps here */
    }
    fov_mapfile_drop(data + 10, page); /* no whole page inside */
    assert_int_equal(resident(data), all);
    fov_mapfile_drop(data + 1, 3 * page); /* pages 1 and 2 */
    assert_int_equal(resident(data), all - 2 * one);
    fov_mapfile_drop(data, size);
    assert_int_equal(resident(data), 0);
    assert_memory_equal(data, bytes, size);
    fov_mapfile_drop(NULL, 0);
    fov_mapfile_close(&file);
    folder_remove(&f);
    free(bytes);
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
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
