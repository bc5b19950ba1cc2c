/* alias.c: see alias.h. */
#include "values/alias.h"

#include <math.h>
#include <stdbool.h>

/* Scale to a mean of 1 per cell; returns the heaviest cell. */
static size_t normalize(double *mass, size_t d) {
    double total = 0;
    size_t heaviest = 0;
    for (size_t i = 0; i < d; i++) {
        total += mass[i];
        if (mass[i] > mass[heaviest]) heaviest = i;
    }
    for (size_t i = 0; i < d; i++) mass[i] = total > 0 ? mass[i] / total * (double)d : 1;
    return heaviest;
}

/* A whole cell; its own alias, so that the last 2^-32 is its own too. Rounding may leave one to a cell of no mass: not its own. */
static void keep(const fov_alias *t, const double *mass, uint32_t i, size_t heaviest) {
    bool none = mass[i] <= 0;
    t->threshold[i] = none ? 0 : 0xffffffffu;
    t->alias[i] = none ? (uint32_t)heaviest : i;
}

void fov_alias_make(const fov_alias *t, double *mass, uint32_t *stack) {
    size_t d = t->cells, heaviest = normalize(mass, d);
    size_t small = 0, large = d; /* cells below the mean grow from the left of the stack, the others from the right */
    for (size_t i = 0; i < d; i++) {
        if (mass[i] < 1)
            stack[small++] = (uint32_t)i;
        else
            stack[--large] = (uint32_t)i;
    }
    while (small && large < d) {
        uint32_t s = stack[--small], l = stack[large];
        t->threshold[s] = (uint32_t)fmin(mass[s] * 0x1p32, 0xffffffffu);
        t->alias[s] = l;
        mass[l] -= 1 - mass[s];
        if (mass[l] < 1) {
            large++;
            stack[small++] = l;
        }
    }
    while (large < d) keep(t, mass, stack[large++], heaviest);
    while (small) keep(t, mass, stack[--small], heaviest);
}

void fov_alias_draw(const fov_alias *t, fov_rng rng, uint32_t count, uint32_t *index) {
    for (uint32_t k = 0; k < count; k += 4) {
        uint32_t bits[4];
        fov_rng_next4(&rng, bits);
        for (size_t lane = 0; lane < 4; lane++) {
            uint64_t product = (uint64_t)bits[lane] * t->cells;
            uint32_t cell = (uint32_t)(product >> 32);
            index[k + lane] = (uint32_t)product < t->threshold[cell] ? cell : t->alias[cell];
        }
    }
}
