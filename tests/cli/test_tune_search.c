/* test_tune_search.c: the search of tune in a world whose losses, work and time are formulas: tune_measure and the clock are
 * replaced by the linker (--wrap). */
#include "tune.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of a setting: points lost, share of the exact work saved. Places add up. */
typedef struct world {
    double guided;    /* points at lambda = 1 */
    double second[8]; /* added on the second half: of the first setting tested there, of the next, ... */
    size_t tested;    /* settings on the second half */
    double cost;      /* seconds of a half */
    double now;
    bool slow_values; /* estimators of the values are slower than exact, and lose too much */
    double shares[8]; /* of those tested on the second half */
} world;

static world w;

static double parameter(const char *setting, const char *name) {
    const char *at = strstr(setting, name);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

static void weigh(const trial *one, double *loss, double *saved, double *speed) {
    *loss = *saved = 0;
    if (!strncmp(one->ffn, "guided", 6)) {
        const double lambda = parameter(one->ffn, "lambda=");
        *loss += w.guided * lambda;
        *saved += .6 * lambda / (lambda + .015);
    } else if (strcmp(one->ffn, "exact")) {
        *loss += 40;
        *saved += .4;
    }
    if (*one->attention) {
        *loss += parameter(one->attention, "tau=") + parameter(one->attention, "kappa=");
        *saved += .2 * parameter(one->attention, "tau=") + .2 * parameter(one->attention, "kappa=");
    }
    if (strcmp(one->values, "exact")) {
        *loss += w.slow_values ? 2 : .01;
        *saved += .02;
    }
    *speed = 1 / (1 - *saved);
    if (w.slow_values && strcmp(one->values, "exact")) *speed = .9;
}

double __wrap_seconds_now(void);
double __wrap_seconds_now(void) {
    return w.now;
}

int __wrap_tune_measure(tune *t, size_t index, int half, fov_error *why);
int __wrap_tune_measure(tune *t, size_t index, int half, fov_error *why) {
    (void)why;
    measured *m = &t->trials[index].halves[half];
    assert_false(m->done); /* nothing is measured twice */
    assert_true(t->planned >= t->texts_done + t->size[half]);
    t->texts_done += t->size[half];
    double loss, saved, speed;
    weigh(&t->trials[index], &loss, &saved, &speed);
    if (index && half) {
        w.shares[w.tested] = 1 - saved;
        loss += w.second[w.tested++];
    }
    w.now += index ? 1.5 * w.cost : w.cost;
    *m = (measured){.done = true, .seconds = w.cost, .speed = speed, .speed_low = speed, .speed_high = speed, .share = 1 - saved};
    m->verdict = (verdict){.texts = t->size[half], .loss = loss, .bound = loss};
    return 0;
}

static fov_model_info info;

static tune search(double budget, bool demanded) {
    tune t = {.goal = {.max_loss = .5, .confidence = .95, .demanded = demanded, .budget = budget},
              .settings = {.quiet = true},
              .engine = {.info = &info},
              .size = {1000, 1000},
              .judge = {.kind = JUDGE_SCORES},
              .has_profile = true};
    info.ffn_width = 3072;
    w.tested = 0;
    w.now = 0;
    t.data.count = 2000;
    assert_int_equal(tune_search(&t), 0);
    return t;
}

static void end(tune *t) {
    free(t->trials);
    json_decref(t->left_out);
}

static size_t find(const tune *t, const char *name) {
    for (size_t i = 1; i < t->count; i++) {
        char text[TUNE_NAME];
        tune_name(&t->trials[i], text);
        if (!strcmp(text, name)) return i;
    }
    return 0;
}

/* The order in which guided is climbed: from .01 up, or down, and between where the work leaps. */
static void test_ladder(void **state) {
    (void)state;
    static const struct {
        double guided;
        const char *order[4], *absent;
    } cases[] = {
        {30, {"0.01", "0.02", "0.04", "0.014"}, "0.006"},     /* .3, .6 (near), 1.2 */
        {60, {"0.01", "0.02", "0.006", "0.0077"}, "0.003"},   /* .6 (near), 1.2, .36, .46 */
        {12, {"0.01", "0.02", "0.04"}, "0.028"},              /* .12, .24, .48: the cheapest passes */
        {400, {"0.01", "0.006", "0.003", "0.001"}, "0.02"},   /* 4, 2.4, 1.2, .4 */
        {4000, {"0.01", "0.006", "0.003", "0.001"}, "0.0017"} /* nothing passes */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        w = (world){.guided = cases[c].guided, .cost = 1};
        tune t = search(0, false);
        char name[TUNE_NAME];
        for (size_t i = 0; i < 4 && cases[c].order[i]; i++) {
            snprintf(name, sizeof name, "ffn=guided:lambda=%s", cases[c].order[i]);
            assert_int_equal(find(&t, name), i + 1);
        }
        snprintf(name, sizeof name, "ffn=guided:lambda=%s", cases[c].absent);
        assert_int_equal(find(&t, name), 0);
        assert_true(t.planned <= t.texts_done + (t.tested_count - 1) * t.size[1]);
        end(&t);
    }
}

/* Places go together, attention that makes the values with no estimator; what is slower than exact is left after one rung. */
static void test_together(void **state) {
    (void)state;
    w = (world){.guided = 5, .cost = 1};
    tune t = search(0, false);
    size_t combined = 0, failed = 0;
    for (size_t i = 1; i < t.count; i++) {
        const trial *one = &t.trials[i];
        const bool values = strcmp(one->values, "exact") != 0, ffn = strcmp(one->ffn, "exact") != 0;
        if ((*one->attention != 0) + values + ffn < 2) continue;
        combined++;
        failed += one->halves[0].verdict.loss > .5 + 1e-9;
        assert_false(values && strstr(one->attention, "kappa"));
    }
    assert_true(failed <= 2); /* losses add up here: but for the first pair of each kind all pass */
    assert_true(combined - failed >= 2 && combined - failed <= 4);
    assert_true(t.chosen && t.chosen == t.tested[0]);
    const trial *taken = &t.trials[t.chosen];
    assert_true(strcmp(taken->ffn, "exact") && *taken->attention); /* .2 of .04 and of tau = .2 */
    assert_true(taken->halves[1].verdict.loss <= .5 + 1e-9);
    end(&t);
    w.slow_values = true;
    t = search(0, false);
    assert_int_not_equal(find(&t, "values=poisson:kappa=1"), 0);
    assert_int_equal(find(&t, "values=poisson:kappa=2"), 0); /* safer ones are slower still */
    for (size_t i = 1; i < t.count; i++) assert_true(!strcmp(t.trials[i].values, "exact") || !strcmp(t.trials[i].ffn, "exact"));
    end(&t);
}

/* The next on the second half does 3 % more of the work at least; five of them, three with a bound. */
static void test_second(void **state) {
    (void)state;
    w = (world){.guided = 5, .cost = 1, .second = {1, 1, 1, 1, 1, 1, 1, 1}};
    tune t = search(0, false);
    assert_int_equal(t.chosen, 0);
    assert_int_equal(w.tested, 5);
    assert_int_equal(w.tested, t.tested_count);
    for (size_t i = 1; i < w.tested; i++) assert_true(w.shares[i] >= w.shares[i - 1] + .03);
    assert_non_null(strstr(t.verdict, "does not confirm"));
    end(&t);
    w.second[2] = 0;
    t = search(0, false);
    assert_int_equal(t.chosen, t.tested[2]);
    end(&t);
    w.second[2] = 1;
    t = search(0, true);
    assert_int_equal(w.tested, 3);
    assert_true(fabs(t.judge.alpha - .05 / 3) < 1e-12);
    end(&t);
}

/* However short it is, the budget holds, and what the ladders found goes together before it is over. */
static void test_budget(void **state) {
    (void)state;
    w = (world){.guided = 10, .cost = 1};
    tune whole = search(0, false);
    const double all = w.now;
    for (double budget = 8; budget < all + 10; budget += 3.7) {
        tune t = search(budget, false);
        assert_true(w.now <= budget);
        assert_true(t.count <= whole.count);
        assert_int_equal(t.stopped, t.count < whole.count);
        bool two = false;
        for (size_t i = 1; i < t.count; i++) two = two || (*t.trials[i].attention && strcmp(t.trials[i].ffn, "exact"));
        if (budget > .7 * all) assert_true(two && t.stopped == (t.count < whole.count));
        end(&t);
    }
    end(&whole);
    w.guided = 5;
    size_t cut = 0;
    for (size_t i = 0; i < 8; i++) w.second[i] = 1;
    for (double budget = 8; budget < all; budget += 1) {
        tune t = search(budget, false);
        assert_true(!t.chosen && w.now <= budget);
        assert_int_equal(strstr(t.verdict, "--budget ended when") != NULL, w.tested < t.tested_count);
        cut += w.tested < t.tested_count;
        end(&t);
    }
    assert_true(cut > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ladder), cmocka_unit_test(test_together),
                                       cmocka_unit_test(test_second), cmocka_unit_test(test_budget)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
