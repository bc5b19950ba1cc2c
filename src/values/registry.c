/* registry.c: the methods of values.h's list. */
#include "values/values.h"

#define ROW(name) &fov_values_##name,
#define INFO(name) &fov_values_##name.info,
static const fov_values_row *const rows[] = {FOV_VALUES_METHODS(ROW)};
static const fov_method_info *const infos[] = {FOV_VALUES_METHODS(INFO)};

enum { COUNT = sizeof rows / sizeof *rows };

const fov_method_info *const *fov_values_infos(size_t *count) {
    *count = COUNT;
    return infos;
}

const fov_values_row *fov_values_row_of(const fov_setting *setting) {
    for (size_t i = 0; i < COUNT; i++)
        if (&rows[i]->info == setting->info) return rows[i];
    return NULL;
}

bool fov_values_needs_profile(const fov_setting *setting) {
    const fov_values_row *row = fov_values_row_of(setting);
    return row->needs_profile && row->needs_profile(setting);
}
