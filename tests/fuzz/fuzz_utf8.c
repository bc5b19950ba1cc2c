/* fuzz_utf8.c: any bytes as text. First byte: options and pair; second: max_length; third: where the pair is cut. */
#include <string.h>

#include "tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nb\n##b\nab\n##ab\nthe\n##s\n.\ne\n##e\n\xc3\xa9\n"
                                     "\xe4\xb8\xad\n##\xcc\x81\n\xe1\x84\x80\n##\xe1\x85\xa1\n[\n]\nmask\n";
    static fov_tokenizer *made[8];
    if (size < 3) return 0;
    int kind = data[0] & 7;
    if (!made[kind]) {
        fov_tokenizer_options options = {.lower_case = kind & 1, .strip_accents = kind >> 1 & 1, .chinese_chars = kind >> 2};
        FUZZ_CHECK(!fov_tokenizer_from_vocab(vocabulary, strlen(vocabulary), &options, "fuzz", NULL, &made[kind], NULL));
    }
    check_encoding(made[kind], data + 3, size - 3, data[2], data[0] >> 3 & 1, data[1] ? data[1] : size + 3);
    return 0;
}
