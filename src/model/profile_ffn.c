/* profile_ffn.c: the tensors of narrow feed-forward layers in a profile: declared, then written as they are fitted. */
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "model/profile_parts.h"

enum { PARTS = 5 };

typedef struct layout {
    bool compact;
    size_t levels, top, sum;
    uint32_t level[FOV_FFN_LEVELS];
} layout;

static layout layout_of(const struct fov_model *model, bool compact) {
    layout s = {.compact = compact};
    s.levels = fov_ffn_fit_levels(model->config.ffn_width, compact, s.level);
    s.top = s.level[s.levels - 1];
    for (size_t l = 0; l < s.levels; l++) s.sum += s.level[l];
    return s;
}

static void list_parts(const struct fov_model *model, const layout *s, const fov_ffn_fit_data *data,
                       fov_profile_part parts[PARTS]) {
    const size_t d = model->config.width;
    const fov_profile_part all[PARTS] = {{"order", "U32", {s->top, 0, 0}, data->order},
                                         {"weight", s->compact ? "F16" : "F32", {s->sum * d, 0, 0}, data->weight},
                                         {"bias", "F32", {s->levels, d, 0}, data->bias},
                                         {"error", "F32", {s->levels, 0, 0}, data->error},
                                         {"energy", "F32", {1, 0, 0}, data->energy}};
    memcpy(parts, all, sizeof all);
}

bool fov_profile_ffn_declare(const struct fov_model *model, bool compact, json_t *header, size_t *offset) {
    const layout s = layout_of(model, compact);
    const fov_ffn_fit_data none = {NULL, NULL, NULL, NULL, NULL};
    const fov_profile_part levels = {"ffn.levels", "U32", {s.levels, 0, 0}, NULL};
    fov_profile_part parts[PARTS];
    list_parts(model, &s, &none, parts);
    bool good = fov_profile_declare(header, levels.name, &levels, offset);
    for (size_t l = 0; good && l < model->config.layers; l++)
        for (size_t i = 0; good && i < PARTS; i++) {
            char name[96];
            snprintf(name, sizeof name, "layers.%zu.ffn.%s", l, parts[i].name);
            good = fov_profile_declare(header, name, &parts[i], offset);
        }
    return good;
}

fov_status fov_profile_ffn_write(const struct fov_model *model, const fov_profile_options *options, fov_ffn_fit *fit,
                                 fov_writer write, void *context, fov_error *error) {
    const layout s = layout_of(model, options->compact);
    const fov_profile_part levels = {"ffn.levels", "U32", {s.levels, 0, 0}, s.level};
    fov_status status = fov_profile_put(model, &levels, write, context, error);
    for (size_t l = 0; !status && l < model->config.layers; l++) {
        const fov_ffn_fit_data data = fov_ffn_fit_run(fit, l);
        fov_profile_part parts[PARTS];
        list_parts(model, &s, &data, parts);
        for (size_t i = 0; !status && i < PARTS; i++) status = fov_profile_put(model, &parts[i], write, context, error);
        if (!status) status = fov_profile_tell(model, options, model->config.layers + l + 1, error);
    }
    return status;
}
