/* guided.c: hidden units by attention: a token that is looked at little gets a narrow, calibrated feed-forward layer (narrow.c).
 * Token j of a text takes the level m that minimises
 *     a_j^beta eps(m) + lambda m / hidden,   a_j = mean over heads of sum_i A[i, j]^2, over its mean in the text
 * eps(m) is the held-out error of the level over the energy of the layer's output; the whole layer has eps = 0 and costs lambda.
 * The first token of each text, and rows that the head reads, are computed in full. Biased and deterministic. */
#include <math.h>

#include "feedforward/levels.h"

enum { P_LAMBDA, P_BETA };

static const fov_param_info params[] = {
    {"lambda", FOV_PARAM_FLOAT, 0, 1000, 0, .008, NULL, "price of a hidden unit: larger is cheaper and less exact; 0 is exact"},
    {"beta", FOV_PARAM_FLOAT, 0, 4, 0, .5, NULL, "how much importance counts; 0: not at all"},
};

static fov_status bind(const fov_setting *setting, const fov_ffn_weights *w, const fov_ffn_profile *p,
                       const fov_allocator *allocator, void **bound, fov_error *error) {
    return fov_ffn_levels_bind(setting, w, p, FOV_FFN_LEVELS, allocator, bound, error);
}

/* The cheapest level for weight s, from the whole layer down; a NaN stays there. */
static uint8_t choose(const fov_ffn_levels *t, const float *price, float s) {
    size_t best = t->levels;
    float least = price[best];
    for (size_t l = t->levels; l-- > 0;) {
        const float loss = s * t->loss[l] + price[l];
        if (loss < least) {
            least = loss;
            best = l;
        }
    }
    return (uint8_t)best;
}

static void forward(const fov_ffn_run *run, const fov_ffn *p) {
    const fov_ffn_levels *t = run->bound;
    const double *values = run->setting->values;
    uint8_t *choice = fov_ffn_levels_choice(run, p);
    float price[FOV_FFN_LEVELS + 1];
    for (size_t l = 0; l <= t->levels; l++)
        price[l] = (float)(values[P_LAMBDA] * (double)t->level[l] / (double)t->level[t->levels]);
    for (size_t i = 0; i < p->n; i++) choice[i] = (uint8_t)t->levels;
    for (size_t b = 0; p->offsets && b < p->texts; b++) {
        const size_t first = p->offsets[b], end = p->offsets[b + 1];
        double sum = 0;
        for (size_t i = first; i < end; i++) sum += (double)p->importance[i];
        const double mean = sum / (double)(end - first);
        for (size_t i = first + 1; i < end; i++)
            choice[i] = choose(t, price, (float)pow((double)p->importance[i] / mean, values[P_BETA]));
    }
    fov_ffn_levels_run(run, p, t);
}

const fov_ffn_row fov_ffn_guided = {
    .info = {.name = "guided",
             .place = FOV_PLACE_FFN,
             .help = "calibrated feed-forward layers of fewer hidden units, more where attention looks",
             .citation = "",
             .flags = FOV_METHOD_EXACT_LIMIT | FOV_METHOD_NEEDS_IMPORTANCE,
             .param_count = sizeof params / sizeof *params,
             .params = params},
    .needs_profile = fov_setting_always,
    .bind = bind,
    .certify = fov_ffn_levels_certify,
    .workspace = fov_ffn_levels_workspace,
    .forward = forward,
};
