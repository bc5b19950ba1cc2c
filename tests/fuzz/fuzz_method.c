/* fuzz_method.c: any bytes as a method string of any place; what is accepted must print and parse back to itself. */
#include <stdlib.h>
#include <string.h>

#include "attention/attention.h"
#include "core/method.h"
#include "feedforward/feedforward.h"
#include "fuzz.h"
#include "values/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const fov_method_info *const *(*const rooms[])(size_t *) = {fov_attention_infos, fov_values_infos, fov_ffn_infos};
    char *text = malloc(size + 1);
    FUZZ_CHECK(text);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++) {
        size_t count;
        const fov_method_info *const *infos = rooms[r](&count);
        fov_setting setting, again;
        fov_error error = {0};
        char once[FOV_SETTING_TEXT], twice[FOV_SETTING_TEXT];
        if (fov_setting_parse(&setting, infos, count, text, &error)) {
            FUZZ_CHECK(error.status == FOV_ERR_ARGUMENT && error.message[0]);
            continue;
        }
        fov_setting_format(&setting, once, sizeof once);
        FUZZ_CHECK(!fov_setting_parse(&again, infos, count, once, &error));
        fov_setting_format(&again, twice, sizeof twice);
        FUZZ_CHECK(!strcmp(once, twice));
    }
    free(text);
    return 0;
}
