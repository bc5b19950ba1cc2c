/* registry.c: the methods of feedforward.h's list. */
#include "feedforward/feedforward.h"

#define ROW(name) &fov_ffn_##name,
#define INFO(name) &fov_ffn_##name.info,
static const fov_ffn_row *const rows[] = {FOV_FFN_METHODS(ROW)};
static const fov_method_info *const infos[] = {FOV_FFN_METHODS(INFO)};

enum { COUNT = sizeof rows / sizeof *rows };

const fov_method_info *const *fov_ffn_infos(size_t *count) {
    *count = COUNT;
    return infos;
}

const fov_ffn_row *fov_ffn_row_of(const fov_setting *setting) {
    for (size_t i = 0; i < COUNT; i++)
        if (&rows[i]->info == setting->info) return rows[i];
    return NULL;
}

bool fov_ffn_needs_profile(const fov_setting *setting) {
    const fov_ffn_row *row = fov_ffn_row_of(setting);
    return row->needs_profile && row->needs_profile(setting);
}
