/* json_added.c: the added tokens of tokenizer.json, and whether they fit the vocabulary and each other. */
#include <string.h>

#include "core/status.h"
#include "token/json_reader.h"

fov_status fov_reader_added(fov_reader *r) {
    size_t index;
    json_t *token;
    json_array_foreach(r->added, index, token) {
        const char *text = fov_reader_text(json_object_get(token, "content"));
        fov_piece *p = &r->pieces[r->count + r->extra];
        int single = 0, normalized = 0, left = 0, right = 0;
        if (!text) return fov_reader_malformed(r, "added_tokens' content");
        if (!fov_reader_id(json_object_get(token, "id"), &p->id)) return fov_reader_malformed(r, "added_tokens' id");
        if (fov_reader_bool(r, token, "single_word", &single) || fov_reader_bool(r, token, "normalized", &normalized))
            return FOV_ERR_FORMAT;
        r->normalized = r->normalized || normalized;
        if (single || (normalized && !r->bpe))
            return fov_reader_unsupported(r, single ? "single_word of an added token" : "normalized of an added token", text,
                                          "false");
        if (r->bpe && (fov_reader_bool(r, token, "lstrip", &left) || fov_reader_bool(r, token, "rstrip", &right)))
            return FOV_ERR_FORMAT;
        if (!*text) continue; /* as Hugging Face: ignored */
        p->text = text;
        p->size = strlen(text);
        r->tokenizer->added[r->tokenizer->added_count++] =
            (fov_added_token){.text = text, .size = p->size, .id = p->id, .lstrip = left, .rstrip = right};
        if (r->bpe && (left || right)) r->tokenizer->added_strips = true;
        r->extra++;
    }
    return FOV_OK;
}

/* Added tokens must agree with the vocabulary: the same id for a text that is in it, an id of their own for one that is not. */
fov_status fov_reader_check_added(const fov_reader *r) {
    for (size_t i = 0; i < r->tokenizer->added_count; i++) {
        fov_added_token *token = &r->tokenizer->added[i];
        const char *piece = r->tokenizer->pieces[token->id];
        int32_t known = fov_tokenizer_find(r->tokenizer, token->text, token->size);
        if ((known >= 0 && known != token->id) || strcmp(piece, token->text))
            return fov_fail(r->error, FOV_ERR_MISMATCH, r->where,
                            "the added token \"%.60s\" has the id %d, the vocabulary says otherwise; download the file again",
                            token->text, (int)token->id);
        token->text = piece;
    }
    return FOV_OK;
}

/* Hugging Face looks for normalised added tokens after the others. Here they are found together, which is the same only where
 * none can overlap another. */
static bool overlap(const fov_added_token *a, const fov_added_token *b) {
    for (size_t start = 0; start < a->size; start++) {
        size_t rest = a->size - start, shared = rest < b->size ? rest : b->size;
        if (!memcmp(a->text + start, b->text, shared)) return true;
    }
    return false;
}

fov_status fov_reader_check_overlap(const fov_reader *r) {
    enum { MOST = 4096 }; /* every pair is looked at; real files have at most a few hundred */
    const fov_tokenizer *t = r->tokenizer;
    if (r->normalized && t->added_count > MOST)
        return fov_fail(r->error, FOV_ERR_UNSUPPORTED, r->where,
                        "%zu added tokens, some of them normalised, are more than %d; give another tokenizer", t->added_count,
                        MOST);
    for (size_t i = 0; r->normalized && i < t->added_count; i++)
        for (size_t j = 0; j < t->added_count; j++)
            if (i != j && t->added[i].id != t->added[j].id && overlap(&t->added[i], &t->added[j]))
                return fov_fail(
                    r->error, FOV_ERR_UNSUPPORTED, r->where,
                    "the added tokens \"%.60s\" and \"%.60s\" can overlap, and some are normalised; give another tokenizer",
                    t->added[i].text, t->added[j].text);
    return FOV_OK;
}
