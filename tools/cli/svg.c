/* svg.c: scatter plots with intervals, and histograms. */
#include "svg.h"
#include "html.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 560, HEIGHT = 330, LEFT = 64, RIGHT = 20, TOP = 14, BOTTOM = 48 };

typedef struct frame {
    FILE *file;
    double x_low, x_high, y_low, y_high;
} frame;

typedef struct box {
    double x, y, width, height;
} box;

double svg_step(double span, double most) {
    if (!(span > 0) || !isfinite(span)) return 1;
    const double power = pow(10, floor(log10(span / most)));
    const double steps[] = {1, 2, 5, 10};
    for (size_t i = 0; i < 4; i++)
        if (span / (steps[i] * power) <= most * (1 + 1e-9)) return steps[i] * power;
    return 10 * power;
}

static double at_x(const frame *f, double x) {
    return LEFT + (x - f->x_low) / (f->x_high - f->x_low) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const frame *f, double y) {
    return HEIGHT - BOTTOM - (y - f->y_low) / (f->y_high - f->y_low) * (HEIGHT - TOP - BOTTOM);
}

static void open_figure(FILE *file, const char *title) {
    fprintf(file, "<svg viewBox=\"0 0 %d %d\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\"><title>", WIDTH, HEIGHT);
    html_string(file, title);
    fputs("</title>\n", file);
}

static void line(const frame *f, const char *class, double x1, double y1, double x2, double y2) {
    fprintf(f->file, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2);
}

static void draw_axes(const frame *f, const char *x_title, const char *y_title) {
    const double x_step = svg_step(f->x_high - f->x_low, 8), y_step = svg_step(f->y_high - f->y_low, 6);
    for (double i = ceil(f->y_low / y_step - 1e-9); i * y_step <= f->y_high + 1e-9 * y_step; i++) {
        const double y = at_y(f, i * y_step);
        line(f, "grid", LEFT, y, WIDTH - RIGHT, y);
        fprintf(f->file, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n", LEFT - 6, y + 4,
                i == 0 ? 0 : i * y_step);
    }
    for (double i = ceil(f->x_low / x_step - 1e-9); i * x_step <= f->x_high + 1e-9 * x_step; i++) {
        const double x = at_x(f, i * x_step);
        line(f, "axis", x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4);
        fprintf(f->file, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n", x, HEIGHT - BOTTOM + 17,
                i == 0 ? 0 : i * x_step);
    }
    line(f, "axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM);
    line(f, "axis", LEFT, TOP, LEFT, HEIGHT - BOTTOM);
    fprintf(f->file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
    html_string(f->file, x_title);
    fprintf(f->file, "</text>\n<text transform=\"rotate(-90)\" x=\"%d\" y=\"14\" text-anchor=\"middle\">",
            -(TOP + HEIGHT - BOTTOM) / 2);
    html_string(f->file, y_title);
    fputs("</text>\n", f->file);
}

static bool overlap(const box *a, const box *b) {
    return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height && b->y < a->y + a->height;
}

/* The first of 16 places round a mark that covers no other mark and no earlier number. */
static box place_number(const box *taken, size_t count, double x, double y, double width) {
    box b = {0, 0, width, 12};
    for (size_t i = 0; i < 16; i++) {
        const double angle = -.8 + (double)(i % 8) * .785398, far = i < 8 ? 14 : 26;
        b.x = x + far * cos(angle) - width / 2;
        b.y = y + far * sin(angle) - 6;
        bool free_place = b.x > LEFT && b.x + width < WIDTH - RIGHT && b.y > TOP && b.y + 12 < HEIGHT - BOTTOM;
        for (size_t k = 0; k < count && free_place; k++) free_place = !overlap(&b, &taken[k]);
        if (free_place) return b;
    }
    return b;
}

static bool is_there(const svg_point *p) {
    return isfinite(p->x) && isfinite(p->y);
}

static frame frame_of(FILE *file, const svg_point *points, size_t count) {
    frame f = {file, 0, 0, INFINITY, -INFINITY};
    for (size_t i = 0; i < count; i++) {
        const svg_point *p = &points[i];
        if (!is_there(p)) continue;
        f.x_high = fmax(f.x_high, fmax(p->x, p->x_high));
        f.y_low = fmin(f.y_low, fmin(p->y, p->y_low));
        f.y_high = fmax(f.y_high, fmax(p->y, p->y_high));
    }
    if (!(f.y_low <= f.y_high)) {
        f.y_low = 0;
        f.y_high = 1;
    }
    const double margin = f.y_high > f.y_low ? .08 * (f.y_high - f.y_low) : .05;
    f.y_low -= margin;
    f.y_high += margin;
    f.x_high = f.x_high > 0 ? 1.06 * f.x_high : 1;
    return f;
}

void svg_scatter(FILE *file, const char *title, const char *x_title, const char *y_title, const svg_point *points, size_t count) {
    enum { BOXES = 128 };
    box taken[BOXES];
    size_t boxes = 0;
    const frame f = frame_of(file, points, count);
    open_figure(file, title);
    draw_axes(&f, x_title, y_title);
    for (size_t i = 0; i < count; i++) {
        const svg_point *p = &points[i];
        if (!is_there(p)) continue;
        const double x = at_x(&f, p->x), y = at_y(&f, p->y);
        fprintf(file, "<g class=\"k%zu%s\">\n", p->number % SVG_COLORS, p->hollow ? " hollow" : "");
        if (p->y_high > p->y_low) line(&f, "span", x, at_y(&f, p->y_low), x, at_y(&f, p->y_high));
        if (p->x_high > p->x_low) line(&f, "span", at_x(&f, p->x_low), y, at_x(&f, p->x_high), y);
        fprintf(file, "<circle class=\"mark\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/></g>\n", x, y);
        if (boxes < BOXES) taken[boxes++] = (box){x - 6, y - 6, 12, 12};
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_there(&points[i])) continue;
        char number[24];
        snprintf(number, sizeof number, "%zu", points[i].number);
        const box b = place_number(taken, boxes, at_x(&f, points[i].x), at_y(&f, points[i].y), 8 * (double)strlen(number));
        fprintf(file, "<text class=\"number k%zu\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                points[i].number % SVG_COLORS, b.x + b.width / 2, b.y + 10, number);
        if (boxes < BOXES) taken[boxes++] = b;
    }
    fputs("</svg>\n", file);
}

void svg_histogram(FILE *file, const char *title, const char *x_title, const char *y_title, const size_t *counts, size_t bins,
                   double width) {
    size_t most = 1;
    for (size_t i = 0; i < bins; i++)
        if (counts[i] > most) most = counts[i];
    const frame f = {file, 0, width * (double)bins, 0, 1.05 * fmax(5, (double)most)}; /* at least 5: ticks of whole texts */
    open_figure(file, title);
    draw_axes(&f, x_title, y_title);
    for (size_t i = 0; i < bins; i++) {
        if (!counts[i]) continue;
        const double left = at_x(&f, width * (double)i), right = at_x(&f, width * (double)(i + 1)),
                     top = at_y(&f, (double)counts[i]);
        fprintf(
            file,
            "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%.6g to %.6g: %zu</title></rect>\n",
            left + .5, top, right - left - 1, HEIGHT - BOTTOM - top, width * (double)i + 1, width * (double)(i + 1), counts[i]);
    }
    fputs("</svg>\n", file);
}
