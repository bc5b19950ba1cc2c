/* json_reader.h: what the readers of tokenizer.json share: json.c, json_added.c for added tokens, and json_bpe.c for byte-level
 * BPE. */
#ifndef FOV_TOKEN_JSON_READER_H
#define FOV_TOKEN_JSON_READER_H

#include <jansson.h>

#include "token/bpe.h"

typedef struct fov_reader {
    fov_tokenizer *tokenizer;
    const json_t *root, *added;
    const char *where;
    fov_error *error;
    const char *prefix;
    fov_piece *pieces; /* the vocabulary, then the added tokens */
    size_t count, extra;
    bool bpe, normalized; /* normalized: an added token is */
    fov_bpe_rule *rules;  /* texts in the document */
    size_t rule_count;
    fov_bpe_options options;
} fov_reader;

/* "`what` is `value`, but only `instead` is read": FOV_ERR_UNSUPPORTED, into r->error. */
fov_status fov_reader_unsupported(const fov_reader *r, const char *what, const char *value, const char *instead);
/* "`what` is missing or has the wrong type": FOV_ERR_FORMAT, into r->error. */
fov_status fov_reader_malformed(const fov_reader *r, const char *what);
/* A string without NUL; NULL otherwise. */
const char *fov_reader_text(const json_t *value);
/* object[name] as 0 or 1 into *out; malformed when it is absent or no boolean. */
fov_status fov_reader_bool(const fov_reader *r, const json_t *object, const char *name, int *out);
/* A number from 0 to FOV_MAX_IDS - 1; false otherwise. */
bool fov_reader_id(const json_t *value, int32_t *id);
/* model.vocab into r->pieces. */
fov_status fov_reader_vocabulary(fov_reader *r, const json_t *model);
/* Id of an added token or a piece; -1: none. */
int32_t fov_reader_find(const fov_tokenizer *tokenizer, const char *text);

/* json_added.c: the tokens behind the pieces; then, once the pieces are set, whether they agree with the vocabulary and with each
 * other. */
fov_status fov_reader_added(fov_reader *r);
fov_status fov_reader_check_added(const fov_reader *r);
fov_status fov_reader_check_overlap(const fov_reader *r);

/* json_bpe.c, in this order: normalizer and pre_tokenizer; model; special ids once the pieces are set. */
fov_status fov_reader_bpe_settings(fov_reader *r);
fov_status fov_reader_bpe_rules(fov_reader *r);
void fov_reader_bpe_special(fov_reader *r);

/* "a b" into a rule; false when it is not two texts and one blank. */
bool fov_bpe_rule_parse(const char *line, size_t size, fov_bpe_rule *rule);

#endif
