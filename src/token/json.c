/* json.c: Hugging Face's tokenizer.json. */
#include "core/status.h"
#include "token/tokenizer.h"

fov_status fov_tokenizer_from_json(const char *text, size_t size, const char *where, const fov_allocator *allocator,
                                   fov_tokenizer **tokenizer, fov_error *error) {
    (void)text, (void)size, (void)allocator, (void)tokenizer;
    return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "tokenizer.json is not read yet; use vocab.txt");
}
