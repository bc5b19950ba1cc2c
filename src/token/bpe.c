/* bpe.c: the merge table, and the ids of a pre-token; see bpe.h.
 *
 * A pre-token that is itself a piece which its bytes merge to (nearly all are) costs one walk of the trie. Of the others, short
 * ones are searched for the lowest rank again after each merge; long ones keep a tournament tree over the ranks, O(n log n). */
#include "token/bpe.h"

#include <string.h>

#include "core/status.h"
#include "token/bpe_words.h"
#include "token/unicode.h"

enum { SHORT = 32 }; /* symbols up to which a plain search is faster */
static const uint32_t NEVER = UINT32_MAX;

static void set_letters(fov_bpe_letter letters[256]) {
    uint32_t other = 256;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool plain = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        letters[byte].size = (uint8_t)fov_utf8_encode(plain ? byte : other++, letters[byte].text);
    }
}

/* ---- merge table ---- */

static size_t slot_of(const fov_bpe *bpe, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)(key * 0x9E3779B97F4A7C15U >> 20) & bpe->mask;
}

static const fov_bpe_merge *find(const fov_bpe *bpe, int32_t left, int32_t right) {
    for (size_t i = slot_of(bpe, left, right);; i = (i + 1) & bpe->mask) {
        const fov_bpe_merge *m = &bpe->slots[i];
        if (m->merged < 0) return NULL;
        if (m->left == left && m->right == right) return m;
    }
}

static uint32_t rank_of(const fov_bpe *bpe, int32_t left, int32_t right) {
    const fov_bpe_merge *m = find(bpe, left, right);
    return m ? m->rank : NEVER;
}

/* Of equal pairs the last has the rank. */
static void insert(fov_bpe *bpe, fov_bpe_merge merge) {
    size_t i = slot_of(bpe, merge.left, merge.right);
    while (bpe->slots[i].merged >= 0 && (bpe->slots[i].left != merge.left || bpe->slots[i].right != merge.right))
        i = (i + 1) & bpe->mask;
    bpe->slots[i] = merge;
}

/* ---- merging ---- */

static size_t merge_short(const fov_bpe *bpe, int32_t *ids, size_t count) {
    uint32_t ranks[SHORT];
    for (size_t i = 0; i + 1 < count; i++) ranks[i] = rank_of(bpe, ids[i], ids[i + 1]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == NEVER) break;
        ids[best] = find(bpe, ids[best], ids[best + 1])->merged;
        count--;
        memmove(ids + best + 1, ids + best + 2, (count - best - 1) * sizeof *ids);
        if (best + 1 < count) memmove(ranks + best + 1, ranks + best + 2, (count - best - 2) * sizeof *ranks);
        if (best) ranks[best - 1] = rank_of(bpe, ids[best - 1], ids[best]);
        if (best + 1 < count) ranks[best] = rank_of(bpe, ids[best], ids[best + 1]);
    }
    return count;
}

typedef struct tournament {
    uint32_t *next, *before, *rank, *best; /* best[leaves + i] = i; an inner node: the leaf of lowest rank, leftmost */
    size_t leaves;
} tournament;

static uint32_t winner(const tournament *t, size_t node) {
    uint32_t left = t->best[2 * node], right = t->best[2 * node + 1];
    return t->rank[right] < t->rank[left] ? right : left;
}

static void set_rank(tournament *t, uint32_t leaf, uint32_t rank) {
    t->rank[leaf] = rank;
    for (size_t node = (t->leaves + leaf) / 2; node; node /= 2) t->best[node] = winner(t, node);
}

/* Memory of merge_long in bytes. */
static size_t long_bytes(size_t count) {
    size_t leaves = 1;
    while (leaves < count) leaves *= 2;
    return fov_mul(leaves, 5 * sizeof(uint32_t));
}

static size_t merge_long(const fov_bpe *bpe, int32_t *ids, size_t count, uint32_t *work) {
    tournament t = {.leaves = 1};
    while (t.leaves < count) t.leaves *= 2;
    t.next = work;
    t.before = t.next + t.leaves;
    t.rank = t.before + t.leaves;
    t.best = t.rank + t.leaves; /* 2 * leaves */
    for (uint32_t i = 0; i < t.leaves; i++) {
        t.next[i] = i + 1;
        t.before[i] = i - 1; /* of 0: NEVER */
        t.rank[i] = i + 1 < count ? rank_of(bpe, ids[i], ids[i + 1]) : NEVER;
        t.best[t.leaves + i] = i;
    }
    for (size_t node = t.leaves - 1; node; node--) t.best[node] = winner(&t, node);
    for (uint32_t i = t.best[1]; t.rank[i] != NEVER; i = t.best[1]) {
        uint32_t gone = t.next[i], after = t.next[gone], before = t.before[i];
        ids[i] = find(bpe, ids[i], ids[gone])->merged;
        ids[gone] = -1;
        t.next[i] = after;
        if (after < count) t.before[after] = i;
        set_rank(&t, gone, NEVER);
        set_rank(&t, i, after < count ? rank_of(bpe, ids[i], ids[after]) : NEVER);
        if (before != NEVER) set_rank(&t, before, rank_of(bpe, ids[before], ids[i]));
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i = t.next[i]) ids[kept++] = ids[i];
    return kept;
}

/* ---- words ---- */

/* Id of a piece that is the whole word; -1: none, or not what merging gives. */
static int32_t whole_word(const fov_tokenizer *tokenizer, const uint8_t *word, size_t size) {
    const fov_trie_cell *cells = tokenizer->first.cells;
    const fov_bpe_letter *letters = tokenizer->bpe->letters;
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++)
        for (size_t j = 0; j < letters[word[i]].size; j++) {
            uint32_t next = cells[node].base + letters[word[i]].text[j];
            if (cells[next].parent != node) return -1;
            node = next;
        }
    int32_t id = cells[node].id;
    return id >= 0 && tokenizer->bpe->whole[id] ? id : -1;
}

/* Ids of a word into ids[size]; returns their count, SIZE_MAX when memory runs out. */
static size_t split_word(const fov_tokenizer *tokenizer, const uint8_t *word, size_t size, fov_segment *segment, int32_t *ids) {
    const fov_bpe *bpe = tokenizer->bpe;
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        ids[count] = bpe->byte_ids[word[i]];
        count += ids[count] >= 0;
    }
    if (count <= SHORT) return merge_short(bpe, ids, count);
    uint32_t *work = count < UINT32_MAX / 2 ? fov_buffer_reserve(segment->work, segment->allocator, long_bytes(count)) : NULL;
    return work ? merge_long(bpe, ids, count, work) : SIZE_MAX;
}

/* Invalid sequences of a text, and whether it is nothing but ASCII. */
static size_t count_invalid(const uint8_t *text, size_t size) {
    size_t invalid = 0;
    for (size_t at = 0; at < size;) {
        uint64_t eight;
        if (size - at >= 8 && (memcpy(&eight, text + at, 8), !(eight & 0x8080808080808080U))) {
            at += 8;
            continue;
        }
        uint32_t code;
        at += fov_utf8_decode(text + at, size - at, &code);
        invalid += code == FOV_INVALID;
    }
    return invalid;
}

/* The text with a blank before it, when `blank`, and U+FFFD for invalid sequences, into `out`; returns its size. */
static size_t clean(const uint8_t *text, size_t size, bool blank, uint8_t *out) {
    size_t count = 0;
    if (blank) out[count++] = ' ';
    for (size_t at = 0; at < size;) {
        uint32_t code;
        size_t taken = fov_utf8_decode(text + at, size - at, &code);
        if (code == FOV_INVALID) {
            count += fov_utf8_encode(0xFFFD, out + count);
        } else {
            memcpy(out + count, text + at, taken);
            count += taken;
        }
        at += taken;
    }
    return count;
}

void fov_bpe_segment(const fov_tokenizer *tokenizer, fov_segment *segment) {
    const uint8_t *text = segment->text;
    size_t size = segment->size, count = 0;
    bool blank = tokenizer->bpe->add_prefix_space && size && text[0] != ' ';
    segment->count = 0;
    segment->invalid = count_invalid(text, size);
    if (segment->invalid || blank) {
        uint8_t *copy = fov_buffer_reserve(segment->copy, segment->allocator, fov_add(fov_mul(size, 3), 1));
        if (!copy) {
            segment->no_memory = true;
            return;
        }
        size = clean(text, size, blank, copy);
        text = copy;
    }
    for (size_t at = 0; at < size;) {
        size_t taken = fov_bpe_next_word(text + at, size - at);
        int32_t id = whole_word(tokenizer, text + at, taken);
        if (id >= 0) {
            segment->ids[count++] = id;
        } else {
            size_t more = split_word(tokenizer, text + at, taken, segment, segment->ids + count);
            if (more == SIZE_MAX) {
                segment->no_memory = true;
                return;
            }
            count += more;
        }
        at += taken;
    }
    segment->count = count;
}

/* ---- building ---- */

static fov_status add_rules(fov_tokenizer *tokenizer, const fov_bpe_rule *rules, size_t count, const char *where,
                            fov_error *error) {
    char both[1024];
    for (size_t i = 0; i < count; i++) {
        const fov_bpe_rule *r = &rules[i];
        size_t size = fov_add(r->left_size, r->right_size);
        if (size > sizeof both)
            return fov_fail(error, FOV_ERR_FORMAT, where, "merge %zu has %zu bytes, more than %zu" FOV_MEND_FILE, i + 1, size,
                            sizeof both);
        memcpy(both, r->left, r->left_size);
        memcpy(both + r->left_size, r->right, r->right_size);
        fov_bpe_merge merge = {fov_tokenizer_find(tokenizer, r->left, r->left_size),
                               fov_tokenizer_find(tokenizer, r->right, r->right_size), fov_tokenizer_find(tokenizer, both, size),
                               (uint32_t)i};
        if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
            return fov_fail(error, FOV_ERR_MISMATCH, where,
                            "merge %zu, \"%.*s %.*s\": the vocabulary lacks %s; give both files of one checkpoint", i + 1,
                            (int)r->left_size, r->left, (int)r->right_size, r->right,
                            merge.left < 0    ? "the first"
                            : merge.right < 0 ? "the second"
                                              : "the two joined");
        insert(tokenizer->bpe, merge);
    }
    return FOV_OK;
}

/* The bytes a piece stands for, into out[size]; SIZE_MAX when it holds other letters. */
static size_t bytes_of(const char *piece, const int16_t bytes[512], uint8_t *out) {
    size_t count = 0, size = strlen(piece);
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += fov_utf8_decode((const uint8_t *)piece + at, size - at, &code);
        if (code >= 512 || bytes[code] < 0) return SIZE_MAX;
        out[count++] = (uint8_t)bytes[code];
    }
    return count;
}

/* Find the pieces that their own bytes merge to. */
static void mark_whole(fov_tokenizer *tokenizer, int ignore_merges) {
    int16_t bytes[512];
    memset(bytes, -1, sizeof bytes);
    for (int byte = 0; byte < 256; byte++) {
        uint32_t code;
        fov_utf8_decode(tokenizer->bpe->letters[byte].text, tokenizer->bpe->letters[byte].size, &code);
        bytes[code] = (int16_t)byte;
    }
    for (size_t id = 0; id < tokenizer->count; id++) {
        const char *piece = tokenizer->pieces[id];
        uint8_t word[2 * SHORT];
        int32_t ids[2 * SHORT];
        if (!piece) continue;
        if (ignore_merges) tokenizer->bpe->whole[id] = 1;
        if (strlen(piece) > SHORT) continue; /* longer ones are merged when they occur */
        size_t size = bytes_of(piece, bytes, word);
        if (size == SIZE_MAX || split_word(tokenizer, word, size, NULL, ids) != 1) continue;
        if (ids[0] == (int32_t)id) tokenizer->bpe->whole[id] = 1;
    }
}

fov_status fov_bpe_build(fov_tokenizer *tokenizer, const fov_bpe_rule *rules, size_t count, const fov_bpe_options *options,
                         const char *where, fov_error *error) {
    const fov_allocator *allocator = tokenizer->allocator;
    size_t slots = 16;
    if (count > FOV_MAX_IDS)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "%zu merges, but at most %d are read; give another tokenizer", count,
                        FOV_MAX_IDS);
    while (slots < 2 * count) slots *= 2;
    fov_bpe *bpe = tokenizer->bpe = fov_alloc_zero(allocator, sizeof *bpe);
    if (bpe) {
        bpe->slots = fov_alloc(allocator, fov_mul(slots, sizeof *bpe->slots));
        bpe->whole = fov_alloc_zero(allocator, tokenizer->count);
    }
    if (!bpe || !bpe->slots || !bpe->whole)
        return fov_fail(error, FOV_ERR_MEMORY, where, "no memory for %zu merges" FOV_MEND_MEMORY, count);
    bpe->mask = slots - 1;
    bpe->add_prefix_space = options->add_prefix_space;
    for (size_t i = 0; i < slots; i++) bpe->slots[i].merged = -1;
    set_letters(bpe->letters);
    for (int byte = 0; byte < 256; byte++) {
        const fov_bpe_letter *l = &tokenizer->bpe->letters[byte];
        bpe->byte_ids[byte] = fov_tokenizer_find(tokenizer, (const char *)l->text, l->size);
        if (bpe->byte_ids[byte] < 0) bpe->byte_ids[byte] = options->unknown;
    }
    fov_status status = add_rules(tokenizer, rules, count, where, error);
    if (status) return status;
    mark_whole(tokenizer, options->ignore_merges);
    tokenizer->segment = fov_bpe_segment;
    tokenizer->ids_per_byte = 4; /* an invalid byte becomes U+FFFD's three, and a blank may come before it */
    return FOV_OK;
}

void fov_bpe_free(fov_tokenizer *tokenizer) {
    if (tokenizer->bpe) {
        fov_release(tokenizer->allocator, tokenizer->bpe->slots);
        fov_release(tokenizer->allocator, tokenizer->bpe->whole);
    }
    fov_release(tokenizer->allocator, tokenizer->bpe);
}
