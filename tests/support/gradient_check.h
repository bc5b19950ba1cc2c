/* gradient_check.h: a gradient against differences of the forward pass.
 *
 * The loss is summed in double over an f32 forward. Central differences at steps h and h / 2, extrapolated (Richardson): the error
 * is about h^4 of truncation plus (rounding of the loss) / h. With values near 1 and h = 1/32 both are some 1e-5 of the largest
 * entry. */
#ifndef FOV_TESTS_SUPPORT_GRADIENT_CHECK_H
#define FOV_TESTS_SUPPORT_GRADIENT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

typedef struct gradient_check {
    double (*loss)(void *context); /* of the matrices as they are now */
    void *context;
    double step, tolerance; /* tolerance: of the largest entry of the gradient */
} gradient_check;

static inline double gradient_central(const gradient_check *c, float *x, double step) {
    const float kept = *x;
    const float up = (float)((double)kept + step), down = (float)((double)kept - step);
    *x = up;
    const double high = c->loss(c->context);
    *x = down;
    const double low = c->loss(c->context);
    *x = kept;
    return (high - low) / ((double)up - (double)down);
}

static inline double gradient_difference(const gradient_check *c, float *x) {
    return (4 * gradient_central(c, x, c->step / 2) - gradient_central(c, x, c->step)) / 3;
}

/* Every entry of gradient [count] against x [count]. */
static inline void gradient_check_run(const gradient_check *c, const char *what, float *x, const float *gradient, size_t count) {
    double largest = 1e-3;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)gradient[i]));
    for (size_t i = 0; i < count; i++) {
        const double want = gradient_difference(c, x + i), got = (double)gradient[i];
        if (!(fabs(got - want) <= c->tolerance * largest))
            fail_msg("%s: entry %zu is %.9g, by differences %.9g (largest entry %.3g)", what, i, got, want, largest);
    }
}

#endif
