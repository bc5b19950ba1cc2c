/* narrow.c: every token through the m hidden units that explain most of the layer, with a refitted down projection:
 *     y = x + bias_m + B_m act(W1[S] x + b1[S]),   S the first m units in forward-selection order (model/ffn_fit.c)
 * The first token of each text, and rows that the head reads, are computed in full. Biased and deterministic. */
#include <stdio.h>

#include "core/status.h"
#include "feedforward/levels.h"

enum { P_M };

static const fov_param_info params[] = {
    {"m", FOV_PARAM_INT, 0, 1e9, 0, 1024, NULL,
     "hidden units per token: a level of the profile; as many as there are, or more, mean all"},
};

/* Number of the level of m units; p->levels: all units; more: there is no such level. */
static size_t level_of(const fov_ffn_profile *p, size_t hidden, double m) {
    if (m >= (double)hidden) return p->levels;
    for (size_t l = 0; l < p->levels; l++)
        if ((double)p->level[l] >= m && (double)p->level[l] <= m) return l;
    return p->levels + 1;
}

static fov_status bind(const fov_setting *setting, const fov_ffn_weights *w, const fov_ffn_profile *p,
                       const fov_allocator *allocator, void **bound, fov_error *error) {
    const fov_status status = fov_ffn_need_profile(setting, p, error);
    if (status) return status;
    const size_t l = level_of(p, w->up.m, setting->values[P_M]);
    if (l <= p->levels) return fov_ffn_levels_bind(setting, w, p, l < p->levels ? l : 0, allocator, bound, error);
    char list[200] = "";
    for (size_t i = 0, used = 0; i < p->levels && used + 12 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%u, ", p->level[i]);
    return fov_fail(error, FOV_ERR_UNSUPPORTED, setting->info->name,
                    "m=%.0f is no level of the profile; give one of %sor %zu for all", setting->values[P_M], list, w->up.m);
}

static void forward(const fov_ffn_run *run, const fov_ffn *p) {
    const fov_ffn_levels *t = run->bound;
    uint8_t *choice = fov_ffn_levels_choice(run, p), narrow = (uint8_t)t->levels;
    for (size_t l = 0; l < t->levels && p->offsets; l++)
        if ((double)t->level[l] >= run->setting->values[P_M]) {
            narrow = (uint8_t)l;
            break;
        }
    for (size_t i = 0; i < p->n; i++) choice[i] = narrow;
    for (size_t b = 0; p->offsets && b < p->texts; b++)
        if (p->offsets[b] < p->offsets[b + 1]) choice[p->offsets[b]] = (uint8_t)t->levels;
    fov_ffn_levels_run(run, p, t);
}

const fov_ffn_row fov_ffn_narrow = {
    .info = {.name = "narrow",
             .place = FOV_PLACE_FFN,
             .help = "a calibrated feed-forward layer of fewer hidden units, the same for every token",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .needs_profile = fov_setting_always,
    .bind = bind,
    .certify = fov_ffn_levels_certify,
    .workspace = fov_ffn_levels_workspace,
    .forward = forward,
};
