/* registry.c: the attention methods of attention.h's list. */
#include "attention/attention.h"
#include "core/memory.h"

#define ROW(name) &fov_attention_##name,
#define INFO(name) &fov_attention_##name.info,
static const fov_attention_row *const rows[] = {FOV_ATTENTION_METHODS(ROW)};
static const fov_method_info *const infos[] = {FOV_ATTENTION_METHODS(INFO)};

enum { COUNT = sizeof rows / sizeof *rows };

const fov_method_info *const *fov_attention_infos(size_t *count) {
    *count = COUNT;
    return infos;
}

const fov_attention_row *fov_attention_row_of(const fov_setting *setting) {
    for (size_t i = 0; i < COUNT; i++)
        if (&rows[i]->info == setting->info) return rows[i];
    return NULL;
}

bool fov_attention_needs_profile(const fov_setting *setting) {
    return fov_attention_row_of(setting)->bind != NULL;
}

size_t fov_attention_weight_floats(const fov_setting *setting, size_t globals, size_t queries, size_t keys) {
    const fov_attention_row *row = fov_attention_row_of(setting);
    return row && row->weight_floats ? row->weight_floats(setting, globals, queries, keys) : fov_mul(queries, keys);
}
