/* unicode.c: see unicode.h. */
#include "token/unicode.h"

/* Index of the row whose first member is `code`; rows are sorted and the row exists (its flag said so). */
#define FIND(rows, count, code_)                                                                                                   \
    size_t low = 0, high = (count);                                                                                                \
    while (high - low > 1) {                                                                                                       \
        size_t middle = low + (high - low) / 2;                                                                                    \
        if ((rows)[middle].code <= (code_))                                                                                        \
            low = middle;                                                                                                          \
        else                                                                                                                       \
            high = middle;                                                                                                         \
    }

size_t fov_unicode_decompose(uint32_t code, uint32_t out[4]) {
    if (code - 0xAC00u < 11172u) { /* Hangul: Unicode 3.12, arithmetic decomposition */
        uint32_t s = code - 0xAC00u;
        out[0] = 0x1100u + s / 588u;
        out[1] = 0x1161u + s % 588u / 28u;
        out[2] = 0x11A7u + s % 28u;
        return s % 28u ? 3 : 2;
    }
    if (!(fov_unicode_of(code) & FOV_CP_DECOMPOSES)) {
        out[0] = code;
        return 1;
    }
    FIND(fov_unicode_decompositions, fov_unicode_decomposition_count, code)
    const fov_unicode_decomposition *row = &fov_unicode_decompositions[low];
    for (size_t i = 0; i < row->count; i++) out[i] = fov_unicode_pool[row->start + i];
    return row->count;
}

size_t fov_unicode_lowercase(uint32_t code, uint32_t out[2]) {
    out[0] = code;
    if (!(fov_unicode_of(code) & FOV_CP_LOWERS)) return 1;
    FIND(fov_unicode_lowers, fov_unicode_lower_count, code)
    out[0] = fov_unicode_lowers[low].first;
    out[1] = fov_unicode_lowers[low].second;
    return out[1] ? 2 : 1;
}

uint32_t fov_unicode_ccc(uint32_t code) {
    FIND(fov_unicode_classes, fov_unicode_class_count, code)
    return fov_unicode_classes[low].ccc;
}

size_t fov_utf8_decode(const uint8_t *text, size_t size, uint32_t *code) {
    uint32_t c = text[0];
    if (c < 0x80) {
        *code = c;
        return 1;
    }
    size_t more = c < 0xC2 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : 0;
    *code = FOV_INVALID;
    if (!more) return 1;
    /* The second byte's range is narrower after E0 (overlong), ED (surrogates), F0 (overlong), F4 (beyond U+10FFFF). */
    uint8_t least = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, most = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    uint32_t value = c & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if (i == size || text[i] < least || text[i] > most) return i;
        value = value << 6 | (text[i] & 0x3Fu);
        least = 0x80;
        most = 0xBF;
    }
    *code = value;
    return more + 1;
}

size_t fov_utf8_encode(uint32_t code, uint8_t *out) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[4] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = more; i; i--, code >>= 6) out[i] = (uint8_t)(0x80u | (code & 0x3Fu));
    out[0] = (uint8_t)(lead[more] | code);
    return more + 1;
}
