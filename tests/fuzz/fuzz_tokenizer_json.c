/* fuzz_tokenizer_json.c: any bytes as tokenizer.json; what loads then encodes the same bytes. */
#include "tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fov_tokenizer *tokenizer = NULL;
    fov_error error;
    fov_status status = fov_tokenizer_from_json((const char *)data, size, "fuzz", NULL, &tokenizer, &error);
    FUZZ_CHECK((status == FOV_OK) == (tokenizer != NULL));
    if (status)
        FUZZ_CHECK(error.status == status && error.message[0]);
    else
        check_encoding(tokenizer, data, size, size / 2, size & 1, 64);
    fov_tokenizer_free(tokenizer);
    return 0;
}
