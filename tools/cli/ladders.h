/* ladders.h: the settings that `foveate tune` tries: one row per method, its budgets from safe to cheap. */
#ifndef FOVEATE_CLI_LADDERS_H
#define FOVEATE_CLI_LADDERS_H

#include "foveate/foveate.h"

#include <stdbool.h>

enum { LADDER_RUNGS = 8, SETTING_SIZE = 96, TUNE_NAME = 3 * SETTING_SIZE + 32 };

typedef struct ladder {
    fov_place place;
    const char *method, *param;
    const char *also;           /* further parameters, from the comma on; or "" */
    bool profile;               /* needs a calibration */
    bool of_ffn;                /* rungs are shares of the feed-forward layer's units */
    bool own_values;            /* attention that makes the values: no estimator beside it */
    double rungs[LADDER_RUNGS]; /* the first 0 ends them */
} ladder;

const ladder *ladder_at(size_t index); /* NULL past the end */
/* Whether the library has the method and its parameter. */
bool ladder_offered(const ladder *l);
size_t ladder_rungs(const ladder *l);
/* "mca:alpha=0.05,p=calibrated". rung + .5: halfway to the next, the geometric mean to two digits (not of_ffn). */
void ladder_setting(const ladder *l, double rung, size_t ffn_width, char text[SETTING_SIZE]);

#endif
