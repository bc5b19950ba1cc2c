/* registry.c: the value estimators there are. Adding one: its file, and its row here. */
#include "values/values.h"

static const fov_values_row *const rows[] = {&fov_values_exact, &fov_values_mca};
static const fov_method_info *const infos[] = {&fov_values_exact.info, &fov_values_mca.info};

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
