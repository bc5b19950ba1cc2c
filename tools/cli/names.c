/* names.c: lists of known values. Methods come from the library's own tables. */
#include "names.h"

#include "foveate/foveate.h"

static const char *method_name(fov_place place, size_t index) {
    const fov_method_info *method = fov_method_at(place, index);
    return method ? method->name : NULL;
}

const char *name_attention(size_t index) {
    return method_name(FOV_PLACE_ATTENTION, index);
}
const char *name_values(size_t index) {
    return method_name(FOV_PLACE_VALUES, index);
}
const char *name_ffn(size_t index) {
    return method_name(FOV_PLACE_FFN, index);
}

const char *name_format(size_t index) {
    static const char *const names[] = {"table", "jsonl", "tsv"};
    return index < sizeof names / sizeof *names ? names[index] : NULL;
}

const char *name_pooling(size_t index) {
    static const char *const names[] = {"mean", "cls"};
    return index < sizeof names / sizeof *names ? names[index] : NULL;
}

const char *name_color(size_t index) {
    static const char *const names[] = {"auto", "always", "never"};
    return index < sizeof names / sizeof *names ? names[index] : NULL;
}

const char *name_shell(size_t index) {
    static const char *const names[] = {"bash", "zsh", "fish"};
    return index < sizeof names / sizeof *names ? names[index] : NULL;
}
