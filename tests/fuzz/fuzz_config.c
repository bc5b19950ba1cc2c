/* fuzz_config.c: any text as config.json and as tokenizer_config.json: refused with a message, or within the promised bounds. */
#include "model/config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(fov_status status, const fov_error *error) {
    if (error->status != status || !*error->message || strcmp(error->where, "input")) __builtin_trap();
}

static void check_config(const fov_config *c) {
    const size_t most = (size_t)1 << 31;
    if (!c->width || !c->layers || !c->heads || !c->ffn_width || !c->vocabulary || !c->positions) __builtin_trap();
    if (c->width > most || c->layers > most || c->ffn_width > most || c->vocabulary > most || c->positions > most) __builtin_trap();
    if (c->width % c->heads || c->pad_id >= c->vocabulary || c->types > most) __builtin_trap();
    if (!(c->norm_eps >= 0 && c->norm_eps <= 1) || !c->labels || c->labels > (size_t)1 << 20) __builtin_trap();
    for (size_t i = 0; i < c->labels; i++)
        if (!c->label_names[i] || strlen(c->label_names[i]) == SIZE_MAX) __builtin_trap();
    for (const char *p = c->attention; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fov_error error = {0};
    fov_config config;
    fov_status status = fov_config_parse(&config, (const char *)data, size, "input", NULL, &error);
    if (status)
        check_error(status, &error);
    else
        check_config(&config);
    fov_config_free(&config);

    fov_tokenizer_config tokens;
    error = (fov_error){0};
    status = fov_tokenizer_config_parse(&tokens, (const char *)data, size, "input", &error);
    if (status)
        check_error(status, &error);
    else if (tokens.max_length > (size_t)1 << 31 || strlen(tokens.mask) >= sizeof tokens.mask)
        __builtin_trap();
    return 0;
}
