/* registry.c: the attention methods there are. Adding one: its file, and its row here. */
#include "attention/attention.h"

static const fov_attention_row *const rows[] = {&fov_attention_dense, &fov_attention_yoso};
static const fov_method_info *const infos[] = {&fov_attention_dense.info, &fov_attention_yoso.info};

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
