/* test_files.c: the line reader, .xz, atomic outputs and the .npy writer. */
#include "block.h"
#include "npy.h"
#include "output.h"
#include "support/folder.h"

#include <lzma.h>
#include <math.h>

static void check_lines(const char *path, const char *const *lines, size_t count) {
    reader *r;
    const char *line;
    size_t size;
    assert_int_equal(reader_open(&r, path, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(reader_line(r, &line, &size), 1);
        assert_int_equal(size, strlen(lines[i]));
        assert_memory_equal(line, lines[i], size);
        assert_int_equal(reader_number(r), i + 1);
    }
    assert_int_equal(reader_line(r, &line, &size), 0);
    reader_close(r);
}

static void test_lines(void **state) {
    folder *f = *state;
    folder_write_text(f, "t",
                      "\xef\xbb\xbf"
                      "one\r\n\n two \r\r\nlast");
    check_lines(folder_path(f, "t"), (const char *[]){"one", "", " two \r", "last"}, 4);
    folder_write_text(f, "t", "");
    check_lines(folder_path(f, "t"), NULL, 0);
    folder_write_text(f, "t", "\n");
    check_lines(folder_path(f, "t"), (const char *[]){""}, 1);
    reader *r;
    const char *line;
    size_t size;
    assert_int_equal(reader_open(&r, folder_path(f, "absent"), NULL), 1);
    /* a line longer than any buffer, with NULs, between two short ones */
    enum { LONG = 300000 };
    char *text = malloc(LONG + 4);
    assert_non_null(text);
    memset(text, 'x', LONG + 4);
    memcpy(text, "a\n", 2);
    text[1000] = '\0';
    memcpy(text + LONG + 2, "\nb", 2);
    folder_write(f, "t", text, LONG + 4);
    assert_int_equal(reader_open(&r, folder_path(f, "t"), NULL), 0);
    assert_int_equal(reader_line(r, &line, &size), 1);
    assert_int_equal(reader_line(r, &line, &size), 1);
    assert_int_equal(size, LONG);
    assert_memory_equal(line, text + 2, LONG);
    assert_int_equal(reader_line(r, &line, &size), 1);
    assert_int_equal(size, 1);
    reader_close(r);
    free(text);
}

/* How far a file is read, at any line; nothing of what is no plain file. */
static void test_share(void **state) {
    folder *f = *state;
    reader *r;
    const char *line;
    size_t size, at = 0;
    enum { LINES = 40000, WIDTH = 10 };
    char *text = malloc(LINES * WIDTH);
    assert_non_null(text);
    for (size_t i = 0; i < LINES; i++) memcpy(text + i * WIDTH, "123456789\n", WIDTH);
    folder_write(f, "t", text, LINES * WIDTH);
    assert_int_equal(reader_open(&r, folder_path(f, "t"), NULL), 0);
    for (; reader_line(r, &line, &size) == 1; at++)
        if (at % 1000 == 999) assert_true(fabs(reader_share(r) - (double)(at + 1) / LINES) < 1e-12);
    assert_int_equal(at, LINES);
    assert_true(reader_share(r) == 1);
    reader_close(r);
    assert_int_equal(reader_open(&r, "/dev/null", NULL), 0);
    assert_true(reader_share(r) == 0);
    reader_close(r);
    free(text);
}

static void test_blocks(void **state) {
    folder *f = *state;
    folder_write_text(f, "t", "a\tb\n\n\tc\nd\t\n");
    reader *r;
    block b = {0};
    assert_int_equal(reader_open(&r, folder_path(f, "t"), NULL), 0);
    assert_int_equal(block_read(&b, r, 3, true), 0);
    assert_int_equal(b.count, 3);
    assert_int_equal(b.empty, 1);
    assert_memory_equal(b.texts[0].a, "a", 1);
    assert_memory_equal(b.texts[0].b, "b", 1);
    assert_int_equal(b.texts[1].a_size + b.texts[1].b_size, 0);
    assert_non_null(b.texts[1].b);
    assert_int_equal(b.texts[2].a_size, 0);
    assert_memory_equal(b.texts[2].b, "c", 1);
    assert_int_equal(block_read(&b, r, 3, true), 0);
    assert_int_equal(b.count, 1);
    assert_int_equal(block_read(&b, r, 3, true), 0);
    assert_int_equal(b.count, 0);
    reader_close(r);
    static const char *const wrong[] = {"a\n", "a\tb\tc\n"};
    for (size_t i = 0; i < 2; i++) {
        folder_write_text(f, "t", wrong[i]);
        assert_int_equal(reader_open(&r, folder_path(f, "t"), NULL), 0);
        assert_int_equal(block_read(&b, r, 3, true), 1);
        reader_close(r);
    }
    block_free(&b);
}

static void test_xz(void **state) {
    static const char text[] = "one\ntwo";
    uint8_t packed[500];
    size_t size = 0;
    assert_int_equal(
        lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, (const uint8_t *)text, strlen(text), packed, &size, sizeof packed),
        LZMA_OK);
    folder *f = *state;
    folder_write(f, "t", packed, size);
    check_lines(folder_path(f, "t"), (const char *[]){"one", "two"}, 2);
    /* two streams are one file; cut or damaged ones are errors */
    memcpy(packed + size, packed, size);
    folder_write(f, "t", packed, 2 * size);
    check_lines(folder_path(f, "t"), (const char *[]){"one", "twoone", "two"}, 3);
    reader *r;
    const char *line;
    size_t length;
    for (size_t cut = 6; cut < size; cut++) {
        folder_write(f, "t", packed, cut);
        assert_int_equal(reader_open(&r, folder_path(f, "t"), NULL), 0);
        int got;
        while ((got = reader_line(r, &line, &length)) == 1) continue;
        assert_int_equal(got, -1);
        reader_close(r);
    }
}

static size_t entries(const folder *f) {
    size_t count = 0;
    DIR *list = opendir(f->path);
    assert_non_null(list);
    while (readdir(list)) count++;
    closedir(list);
    return count - 2;
}

static void check_content(const char *path, const char *expected) {
    char got[600] = "";
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(got, 1, sizeof got - 1, file);
    fclose(file);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(got, expected);
}

static void test_outputs(void **state) {
    folder *f = *state;
    char path[1024];
    output out;
    snprintf(path, sizeof path, "%s", folder_path(f, "result"));
    folder_write_text(f, "result", "good");
    assert_int_equal(output_open(&out, path), 0);
    fputs("half", out.file);
    fflush(out.file);
    check_content(path, "good"); /* until all is written */
    assert_int_equal(output_close(&out, false), 0);
    check_content(path, "good");
    assert_int_equal(entries(f), 1);
    assert_int_equal(output_open(&out, path), 0);
    fputs("better", out.file);
    assert_int_equal(output_close(&out, true), 0);
    check_content(path, "better");
    assert_int_equal(entries(f), 1);
    assert_int_equal(output_close(&out, true), 0); /* closing twice does nothing */
    assert_int_equal(output_open(&out, f->path), 1);
    assert_int_equal(output_open(&out, "/nonexistent/x"), 1);
    if (!access("/dev/full", W_OK)) {
        assert_int_equal(output_open(&out, "/dev/full"), 0);
        fputs("lost", out.file);
        assert_int_equal(output_check(&out), 1);
        output_close(&out, false);
    }
}

static void test_json(void **state) {
    (void)state;
    json_t *number = json_number((double)NAN), *text = json_text("caf\xe9"), *count = json_count(60e9), *much = json_count(1e300);
    assert_true(json_is_null(number));
    assert_string_equal(json_string_value(text), "caf?");
    assert_true(json_is_integer(count) && json_integer_value(count) == 60000000000);
    assert_true(json_is_real(much));
    json_decref(number);
    json_decref(text);
    json_decref(count);
    json_decref(much);
}

static void test_cells(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
        const char *cell;
    } rows[] = {{"short", 10, "short"},
                {"ten chars!", 10, "ten chars!"},
                {"eleven char", 10, "eleven ..."},
                {"tab\tand\033[0m", 40, "tab and [0m"},
                {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"},
                {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4, "\xc3\xa9..."},
                {"", 4, ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char cell[100] = "";
        FILE *file = fmemopen(cell, sizeof cell, "w");
        assert_non_null(file);
        output_cell(file, rows[i].text, strlen(rows[i].text), rows[i].columns);
        fclose(file);
        assert_string_equal(cell, rows[i].cell);
    }
}

/* Read back by the format's definition: magic, version 1.0, header length, a Python literal, data. */
static void check_npy(const char *path, const char *literal, const float *rows, size_t count) {
    unsigned char bytes[NPY_HEADER + 64];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_int_equal(size, NPY_HEADER + count * sizeof *rows);
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
    size_t header = (size_t)(bytes[8] | bytes[9] << 8);
    assert_int_equal(header + 10, NPY_HEADER);
    assert_int_equal(NPY_HEADER % 64, 0);
    assert_memory_equal(bytes + 10, literal, strlen(literal));
    for (size_t i = 10 + strlen(literal); i < NPY_HEADER - 1; i++) assert_int_equal(bytes[i], ' ');
    assert_int_equal(bytes[NPY_HEADER - 1], '\n');
    assert_memory_equal(bytes + NPY_HEADER, rows, count * sizeof *rows);
}

static void test_npy(void **state) {
    static const float rows[6] = {1, 2, 3, 4, 5, -6.5f};
    static const char literal[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
    folder *f = *state;
    npy_file npy;
    char path[1024], partial[1040];
    snprintf(path, sizeof path, "%s", folder_path(f, "x.npy"));
    snprintf(partial, sizeof partial, "%s.partial", path);
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 0), 0);
    assert_int_equal(npy_append(&npy, rows, 1, 1), 0);
    assert_int_equal(npy_append(&npy, rows + 2, 2, 2), 0);
    assert_int_equal(npy_close(&npy, 1), 0);
    check_npy(path, literal, rows, 6);
    assert_int_equal(entries(f), 1);
    /* given up without resume: nothing stays, and the good file is untouched */
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 0), 0);
    assert_int_equal(npy_append(&npy, rows, 1, 1), 0);
    assert_int_equal(npy_close(&npy, 0), 0);
    assert_int_equal(entries(f), 1);
    check_npy(path, literal, rows, 6);
    /* interrupted with resume, with a row and a half more than the header counts */
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 0);
    assert_int_equal(npy.rows, 0);
    assert_int_equal(npy_append(&npy, rows, 2, 42), 0);
    assert_int_equal(npy_close(&npy, 0), 0);
    FILE *file = fopen(partial, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite("torn torn torn", 1, 14, file), 14);
    fclose(file);
    assert_int_equal(npy_open(&npy, path, 2, 78, 5, 1), 1); /* other settings */
    npy_close(&npy, 0);
    assert_int_equal(npy_open(&npy, path, 3, 77, 5, 1), 1); /* another width */
    npy_close(&npy, 0);
    assert_int_equal(npy_open(&npy, path, 2, 77, 6, 1), 1); /* another model */
    npy_close(&npy, 0);
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 0), 1); /* rows that would be lost */
    npy_close(&npy, 0);
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 0);
    assert_int_equal(npy.rows, 2);
    assert_int_equal(npy.input, 42);
    assert_int_equal(npy_append(&npy, rows + 4, 1, 43), 0);
    assert_int_equal(npy_close(&npy, 1), 0);
    check_npy(path, literal, rows, 6);
    assert_int_equal(entries(f), 1);
    /* a second run while one writes: refused, and the first one's rows are whole */
    npy_file other;
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 0), 0);
    assert_int_equal(npy_append(&npy, rows, 3, 1), 0);
    assert_int_equal(npy_open(&other, path, 2, 77, 5, 0), 1);
    npy_close(&other, 0);
    assert_int_equal(npy_open(&other, path, 2, 77, 5, 1), 1);
    npy_close(&other, 0);
    assert_int_equal(npy_close(&npy, 1), 0);
    check_npy(path, literal, rows, 6);
    assert_int_equal(entries(f), 1);
    /* complete, but not to be renamed: its rows can still be taken up */
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 0);
    assert_int_equal(npy_append(&npy, rows, 3, 42), 0);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(npy_close(&npy, 1), 1);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 0);
    assert_int_equal(npy.rows, 3);
    assert_int_equal(npy_close(&npy, 1), 0);
    check_npy(path, literal, rows, 6);
    assert_int_equal(entries(f), 1);
    /* a partial file that is none, or shorter than it says */
    folder_write_text(f, "x.npy.partial", "something else");
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 1);
    npy_close(&npy, 0);
    unlink(partial);
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 0);
    assert_int_equal(npy_append(&npy, rows, 3, 42), 0);
    assert_int_equal(npy_close(&npy, 0), 0);
    assert_int_equal(truncate(partial, NPY_HEADER + 8), 0);
    assert_int_equal(npy_open(&npy, path, 2, 77, 5, 1), 1);
    npy_close(&npy, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        folder_unit_test(test_lines),   folder_unit_test(test_share), folder_unit_test(test_blocks), folder_unit_test(test_xz),
        folder_unit_test(test_outputs), cmocka_unit_test(test_json),  cmocka_unit_test(test_cells),  folder_unit_test(test_npy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
