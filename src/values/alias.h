/* alias.h: draws from a fixed discrete distribution in constant time (Walker 1977; Vose 1991), in 32-bit integers, so that the same
 * draws come out everywhere. */
#ifndef FOV_VALUES_ALIAS_H
#define FOV_VALUES_ALIAS_H

#include "core/rng.h"

/* A draw u in [0, 2^32) falls into cell floor(u d / 2^32) and stays there when frac(u d / 2^32) 2^32 is below the cell's threshold,
 * else goes to its alias: p(i) is met to 2^-32 of a cell. */
typedef struct fov_alias {
    size_t cells;                /* d, below 2^32 */
    uint32_t *threshold, *alias; /* [d] */
} fov_alias;

/* p(i) ~ mass[i] >= 0. A cell of mass 0 is never drawn; all 0: uniform. mass [d] is used up; stack [d] is scratch. */
void fov_alias_make(const fov_alias *table, double *mass, uint32_t *stack);

/* index[k], k < count, and up to 3 more: whole Philox blocks. The first draws of a longer sequence are those of a shorter one. */
void fov_alias_draw(const fov_alias *table, fov_rng rng, uint32_t count, uint32_t *index);

#endif
