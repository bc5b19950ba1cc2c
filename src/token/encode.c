/* encode.c: one text or a pair to ids: added tokens cut the raw text into segments, the segments become ids, then truncation and
 * [CLS] a [SEP] b [SEP]. */
#include <string.h>

#include "core/status.h"
#include "token/tokenizer.h"

/* Ids of a whole text into ids[size]; returns their count. */
static size_t encode_text(const fov_tokenizer *tokenizer, const char *text, size_t size, void *work, int32_t *ids,
                          size_t *invalid) {
    const uint8_t *bytes = (const uint8_t *)text;
    size_t count = 0, from = 0;
    while (from < size) {
        size_t at = from;
        int32_t added = -1;
        size_t taken = fov_added_next(tokenizer, bytes, size, &at, &added);
        fov_segment segment = {.text = bytes + from, .size = at - from, .work = work, .ids = ids + count};
        tokenizer->segment(tokenizer, &segment);
        count += segment.count;
        *invalid += segment.invalid;
        if (!taken) break;
        ids[count++] = added;
        from = at + taken;
    }
    return count;
}

/* Lengths after 'longest_first': the longer one gives way first, then both are halved. */
static void truncate_pair(size_t *a, size_t *b, size_t room) {
    if (*a + *b <= room) return;
    size_t least = *a < *b ? *a : *b, most = room - (least < room ? least : room);
    if (most < least) {
        least = room / 2;
        most = room - least;
    }
    bool a_longer = *a > *b;
    *a = a_longer ? most : least;
    *b = a_longer ? least : most;
}

fov_status fov_tokenizer_encode(const fov_tokenizer *tokenizer, fov_token_scratch *scratch, const fov_allocator *allocator,
                                const char *a, size_t a_size, const char *b, size_t b_size, size_t max_length,
                                fov_encoding *encoding, fov_error *error) {
    if (!tokenizer || !scratch || !encoding || (!a && a_size))
        return fov_fail(error, FOV_ERR_ARGUMENT, "tokenizer", "an argument is NULL");
    size_t around = b ? 3 : 2;
    if (!b) b_size = 0;
    if (max_length < around + 1)
        return fov_fail(error, FOV_ERR_ARGUMENT, "max_length", "%zu ids are too few; at least %zu", max_length, around + 1);
    size_t most = fov_add(fov_add(a_size, b_size), around);
    int32_t *ids = fov_buffer_reserve(&scratch->ids, allocator, fov_mul(most, sizeof *ids));
    void *work = fov_buffer_reserve(&scratch->work, allocator, fov_words_bytes(tokenizer));
    if (!ids || !work) return fov_fail(error, FOV_ERR_MEMORY, "tokenizer", "no memory for a text of %zu bytes", a_size + b_size);
    *encoding = (fov_encoding){.ids = ids};
    size_t a_count = encode_text(tokenizer, a, a_size, work, ids + 1, &encoding->invalid), b_count = 0;
    int32_t *second = ids + 1 + a_count + 1;
    if (b) b_count = encode_text(tokenizer, b, b_size, work, second, &encoding->invalid);
    size_t a_kept = a_count, b_kept = b_count;
    if (b)
        truncate_pair(&a_kept, &b_kept, max_length - around);
    else if (a_kept > max_length - around)
        a_kept = max_length - around;
    ids[0] = tokenizer->special.cls;
    ids[1 + a_kept] = tokenizer->special.sep;
    encoding->count = around + a_kept + b_kept;
    if (b) {
        memmove(ids + 2 + a_kept, second, b_kept * sizeof *ids);
        ids[2 + a_kept + b_kept] = tokenizer->special.sep;
    }
    uint8_t *types = fov_buffer_reserve(&scratch->types, allocator, encoding->count);
    if (!types) return fov_fail(error, FOV_ERR_MEMORY, "tokenizer", "no memory for a text of %zu bytes", a_size + b_size);
    memset(types, 0, 2 + a_kept);
    if (b) memset(types + 2 + a_kept, 1, b_kept + 1);
    encoding->types = types;
    encoding->truncated = a_count + b_count - a_kept - b_kept;
    return FOV_OK;
}

void fov_token_scratch_free(fov_token_scratch *scratch, const fov_allocator *allocator) {
    fov_buffer_free(&scratch->ids, allocator);
    fov_buffer_free(&scratch->types, allocator);
    fov_buffer_free(&scratch->work, allocator);
}
