/* folder.h: a temporary folder for tests: made, filled with files, removed with all that is in it. */
#ifndef FOV_TESTS_SUPPORT_FOLDER_H
#define FOV_TESTS_SUPPORT_FOLDER_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct folder {
    char path[512];
} folder;

static inline void folder_make(folder *f) {
    const char *place = getenv("TMPDIR");
    snprintf(f->path, sizeof f->path, "%s/foveate-test-XXXXXX", place && strlen(place) < 400 ? place : "/tmp");
    assert_non_null(mkdtemp(f->path));
}

/* The path of `name` in the folder; valid until the next call. */
static inline const char *folder_path(const folder *f, const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

static inline void folder_write(const folder *f, const char *name, const void *data, size_t size) {
    FILE *file = fopen(folder_path(f, name), "wb");
    assert_non_null(file);
    if (size) assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void folder_write_text(const folder *f, const char *name, const char *text) {
    folder_write(f, name, text, strlen(text));
}

static inline void folder_make_inner(const folder *f, const char *name) {
    assert_int_equal(mkdir(folder_path(f, name), 0700), 0);
}

static inline void folder_remove_tree(const char *path) {
    DIR *list = opendir(path);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char inner[1024];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(inner, sizeof inner, "%.600s/%.300s", path, entry->d_name);
        if (unlink(inner)) folder_remove_tree(inner);
    }
    if (list) closedir(list);
    rmdir(path);
}

static inline void folder_remove(folder *f) {
    folder_remove_tree(f->path);
}

/* A test whose *state is an empty folder, removed after it, whether it fails or not. */
#define folder_unit_test(test) cmocka_unit_test_setup_teardown(test, folder_begin, folder_end)

static inline int folder_begin(void **state) {
    static folder f; /* one test at a time */
    folder_make(&f);
    *state = &f;
    return 0;
}

static inline int folder_end(void **state) {
    folder_remove(*state);
    return 0;
}

#endif
