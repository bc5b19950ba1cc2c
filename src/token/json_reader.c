/* json_reader.c: single values of tokenizer.json, and what is said of those that cannot be read; see json_reader.h. */
#include "token/json_reader.h"

#include <string.h>

#include "core/status.h"

fov_status fov_reader_unsupported(const fov_reader *r, const char *what, const char *value, const char *instead) {
    return fov_fail(r->error, FOV_ERR_UNSUPPORTED, r->where, "%s is \"%.60s\", but only %s is read; give another tokenizer", what,
                    value, instead);
}

fov_status fov_reader_malformed(const fov_reader *r, const char *what) {
    return fov_fail(r->error, FOV_ERR_FORMAT, r->where, "%s is missing or has the wrong type" FOV_MEND_FILE, what);
}

const char *fov_reader_text(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

fov_status fov_reader_bool(const fov_reader *r, const json_t *object, const char *name, int *out) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value)) return fov_reader_malformed(r, name);
    *out = json_is_true(value);
    return FOV_OK;
}

bool fov_reader_id(const json_t *value, int32_t *id) {
    json_int_t wide = json_integer_value(value);
    if (!json_is_integer(value) || wide < 0 || wide >= FOV_MAX_IDS) return false;
    *id = (int32_t)wide;
    return true;
}

fov_status fov_reader_vocabulary(fov_reader *r, const json_t *model) {
    json_t *vocabulary = json_object_get(model, "vocab");
    if (!json_is_object(vocabulary)) return fov_reader_malformed(r, "model.vocab");
    const char *piece;
    json_t *value;
    json_object_foreach(vocabulary, piece, value) {
        fov_piece *p = &r->pieces[r->count++];
        *p = (fov_piece){piece, strlen(piece), -1};
        if (!fov_reader_id(value, &p->id))
            return fov_fail(r->error, FOV_ERR_FORMAT, r->where,
                            "the id of the piece \"%.60s\" is not a number from 0 to %d" FOV_MEND_FILE, piece, FOV_MAX_IDS - 1);
    }
    return FOV_OK;
}

int32_t fov_reader_find(const fov_tokenizer *tokenizer, const char *text) {
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (!strcmp(tokenizer->added[i].text, text)) return tokenizer->added[i].id;
    return fov_tokenizer_find(tokenizer, text, strlen(text));
}
