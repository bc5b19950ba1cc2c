/* packed.h: packed models in memory and on disk, for tests. */
#ifndef FOV_TESTS_SUPPORT_PACKED_H
#define FOV_TESTS_SUPPORT_PACKED_H

#include "support/folder.h"
#include "support/tiny.h"

/* A packed file in memory, with room for a few more bytes. */
typedef struct packed {
    unsigned char *bytes; /* 64-byte aligned */
    size_t size, room;
} packed;

static inline int packed_append(void *context, const void *data, size_t size) {
    packed *p = context;
    while (p->size + size > p->room) {
        const size_t room = p->room ? 2 * p->room : (size_t)1 << 16;
        unsigned char *bytes = aligned_alloc(64, room);
        if (!bytes) return 1;
        if (p->size) memcpy(bytes, p->bytes, p->size);
        free(p->bytes);
        p->bytes = bytes;
        p->room = room;
    }
    memcpy(p->bytes + p->size, data, size);
    p->size += size;
    return 0;
}

static inline packed packed_make(const char *checkpoint, const char *dtype, unsigned threads) {
    packed p = {NULL, 0, 0};
    assert_ok(fov_model_pack(checkpoint, &(fov_model_options){.dtype = dtype, .threads = threads}, packed_append, &p, error));
    return p;
}

static inline packed packed_copy(const packed *p) {
    packed copy = {NULL, 0, 0};
    assert_int_equal(packed_append(&copy, p->bytes, p->size), 0);
    return copy;
}

static inline size_t packed_header(const packed *p) {
    uint64_t length;
    memcpy(&length, p->bytes, sizeof length);
    return (size_t)length;
}

/* The place of a text in the first `size` bytes; the test fails where there is none. */
static inline size_t packed_find(const packed *p, size_t size, const char *text) {
    const size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++)
        if (!memcmp(p->bytes + i, text, length)) return i;
    fail_msg("there is no '%s'", text);
    return 0;
}

/* First byte of a tensor's data. */
static inline size_t packed_place(const packed *p, const char *tensor) {
    char quoted[200];
    snprintf(quoted, sizeof quoted, "\"%s\":{", tensor);
    const size_t header = packed_header(p), entry = packed_find(p, 8 + header, quoted);
    const char *offsets = strstr((const char *)p->bytes + entry, "\"data_offsets\":[");
    assert_non_null(offsets);
    return 8 + header + strtoul(offsets + 16, NULL, 10);
}

#endif
