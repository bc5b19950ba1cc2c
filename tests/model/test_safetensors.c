/* test_safetensors.c: files built byte by byte, hostile ones among them, shards, and the checkpoint of the repository. */
#include "model/safetensors.h"

#include "support/failing_alloc.h"
#include "support/folder.h"

#include <fcntl.h>

/* A file of `header` and `data` bytes (data[i] = i), with the length field `length`, or the true one when it is SIZE_MAX. */
static unsigned char *build(const char *header, size_t data, uint64_t length, size_t *size) {
    const size_t letters = strlen(header);
    unsigned char *bytes = malloc(8 + letters + data);
    assert_non_null(bytes);
    if (length == SIZE_MAX) length = letters;
    for (unsigned i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> (8 * i));
    memcpy(bytes + 8, header, letters);
    for (size_t i = 0; i < data; i++) bytes[8 + letters + i] = (unsigned char)i;
    *size = 8 + letters + data;
    return bytes;
}

static void check_failure(const fov_error *error, fov_status status, fov_status expected, const char *where, const char *word,
                          const char *input) {
    if (status != expected || error->status != expected)
        fail_msg("%.200s: status %s, expected %s: %s", input, fov_status_name(status), fov_status_name(expected), error->message);
    if (!strstr(error->message, word)) fail_msg("%.200s: \"%s\" does not say \"%s\"", input, error->message, word);
    if (where && !strstr(error->where, where)) fail_msg("%.200s: where is \"%s\", not \"%s\"", input, error->where, where);
    for (const char *c = error->message; *c; c++) assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_hostile(const void *bytes, size_t size, fov_status expected, const char *word, const char *input) {
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    fov_error error = {0};
    fov_tensors *tensors = (fov_tensors *)&memory;
    fov_status status = fov_tensors_open_memory(bytes, size, "block", &memory.allocator, &tensors, &error);
    assert_null(tensors);
    check_failure(&error, status, expected, "block", word, input);
    failing_alloc_check(&memory);
    assert_int_equal(fov_tensors_open_memory(bytes, size, "block", NULL, &tensors, NULL), expected);
}

#define ENTRY(dtype, shape, begin, end) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static const struct {
    const char *header;
    size_t data;
    fov_status status;
    const char *word;
} hostile[] = {
    /* JSON */
    {"", 0, FOV_ERR_FORMAT, "begin with '{'"},
    {"[]", 0, FOV_ERR_FORMAT, "begin with '{'"},
    {" {}", 0, FOV_ERR_FORMAT, "begin with '{'"},
    {"{", 0, FOV_ERR_FORMAT, "line 1, column 1"},
    {"{\"a\":\n  ?}", 0, FOV_ERR_FORMAT, "line 2, column 3"},
    {"{} x", 0, FOV_ERR_FORMAT, "line 1"},
    {"{\"\xff\":1}", 0, FOV_ERR_FORMAT, "byte 0xff"},
    {"{\"a\\u0000b\":1}", 0, FOV_ERR_FORMAT, "\\u0000"},
    {"{\"a\":" ENTRY("U8", "[1]", "0", "1") ",\"a\":" ENTRY("U8", "[1]", "1", "2") "}", 2, FOV_ERR_FORMAT, "duplicate"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, FOV_ERR_FORMAT, "duplicate"},
    /* entries */
    {"{\"a\":1}", 0, FOV_ERR_FORMAT, "\"a\": must be an object, it is a number"},
    {"{\"a\":null}", 0, FOV_ERR_FORMAT, "must be an object, it is null"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, FOV_ERR_FORMAT, "dtype"},
    {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, FOV_ERR_FORMAT, "dtype"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, FOV_ERR_FORMAT, "shape"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, FOV_ERR_FORMAT, "data_offsets"},
    {"{\"__metadata__\":[]}", 0, FOV_ERR_FORMAT, "__metadata__"},
    {"{\"__metadata__\":{\"format\":1}}", 0, FOV_ERR_FORMAT, "\"format\" must be a string"},
    {"{\"a\":" ENTRY("F4", "[2]", "0", "1") "}", 1, FOV_ERR_UNSUPPORTED, "\"F4\""},
    {"{\"a\":" ENTRY("F8", "[1]", "0", "1") "}", 1, FOV_ERR_UNSUPPORTED, "\"F8\""},
    {"{\"a\":" ENTRY("f32", "[1]", "0", "4") "}", 4, FOV_ERR_UNSUPPORTED, "\"f32\""},
    /* shapes */
    {"{\"a\":" ENTRY("U8", "4", "0", "4") "}", 4, FOV_ERR_FORMAT, "shape"},
    {"{\"a\":" ENTRY("U8", "[-4]", "0", "4") "}", 4, FOV_ERR_FORMAT, "shape"},
    {"{\"a\":" ENTRY("U8", "[4.0]", "0", "4") "}", 4, FOV_ERR_FORMAT, "shape"},
    {"{\"a\":" ENTRY("U8", "[\"4\"]", "0", "4") "}", 4, FOV_ERR_FORMAT, "shape"},
    {"{\"a\":" ENTRY("U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, FOV_ERR_UNSUPPORTED, "9 dimensions"},
    {"{\"a\":" ENTRY("U8", "[4294967296,4294967296]", "0", "0") "}", 0, FOV_ERR_FORMAT, "overflow"},
    {"{\"a\":" ENTRY("U8", "[4294967296,4294967296,0]", "0", "0") "}", 0, FOV_ERR_FORMAT, "overflow"},
    {"{\"a\":" ENTRY("F64", "[2305843009213693952]", "0", "0") "}", 0, FOV_ERR_FORMAT, "overflow"},
    {"{\"a\":" ENTRY("U8", "[9223372036854775808]", "0", "0") "}", 0, FOV_ERR_FORMAT, "too big integer"},
    /* offsets */
    {"{\"a\":" ENTRY("U8", "[1]", "1", "0") "}", 1, FOV_ERR_FORMAT, "after their end"},
    {"{\"a\":" ENTRY("U8", "[1]", "-1", "0") "}", 1, FOV_ERR_FORMAT, "whole numbers"},
    {"{\"a\":" ENTRY("U8", "[1]", "0", "1.0") "}", 1, FOV_ERR_FORMAT, "whole numbers"},
    {"{\"a\":" ENTRY("U8", "[1]", "0", "1,2") "}", 2, FOV_ERR_FORMAT, "two whole numbers"},
    {"{\"a\":" ENTRY("U8", "[1]", "0", "9223372036854775808") "}", 1, FOV_ERR_FORMAT, "too big integer"},
    {"{\"a\":" ENTRY("U8", "[1]", "0", "9223372036854775807") "}", 1, FOV_ERR_FORMAT, "outside the 1 bytes"},
    {"{\"a\":" ENTRY("U8", "[1]", "9223372036854775806", "9223372036854775807") "}", 1, FOV_ERR_FORMAT, "outside"},
    {"{\"a\":" ENTRY("U8", "[2]", "0", "2") "}", 1, FOV_ERR_FORMAT, "outside the 1 bytes"},
    {"{\"a\":" ENTRY("F32", "[2]", "0", "7") "}", 7, FOV_ERR_FORMAT, "need 8"},
    {"{\"a\":" ENTRY("F32", "[]", "0", "8") "}", 8, FOV_ERR_FORMAT, "need 4"},
    {"{\"a\":" ENTRY("U8", "[0]", "0", "1") "}", 1, FOV_ERR_FORMAT, "need 0"},
    /* tiling */
    {"{\"a\":" ENTRY("U8", "[2]", "0", "2") ",\"b\":" ENTRY("U8", "[2]", "1", "3") "}", 3, FOV_ERR_FORMAT,
     "\"b\": its data overlap those of \"a\""},
    {"{\"a\":" ENTRY("U8", "[2]", "0", "2") ",\"b\":" ENTRY("U8", "[2]", "0", "2") "}", 2, FOV_ERR_FORMAT, "overlap"},
    {"{\"a\":" ENTRY("U8", "[2]", "0", "2") ",\"b\":" ENTRY("U8", "[0]", "1", "1") "}", 2, FOV_ERR_FORMAT, "overlap"},
    {"{\"a\":" ENTRY("U8", "[2]", "0", "2") ",\"b\":" ENTRY("U8", "[2]", "3", "5") "}", 5, FOV_ERR_FORMAT,
     "\"b\": a hole of 1 bytes"},
    {"{\"a\":" ENTRY("U8", "[2]", "1", "3") "}", 3, FOV_ERR_FORMAT, "hole of 1"},
    {"{\"a\":" ENTRY("U8", "[2]", "0", "2") "}", 5, FOV_ERR_FORMAT, "3 bytes trail"},
    {"{}", 1, FOV_ERR_FORMAT, "1 bytes trail"},
    /* a name may hold what a terminal would obey */
    {"{\"a\\u001b[31m\\n\":1}", 0, FOV_ERR_FORMAT, "\"a?[31m?\""},
};

static void test_hostile_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t size;
        unsigned char *bytes = build(hostile[i].header, hostile[i].data, SIZE_MAX, &size);
        check_hostile(bytes, size, hostile[i].status, hostile[i].word, hostile[i].header);
        free(bytes);
    }
}

static void test_hostile_lengths(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = build("{}", 0, 3, &size);
    check_hostile(bytes, size, FOV_ERR_FORMAT, "longer than the file", "length 3 of 2");
    for (size_t cut = 0; cut < 8; cut++) check_hostile(bytes, cut, FOV_ERR_FORMAT, "too short", "cut file");
    check_hostile(bytes, 8, FOV_ERR_FORMAT, "longer than the file", "length only");
    free(bytes);
    check_hostile(NULL, 0, FOV_ERR_FORMAT, "too short", "nothing");
    const uint64_t huge[] = {100000001, (uint64_t)1 << 63, UINT64_MAX - 1, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        bytes = build("{}", 0, huge[i], &size);
        check_hostile(bytes, size, FOV_ERR_FORMAT, "longer than the 100000000 allowed", "huge length");
        free(bytes);
    }
}

static void test_hostile_sizes(void **state) {
    (void)state;
    enum { DEEP = 100000 };
    char *text = malloc(DEEP + 8);
    memset(text, '[', DEEP);
    memcpy(text, "{\"a\":", 5);
    text[DEEP] = '\0';
    size_t size;
    unsigned char *bytes = build(text, 0, SIZE_MAX, &size);
    check_hostile(bytes, size, FOV_ERR_FORMAT, "depth", "deep nesting");
    free(bytes);
    memset(text, 'n', DEEP); /* a name so long that it would fill the message */
    memcpy(text, "{\"", 2);
    memcpy(text + DEEP - 4, "\":1}", 5);
    bytes = build(text, 0, SIZE_MAX, &size);
    check_hostile(bytes, size, FOV_ERR_FORMAT, "must be an object", "long name");
    free(bytes);
    free(text);
}

/* Three tensors, out of order in the header, one of them empty; data bytes are 0, 1, 2, ... behind an odd header. */
static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},\"w\":" ENTRY("I16", "[2,3]", "4", "16") ",\"b\":" ENTRY(
    "F32", "[]", "0", "4") ",\"e\":" ENTRY("BF16", "[3,0]", "4", "4") ",\"z\":" ENTRY("F8_E4M3", "[1]", "16", "17") "}  ";

static void check_tensor(const fov_tensor *t, const char *name, fov_dtype dtype, unsigned dims, size_t count, size_t bytes) {
    assert_non_null(t);
    assert_string_equal(t->name, name);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->dims, dims);
    assert_int_equal(t->count, count);
    assert_int_equal(t->bytes, bytes);
    assert_string_equal(t->file, "block");
}

static void test_good(void **state) {
    (void)state;
    size_t size;
    unsigned char *bytes = build(good, 17, SIZE_MAX, &size), *data = bytes + size - 17;
    fov_tensors *tensors;
    assert_int_equal(fov_tensors_open_memory(bytes, size, "block", NULL, &tensors, NULL), FOV_OK);
    assert_int_equal(fov_tensors_count(tensors), 4);
    check_tensor(fov_tensors_at(tensors, 0), "b", FOV_F32, 0, 1, 4);
    check_tensor(fov_tensors_at(tensors, 1), "e", FOV_BF16, 2, 0, 0);
    check_tensor(fov_tensors_at(tensors, 2), "w", FOV_I16, 2, 6, 12);
    check_tensor(fov_tensors_at(tensors, 3), "z", FOV_F8, 1, 1, 1);
    assert_null(fov_tensors_at(tensors, 4));
    const fov_tensor *w = fov_tensors_find(tensors, "w");
    assert_ptr_equal(w, fov_tensors_at(tensors, 2));
    assert_int_equal(w->shape[0], 2);
    assert_int_equal(w->shape[1], 3);
    assert_ptr_equal(w->data, data + 4);
    assert_int_equal(((const unsigned char *)w->data)[11], 15);
    assert_ptr_equal(fov_tensors_find(tensors, "b")->data, data);
    assert_null(fov_tensors_find(tensors, "absent"));
    assert_null(fov_tensors_find(tensors, "__metadata__"));
    fov_tensors_close(tensors);
    fov_tensors_close(NULL);
    free(bytes);
    bytes = build("{}", 0, SIZE_MAX, &size);
    assert_int_equal(fov_tensors_open_memory(bytes, size, NULL, NULL, &tensors, NULL), FOV_OK);
    assert_int_equal(fov_tensors_count(tensors), 0);
    assert_null(fov_tensors_find(tensors, "a"));
    fov_tensors_close(tensors);
    free(bytes);
}

static void test_dtypes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        fov_dtype dtype;
        size_t size;
    } known[] = {{"F32", FOV_F32, 4}, {"F16", FOV_F16, 2}, {"BF16", FOV_BF16, 2}, {"F64", FOV_F64, 8},   {"I64", FOV_I64, 8},
                 {"I32", FOV_I32, 4}, {"I16", FOV_I16, 2}, {"I8", FOV_I8, 1},     {"U8", FOV_U8, 1},     {"BOOL", FOV_BOOL, 1},
                 {"U16", FOV_U16, 2}, {"U32", FOV_U32, 4}, {"U64", FOV_U64, 8},   {"F8_E5M2", FOV_F8, 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char header[200];
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}", known[i].name,
                 3 * known[i].size);
        size_t size;
        unsigned char *bytes = build(header, 3 * known[i].size, SIZE_MAX, &size);
        fov_tensors *tensors;
        assert_int_equal(fov_tensors_open_memory(bytes, size, "block", NULL, &tensors, NULL), FOV_OK);
        check_tensor(fov_tensors_at(tensors, 0), "a", known[i].dtype, 1, 3, 3 * known[i].size);
        assert_int_equal(fov_dtype_size(known[i].dtype), known[i].size);
        if (known[i].dtype != FOV_F8) assert_string_equal(fov_dtype_name(known[i].dtype), known[i].name);
        fov_tensors_close(tensors);
        free(bytes);
    }
    assert_string_equal(fov_dtype_name((fov_dtype)99), "unknown");
    assert_int_equal(fov_dtype_size((fov_dtype)99), 0);
}

static void write_file(const folder *f, const char *name, const char *header, size_t data) {
    size_t size;
    unsigned char *bytes = build(header, data, SIZE_MAX, &size);
    folder_write(f, name, bytes, size);
    free(bytes);
}

static void check_folder(const folder *f, fov_status expected, const char *where, const char *word) {
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    fov_error error = {0};
    fov_tensors *tensors;
    fov_status status = fov_tensors_open(f->path, &memory.allocator, &tensors, &error);
    assert_null(tensors);
    check_failure(&error, status, expected, where, word, f->path);
    failing_alloc_check(&memory);
}

static const char index_name[] = "model.safetensors.index.json";

static void test_folders(void **state) {
    (void)state;
    folder f;
    folder_make(&f);
    const folder absent = {"/nonexistent/folder"};
    check_folder(&absent, FOV_ERR_IO, "/nonexistent/folder", "no such folder");
    check_folder(&f, FOV_ERR_IO, f.path, "no weights");
    folder_write_text(&f, "pytorch_model.bin", "x");
    check_folder(&f, FOV_ERR_UNSUPPORTED, f.path, "safe_serialization=True");
    folder file;
    snprintf(file.path, sizeof file.path, "%.400s/pytorch_model.bin", f.path);
    check_folder(&file, FOV_ERR_IO, "pytorch_model.bin", "not a folder");
    folder_write_text(&f, index_name, "{}");
    check_folder(&f, FOV_ERR_FORMAT, index_name, "weight_map");
    folder_write_text(&f, "model.safetensors", "");
    check_folder(&f, FOV_ERR_FORMAT, "/model.safetensors", "too short");
    write_file(&f, "model.safetensors", good, 17);
    fov_tensors *tensors;
    assert_int_equal(fov_tensors_open(f.path, NULL, &tensors, NULL), FOV_OK);
    assert_int_equal(fov_tensors_count(tensors), 4);
    const fov_tensor *w = fov_tensors_find(tensors, "w");
    assert_non_null(strstr(w->file, "model.safetensors"));
    assert_null(w->data);
    unsigned char part[5];
    assert_int_equal(fov_tensors_read(tensors, w, 7, 5, part, NULL), FOV_OK);
    for (unsigned i = 0; i < 5; i++) assert_int_equal(part[i], i + 11);
    assert_int_equal(fov_tensors_settle(tensors, NULL), FOV_OK);
    fov_tensors_close(tensors);
    folder_remove(&f);
}

static void test_shards(void **state) {
    (void)state;
    static const char both[] = "{\"metadata\":{\"total_size\":6},\"weight_map\":{\"b\":\"two\",\"a\":\"one\",\"c\":\"two\"}}";
    static const struct {
        const char *index;
        fov_status status;
        const char *where, *word;
    } bad[] = {
        {"{\"weight_map\":{}}", FOV_ERR_FORMAT, index_name, "weight_map"},
        {"{\"weight_map\":[]}", FOV_ERR_FORMAT, index_name, "weight_map"},
        {"{\"weight_map\":{\"a\":1}}", FOV_ERR_FORMAT, index_name, "\"a\" must be a string"},
        {"{\"weight_map\":{\"a\":\"\"}}", FOV_ERR_FORMAT, index_name, "plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", FOV_ERR_FORMAT, index_name, "plain file name"},
        {"{\"weight_map\":{\"a\":\"../one\"}}", FOV_ERR_FORMAT, index_name, "\"../one\""},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", FOV_ERR_FORMAT, index_name, "\"/etc/passwd\""},
        {"{\"weight_map\":{\"a\":\"one\",\"a\":\"two\"}}", FOV_ERR_FORMAT, index_name, "duplicate"},
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"three\"}}", FOV_ERR_IO, "/three", "No such file"},
        {"{\"weight_map\":{\"a\":\"one\",\"d\":\"two\"}}", FOV_ERR_MISMATCH, index_name, "\"d\" is absent from two"},
        {"{\"weight_map\":{\"a\":\"two\",\"b\":\"one\"}}", FOV_ERR_MISMATCH, index_name, "\"a\" is absent from two"},
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"again\"}}", FOV_ERR_FORMAT, "/", "\"a\": also found in another file"},
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"broken\"}}", FOV_ERR_FORMAT, "/broken", "1 bytes trail"},
        {"{\n\"weight_map\":!}", FOV_ERR_FORMAT, index_name, "line 2, column 14"},
    };
    folder f;
    folder_make(&f);
    write_file(&f, "one", "{\"a\":" ENTRY("U8", "[1]", "0", "1") "}", 1);
    write_file(&f, "two", "{\"c\":" ENTRY("U8", "[3]", "2", "5") ",\"b\":" ENTRY("U8", "[2]", "0", "2") "}", 5);
    write_file(&f, "again", "{\"a\":" ENTRY("U8", "[1]", "0", "1") ",\"b\":" ENTRY("U8", "[1]", "1", "2") "}", 2);
    write_file(&f, "broken", "{}", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        folder_write_text(&f, index_name, bad[i].index);
        check_folder(&f, bad[i].status, bad[i].where, bad[i].word);
    }
    folder_write_text(&f, index_name, both);
    for (size_t n = 1;; n++) { /* every allocation fails once */
        failing_alloc memory;
        failing_alloc_init(&memory, n);
        fov_error error = {0};
        fov_tensors *tensors;
        fov_status status = fov_tensors_open(f.path, &memory.allocator, &tensors, &error);
        if (!status) {
            assert_int_equal(fov_tensors_count(tensors), 3);
            for (size_t i = 0; i < 3; i++) {
                const fov_tensor *t = fov_tensors_at(tensors, i);
                const char name[2] = {(char)('a' + (int)i), '\0'};
                assert_string_equal(t->name, name);
                assert_int_equal(t->bytes, i + 1);
                unsigned char first;
                assert_int_equal(fov_tensors_read(tensors, t, 0, 1, &first, NULL), FOV_OK);
                assert_int_equal(first, i == 2 ? 2 : 0);
                assert_non_null(strstr(t->file, i ? "/two" : "/one"));
            }
            fov_tensors_close(tensors);
        }
        failing_alloc_check(&memory);
        if (!memory.failed) break;
        assert_int_equal(status, FOV_ERR_MEMORY);
        assert_int_equal(error.status, FOV_ERR_MEMORY);
        assert_null(tensors);
    }
    folder_remove(&f);
}

/* A file that is shortened, or written to, after it was opened: an error, not a signal and not half of each. */
static void test_changed(void **state) {
    (void)state;
    folder f;
    folder_make(&f);
    write_file(&f, "model.safetensors", good, 17);
    fov_tensors *tensors;
    fov_error error = {0};
    unsigned char bytes[12];
    assert_int_equal(fov_tensors_open(f.path, NULL, &tensors, NULL), FOV_OK);
    const fov_tensor *w = fov_tensors_find(tensors, "w");
    assert_int_equal(truncate(folder_path(&f, "model.safetensors"), (off_t)(w->place + 11)), 0);
    assert_int_equal(fov_tensors_read(tensors, w, 0, 11, bytes, &error), FOV_OK);
    assert_int_equal(fov_tensors_read(tensors, w, 0, 12, bytes, &error), FOV_ERR_IO);
    assert_non_null(strstr(error.message, "changed while"));
    assert_non_null(strstr(error.where, "model.safetensors"));
    assert_int_equal(fov_tensors_settle(tensors, &error), FOV_ERR_IO);
    fov_tensors_close(tensors);

    write_file(&f, "model.safetensors", good, 17);
    assert_int_equal(fov_tensors_open(f.path, NULL, &tensors, NULL), FOV_OK);
    const struct timespec times[2] = {{1, 0}, {1, 0}}; /* the same size, written in 1970 */
    assert_int_equal(utimensat(AT_FDCWD, folder_path(&f, "model.safetensors"), times, 0), 0);
    assert_int_equal(fov_tensors_settle(tensors, &error), FOV_ERR_IO);
    fov_tensors_close(tensors);
    folder_remove(&f);
}

/* Figures read from the file with Python's struct module. */
static void test_checkpoint(void **state) {
    (void)state;
    fov_error error = {0};
    fov_tensors *tensors;
    if (fov_tensors_open(FOV_SOURCE_DIR "/models/tiny-sentiment", NULL, &tensors, &error)) fail_msg("%s", error.message);
    size_t bytes = 0;
    for (size_t i = 0; i < fov_tensors_count(tensors); i++) bytes += fov_tensors_at(tensors, i)->bytes;
    assert_int_equal(fov_tensors_count(tensors), 73);
    assert_int_equal(bytes, 10909188);
    const fov_tensor *w = fov_tensors_find(tensors, "bert.embeddings.word_embeddings.weight");
    assert_non_null(w);
    assert_int_equal(w->dtype, FOV_F16);
    assert_int_equal(w->dims, 2);
    assert_int_equal(w->shape[0], 8192);
    assert_int_equal(w->shape[1], 256);
    const uint16_t first[4] = {13681, 13359, 44696, 40834};
    uint16_t read[4];
    assert_int_equal(fov_tensors_read(tensors, w, 0, sizeof read, read, NULL), FOV_OK);
    assert_memory_equal(read, first, sizeof first);
    const uint16_t classifier[4] = {8525, 41814, 43090, 8972};
    assert_int_equal(fov_tensors_read(tensors, fov_tensors_find(tensors, "classifier.weight"), 0, sizeof read, read, NULL), FOV_OK);
    assert_memory_equal(read, classifier, sizeof classifier);
    fov_tensors_close(tensors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_hostile_sizes),   cmocka_unit_test(test_good),
        cmocka_unit_test(test_dtypes),          cmocka_unit_test(test_changed),
        cmocka_unit_test(test_folders),         cmocka_unit_test(test_shards),
        cmocka_unit_test(test_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
