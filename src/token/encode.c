/* encode.c: one text or a pair to ids: added tokens cut the raw text into segments, the segments become ids, then truncation and
 * [CLS] a [SEP] b [SEP], or RoBERTa's <s> a </s></s> b </s>. */
#include <string.h>

#include "core/status.h"
#include "token/tokenizer.h"

static const fov_added_token *added_of(const fov_tokenizer *tokenizer, int32_t id) {
    const fov_added_token *token = tokenizer->added;
    while (token->id != id) token++;
    return token;
}

/* Ids of a whole text into ids[size * ids_per_byte]; returns their count, SIZE_MAX when memory runs out. */
static size_t encode_text(const fov_tokenizer *tokenizer, const char *text, size_t size, fov_token_scratch *scratch,
                          const fov_allocator *allocator, int32_t *ids, size_t *invalid) {
    const uint8_t *bytes = (const uint8_t *)text;
    size_t count = 0, from = 0;
    while (from < size) {
        size_t at = from;
        int32_t added = -1;
        size_t taken = fov_added_next(tokenizer, bytes, size, &at, &added), end = at, next = at + taken;
        if (taken && tokenizer->added_strips) {
            const fov_added_token *token = added_of(tokenizer, added);
            if (token->lstrip) end = fov_added_trim_end(bytes, from, at);
            if (token->rstrip) next = fov_added_skip_space(bytes, size, next);
        }
        fov_segment segment = {.text = bytes + from,
                               .size = end - from,
                               .allocator = allocator,
                               .work = &scratch->work,
                               .copy = &scratch->copy,
                               .ids = ids + count};
        tokenizer->segment(tokenizer, &segment);
        if (segment.no_memory) return SIZE_MAX;
        count += segment.count;
        *invalid += segment.invalid;
        if (!taken) break;
        ids[count++] = added;
        from = next;
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

size_t fov_tokenizer_around(const fov_tokenizer *tokenizer, bool pair) {
    return 2 + (pair ? tokenizer->pair_seps : 0);
}

fov_status fov_tokenizer_encode(const fov_tokenizer *tokenizer, fov_token_scratch *scratch, const fov_allocator *allocator,
                                const char *a, size_t a_size, const char *b, size_t b_size, size_t max_length,
                                fov_encoding *encoding, fov_error *error) {
    if (!tokenizer || !scratch || !encoding || (!a && a_size))
        return fov_fail(error, FOV_ERR_ARGUMENT, "tokenizer", "an argument is NULL; give tokenizer, scratch and texts");
    const size_t around = fov_tokenizer_around(tokenizer, b), between = around - 2;
    if (!b) b_size = 0;
    if (max_length < around + 1)
        return fov_fail(error, FOV_ERR_ARGUMENT, "max_length", "%zu ids are too few; give at least %zu", max_length, around + 1);
    size_t most = fov_add(fov_mul(fov_add(a_size, b_size), tokenizer->ids_per_byte), around);
    size_t a_count = SIZE_MAX, b_count = 0, invalid = 0;
    int32_t *ids = fov_buffer_reserve(&scratch->ids, allocator, fov_mul(most, sizeof *ids)), *second = NULL;
    if (ids) a_count = encode_text(tokenizer, a, a_size, scratch, allocator, ids + 1, &invalid);
    if (a_count != SIZE_MAX) {
        second = ids + 1 + a_count + between;
        if (b) b_count = encode_text(tokenizer, b, b_size, scratch, allocator, second, &invalid);
    }
    if (a_count == SIZE_MAX || b_count == SIZE_MAX)
        return fov_fail(error, FOV_ERR_MEMORY, "tokenizer", "no memory for a text of %zu bytes" FOV_MEND_MEMORY,
                        fov_add(a_size, b_size));
    size_t a_kept = a_count, b_kept = b_count;
    if (b)
        truncate_pair(&a_kept, &b_kept, max_length - around);
    else if (a_kept > max_length - around)
        a_kept = max_length - around;
    size_t count = around + a_kept + b_kept, b_start = 1 + a_kept + between;
    ids[0] = tokenizer->special.cls;
    if (b) memmove(ids + b_start, second, b_kept * sizeof *ids);
    for (size_t i = 0; i < between; i++) ids[1 + a_kept + i] = tokenizer->special.sep;
    ids[count - 1] = tokenizer->special.sep;
    uint8_t *types = fov_buffer_reserve(&scratch->types, allocator, count);
    if (!types) return fov_fail(error, FOV_ERR_MEMORY, "tokenizer", "no memory for %zu types" FOV_MEND_MEMORY, count);
    memset(types, 0, count);
    if (b) memset(types + b_start, tokenizer->pair_type, b_kept + 1);
    *encoding = (fov_encoding){
        .ids = ids, .types = types, .count = count, .truncated = a_count + b_count - a_kept - b_kept, .invalid = invalid};
    return FOV_OK;
}

void fov_token_scratch_free(fov_token_scratch *scratch, const fov_allocator *allocator) {
    fov_buffer_free(&scratch->ids, allocator);
    fov_buffer_free(&scratch->types, allocator);
    fov_buffer_free(&scratch->work, allocator);
    fov_buffer_free(&scratch->copy, allocator);
}
