/* svg.h: plain figures for a page. Colours are the page's classes k0 .. k7; lines and letters take the page's own colour. */
#ifndef FOVEATE_CLI_SVG_H
#define FOVEATE_CLI_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SVG_COLORS = 8 };

/* A point with its intervals (low = high: none); a number stands beside it. A NaN leaves it out. */
typedef struct svg_point {
    double x, x_low, x_high, y, y_low, y_high;
    size_t number; /* names the point and chooses its colour */
    bool hollow;
} svg_point;

/* x begins at 0; y spans the intervals. `title` names the figure for readers that do not see it. */
void svg_scatter(FILE *file, const char *title, const char *x_title, const char *y_title, const svg_point *points, size_t count);
/* Bar i counts what lies in (i width, (i + 1) width]. */
void svg_histogram(FILE *file, const char *title, const char *x_title, const char *y_title, const size_t *counts, size_t bins,
                   double width);
/* Distance of ticks, 1, 2 or 5 times a power of ten, so that `span` has at most `most` of them. */
double svg_step(double span, double most);

#endif
