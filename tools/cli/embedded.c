/* embedded.c: tiny-sentiment inside the program, so that it does something useful before any download. The assembler copies
 * the files in (.incbin), which gcc and clang both understand; no generated source is needed. */
#include "engine.h"

#define EMBED(symbol, file)                                                                                                        \
    __asm__(".pushsection .rodata\n"                                                                                               \
            ".balign 64\n"                                                                                                         \
            ".global " #symbol "\n"                                                                                                \
            ".hidden " #symbol "\n" #symbol ":\n"                                                                                  \
            ".incbin \"" FOV_EMBEDDED_MODEL "/" file "\"\n"                                                                        \
            ".global " #symbol "_end\n"                                                                                            \
            ".hidden " #symbol "_end\n" #symbol "_end:\n"                                                                          \
            ".byte 0\n"                                                                                                            \
            ".popsection\n");                                                                                                      \
    extern const char symbol[] __attribute__((visibility("hidden")));                                                              \
    extern const char symbol##_end[] __attribute__((visibility("hidden")))

EMBED(embedded_config, "config.json");
EMBED(embedded_vocab, "vocab.txt");
EMBED(embedded_tokenizer, "tokenizer_config.json");
EMBED(embedded_weights, "model.safetensors");
EMBED(embedded_profile, FOV_PROFILE_NAME);

#define SIZE(symbol) ((size_t)(symbol##_end - symbol))

fov_status embedded_load(const fov_model_options *options, fov_model **model, fov_error *error) {
    fov_model_options named = *options;
    named.name = "tiny-sentiment";
    const fov_model_files files = {
        .config = embedded_config,
        .config_size = SIZE(embedded_config),
        .vocab = embedded_vocab,
        .vocab_size = SIZE(embedded_vocab),
        .tokenizer_config = embedded_tokenizer,
        .tokenizer_config_size = SIZE(embedded_tokenizer),
        .weights = embedded_weights,
        .weights_size = SIZE(embedded_weights),
        .profile = embedded_profile,
        .profile_size = SIZE(embedded_profile),
    };
    return fov_model_load_memory(&files, &named, model, error);
}
