/* fuzz_config.c: any bytes as config.json and as tokenizer_config.json: refused with a message, or the numbers are usable. */
#include <string.h>

#include "fuzz.h"
#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fov_error error = {0};
    fov_config config = {0};
    fov_status status = fov_config_parse(&config, (const char *)data, size, "fuzz", NULL, &error);
    if (status == FOV_OK) {
        PROMISE(config.width && config.layers && config.heads && config.width % config.heads == 0);
        PROMISE(config.ffn_width && config.vocabulary && config.positions);
        for (size_t i = 0; i < config.labels; i++) PROMISE(strlen(config.label_names[i]) <= size + 32); /* or LABEL_i */
        fov_config_free(&config);
    } else {
        PROMISE(error.status == status && error.message[0]);
    }
    fov_tokenizer_config tokenizer;
    fov_tokenizer_config_default(&tokenizer);
    status = fov_tokenizer_config_parse(&tokenizer, (const char *)data, size, "fuzz", &error);
    PROMISE(status == FOV_OK || (error.status == status && error.message[0]));
    return 0;
}
