/* ladders.c: the table of settings to try. A method is one row; one that the library lacks is passed over. The
 * feed-forward layer, two thirds of the work, comes first and what was slower than exact nearly everywhere last: --budget may cut
 * off the rest. */
#include "ladders.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ladder ladders[] = {
    {FOV_PLACE_FFN, "guided", "lambda", "", .profile = true, .rungs = {.001, .003, .006, .01, .02, .04}},
    {FOV_PLACE_FFN, "narrow", "m", "", .profile = true, .of_ffn = true, .rungs = {1. / 3, .25, 1. / 6, 1. / 12}},
    {FOV_PLACE_ATTENTION, "narrow", "tau", "", .profile = true, .rungs = {.15, .2, .3, .4}},
    {FOV_PLACE_ATTENTION, "narrow", "kappa", ",tau=.2", .profile = true, .own_values = true, .rungs = {.2, .3, .4}},
    {FOV_PLACE_VALUES, "regress", "lambda", "", .profile = true, .rungs = {.02, .05, .1, .2, .4, .8}},
    {FOV_PLACE_VALUES, "lowrank", "lambda", "", .profile = true, .rungs = {.03, .06, .1, .2, .4}},
    {FOV_PLACE_VALUES, "poisson", "kappa", "", .profile = true, .rungs = {4, 2, 1, .5, .25}},
    {FOV_PLACE_VALUES, "mca", "alpha", ",p=calibrated", .profile = true, .rungs = {.03, .06, .12, .25, .5}},
    {FOV_PLACE_VALUES, "mca", "alpha", "", .rungs = {.03, .06, .12, .25, .5}},
    {FOV_PLACE_FFN, "topk", "k", "", .of_ffn = true, .rungs = {.5, .25, .125, .0625}},
};

const ladder *ladder_at(size_t index) {
    return index < sizeof ladders / sizeof *ladders ? &ladders[index] : NULL;
}

bool ladder_offered(const ladder *l) {
    const fov_method_info *method;
    for (size_t i = 0; (method = fov_method_at(l->place, i)); i++) {
        if (strcmp(method->name, l->method)) continue;
        for (size_t p = 0; p < method->param_count; p++)
            if (!strcmp(method->params[p].name, l->param)) return true;
    }
    return false;
}

size_t ladder_rungs(const ladder *l) {
    size_t count = 0;
    while (count < LADDER_RUNGS && l->rungs[count] > 0) count++;
    return count;
}

void ladder_setting(const ladder *l, double rung, size_t ffn_width, char text[SETTING_SIZE]) {
    const size_t whole = (size_t)rung;
    if ((double)whole < rung) {
        snprintf(text, SETTING_SIZE, "%s:%s=%.2g%s", l->method, l->param, sqrt(l->rungs[whole] * l->rungs[whole + 1]), l->also);
        return;
    }
    double value = l->rungs[whole];
    if (l->of_ffn) {
        const size_t step = ffn_width < 384 ? 4 : 32; /* of the levels in a profile */
        const size_t units = (size_t)(value * (double)ffn_width + 1e-6) / step * step;
        value = units ? (double)units : 1;
    }
    snprintf(text, SETTING_SIZE, "%s:%s=%.9g%s", l->method, l->param, value, l->also);
}
