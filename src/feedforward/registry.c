/* registry.c: the kinds of feed-forward computation there are. Adding one: its file, and its row here. */
#include "feedforward/feedforward.h"

static const fov_ffn_row *const rows[] = {&fov_ffn_exact, &fov_ffn_topk};
static const fov_method_info *const infos[] = {&fov_ffn_exact.info, &fov_ffn_topk.info};

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
