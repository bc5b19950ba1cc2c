/* normalize.c: BERT's text cleaning and word splitting (Devlin et al. 2018; Hugging Face's BertNormalizer and BertPreTokenizer).
 *
 * In order: drop control characters, make white space blanks, blanks around ideographs; canonical decomposition and
 * loss of non-spacing marks; lower case; then words end at blanks and around punctuation. Here each character goes through
 * all of it at once. Only the canonical order of marks reaches beyond one character: marks that survive wait in `run`. */
#include <string.h>

#include "token/tokenizer.h"
#include "token/unicode.h"

typedef struct words {
    const fov_tokenizer *tokenizer;
    uint8_t *word; /* normalised bytes of the word under way, max_chars characters at most */
    uint32_t *run; /* code points and classes of the surviving marks since the last starter */
    size_t bytes, chars, run_count;
    int32_t *ids;
    size_t count;
} words;

size_t fov_words_bytes(const fov_tokenizer *tokenizer) {
    return fov_mul(tokenizer->max_chars + 1, 3 * sizeof(uint32_t));
}

/* Characters past max_chars are counted only: the word is [UNK] whatever they are. */
static void append(words *w, uint32_t code) {
    if (w->chars < w->tokenizer->max_chars) w->bytes += fov_utf8_encode(code, w->word + w->bytes);
    w->chars++;
}

static void flush_run(words *w) {
    for (size_t i = 0; i < w->run_count; i++) append(w, w->run[2 * i]);
    w->run_count = 0;
}

static void end_word(words *w) {
    if (w->run_count) flush_run(w);
    if (!w->chars) return;
    if (w->chars > w->tokenizer->max_chars)
        w->ids[w->count++] = w->tokenizer->special.unk;
    else
        w->count += fov_wordpiece_split(w->tokenizer, w->word, w->bytes, w->ids + w->count);
    w->bytes = w->chars = 0;
}

static void put_lowered(words *w, uint32_t code) {
    if (fov_unicode_of(code) & FOV_CP_PUNCT) {
        end_word(w);
        append(w, code);
        end_word(w);
        return;
    }
    append(w, code);
}

static void put(words *w, uint32_t code) {
    if (!w->tokenizer->lower_case) {
        put_lowered(w, code);
        return;
    }
    uint32_t lower[2];
    size_t count = fov_unicode_lowercase(code, lower);
    for (size_t i = 0; i < count; i++) put_lowered(w, lower[i]);
}

/* A mark that stays: stable insertion by combining class (canonical ordering, Unicode 3.11). */
static void put_mark(words *w, uint32_t code) {
    if (w->run_count > w->tokenizer->max_chars) return; /* too long already */
    uint32_t ccc = fov_unicode_ccc(code);
    size_t at = w->run_count++;
    for (; at && w->run[2 * at - 1] > ccc; at--) memcpy(w->run + 2 * at, w->run + 2 * at - 2, 2 * sizeof *w->run);
    w->run[2 * at] = code;
    w->run[2 * at + 1] = ccc;
}

static void put_stripped(words *w, uint32_t code) {
    uint32_t parts[4];
    size_t count = fov_unicode_decompose(code, parts);
    for (size_t i = 0; i < count; i++) {
        unsigned flags = fov_unicode_of(parts[i]);
        bool mark = flags & FOV_CP_MARK, nonstarter = flags & FOV_CP_NONSTARTER;
        if (!nonstarter) flush_run(w);
        if (mark) continue;
        if (nonstarter)
            put_mark(w, parts[i]);
        else
            put(w, parts[i]);
    }
}

static void put_raw(words *w, uint32_t code) {
    unsigned flags = fov_unicode_of(code);
    if (flags & FOV_CP_DROP) return;
    if (flags & FOV_CP_SPACE) {
        end_word(w);
        return;
    }
    bool apart = (flags & FOV_CP_CJK) && w->tokenizer->chinese_chars;
    if (apart) end_word(w);
    if (w->tokenizer->strip_accents)
        put_stripped(w, code);
    else
        put(w, code);
    if (apart) end_word(w);
}

/* What the fast path does with a byte; a value from FOLDED on is a word's byte in its final form. */
enum { OTHER, SPACE, DROP, PUNCT, FOLDED = 0x20 };

void fov_words_prepare(fov_tokenizer *tokenizer) {
    for (uint32_t c = 0; c < 256; c++) {
        unsigned flags = c < 0x80 ? fov_unicode_of(c) : 0;
        uint32_t lower[2] = {c, 0};
        if (tokenizer->lower_case && c < 0x80) fov_unicode_lowercase(c, lower);
        tokenizer->fold[c] = (uint8_t)(c >= 0x80              ? OTHER
                                       : flags & FOV_CP_DROP  ? DROP
                                       : flags & FOV_CP_SPACE ? SPACE
                                       : flags & FOV_CP_PUNCT ? PUNCT
                                                              : lower[0]);
        uint8_t byte = (uint8_t)c;
        if (c < 0x80) tokenizer->punct[c] = tokenizer->special.unk;
        if (tokenizer->fold[c] == PUNCT && tokenizer->max_chars) fov_wordpiece_split(tokenizer, &byte, 1, &tokenizer->punct[c]);
    }
}

/* A stretch of a word in plain ASCII; returns its size. */
static size_t put_ascii(words *w, const uint8_t *text, size_t size) {
    if (w->run_count) flush_run(w);
    size_t at = 0, room = w->tokenizer->max_chars > w->chars ? w->tokenizer->max_chars - w->chars : 0;
    const uint8_t *fold = w->tokenizer->fold;
    uint8_t *out = w->word + w->bytes, c;
    if (room > size) room = size;
    for (; at < room && (c = fold[text[at]]) >= FOLDED; at++) out[at] = c;
    w->bytes += at;
    if (at == room)
        while (at < size && fold[text[at]] >= FOLDED) at++;
    w->chars += at;
    return at;
}

/* A whole short word at a word's start: its size when it ends before a blank or punctuation and is one piece, else 0. */
static size_t put_short(words *w, const uint8_t *text, size_t size) {
    const fov_tokenizer *tokenizer = w->tokenizer;
    if (size < 9 || tokenizer->max_chars < 8) return 0;
    uint64_t key;
    size_t taken = fov_short_key(text, tokenizer->lower_case, &key);
    uint8_t next = tokenizer->fold[text[taken]];
    if (next != SPACE && next != PUNCT) return 0;
    int32_t id = fov_short_words_find(&tokenizer->short_words, key);
    if (id < 0) return 0;
    w->ids[w->count++] = id;
    return taken;
}

void fov_wordpiece_segment(const fov_tokenizer *tokenizer, fov_segment *segment) {
    uint8_t *work = fov_buffer_reserve(segment->work, segment->allocator, fov_words_bytes(tokenizer));
    segment->no_memory = !work;
    if (!work) return;
    words w = {.tokenizer = tokenizer,
               .run = (uint32_t *)(void *)work,
               .word = work + 2 * sizeof(uint32_t) * (tokenizer->max_chars + 1),
               .ids = segment->ids};
    const uint8_t *text = segment->text;
    size_t size = segment->size;
    segment->invalid = 0;
    for (size_t at = 0; at < size;) {
        uint8_t kind = tokenizer->fold[text[at]];
        if (kind >= FOLDED) {
            if (!w.chars && !w.run_count) {
                size_t taken = put_short(&w, text + at, size - at);
                at += taken;
                if (taken) continue;
            }
            at += put_ascii(&w, text + at, size - at);
        } else if (kind == SPACE) {
            end_word(&w);
            at++;
        } else if (kind == PUNCT) {
            end_word(&w);
            w.ids[w.count++] = tokenizer->punct[text[at++]];
        } else if (kind == DROP) {
            at++;
        } else {
            uint32_t code;
            at += fov_utf8_decode(text + at, size - at, &code);
            if (code == FOV_INVALID)
                segment->invalid++; /* U+FFFD, which cleaning drops */
            else
                put_raw(&w, code);
        }
    }
    end_word(&w);
    segment->count = w.count;
}
