/* tune_confirm.c: what the first half chose, on the second; and what to say when nothing is taken. */
#include "tune.h"

#include <math.h>

static bool confirmed(const tune *t, size_t index) {
    const verdict *v = &t->trials[index].halves[1].verdict;
    return tune_within(t->goal.demanded ? v->bound : v->loss, t->goal.max_loss) && tune_gain(t, index, 1) > 1;
}

static void say_none_passes(tune *t) {
    size_t least = 0;
    char name[TUNE_NAME];
    for (size_t i = 1; i < t->count; i++)
        if (t->trials[i].halves[0].done &&
            (!least || t->trials[i].halves[0].verdict.loss < t->trials[least].halves[0].verdict.loss))
            least = i;
    if (!least) {
        snprintf(t->verdict, sizeof t->verdict, "no setting could be tried: %s",
                 t->stopped ? "--budget is too short" : "see what was left out, and why");
        return;
    }
    tune_name(&t->trials[least], name);
    const double loss = t->trials[least].halves[0].verdict.loss;
    if (loss <= t->goal.max_loss)
        snprintf(t->verdict, sizeof t->verdict, "no setting that keeps the loss is %s than exact here",
                 t->goal.by_work ? "cheaper" : "faster");
    else
        snprintf(
            t->verdict, sizeof t->verdict,
            "every setting loses more than %g points on the first half, %s least (%.2f): accept more, or calibrate on more texts",
            t->goal.max_loss, name, loss);
}

static void say_unconfirmed(tune *t) {
    size_t needed = SIZE_MAX;
    double loss = INFINITY, bound = INFINITY;
    bool gains = false;
    size_t tested = 0;
    for (; tested < t->tested_count && t->trials[t->tested[tested]].halves[1].done; tested++) {
        const verdict *v = &t->trials[t->tested[tested]].halves[1].verdict;
        const size_t n = judge_needed(&t->judge, v, t->goal.max_loss);
        if (n < needed) needed = n;
        loss = fmin(loss, v->loss);
        bound = fmin(bound, v->bound);
        gains = gains || tune_gain(t, t->tested[tested], 1) > 1;
    }
    const double target = t->goal.max_loss;
    if (tested < t->tested_count)
        snprintf(t->verdict, sizeof t->verdict,
                 "--budget ended when the second half had refused %zu of the %zu settings chosen: the same command goes on", tested,
                 t->tested_count);
    else if (!gains)
        snprintf(t->verdict, sizeof t->verdict,
                 "what gained on the first half does not on the second: nothing is %s than exact here",
                 t->goal.by_work ? "cheaper" : "faster");
    else if (!t->goal.demanded || !(loss < target))
        snprintf(t->verdict, sizeof t->verdict,
                 "the second half does not confirm the first: there the loss is %.2f points at least, not %g: accept more, or give "
                 "more texts",
                 loss, target);
    else if (needed == SIZE_MAX)
        snprintf(t->verdict, sizeof t->verdict,
                 "the bound of the loss is %.2f points at %g %%, not %g, and no number of texts like these would bring it there: "
                 "accept more",
                 bound, 100 * t->goal.confidence, target);
    else
        snprintf(t->verdict, sizeof t->verdict,
                 "%zu texts cannot show it: the loss on the second half is %.2f points, its bound at %g %% is %.2f, not %g; about "
                 "%zu texts would do if the rates stay",
                 t->data.count, loss, 100 * t->goal.confidence, bound, target, 2 * needed);
}

int tune_confirm(tune *t) {
    fov_error why;
    if (!t->tested_count) {
        say_none_passes(t);
        return 0;
    }
    t->corrections = t->tested_count + journal_others(t);
    t->judge.alpha = (1 - t->goal.confidence) / (double)t->corrections;
    t->planned = t->texts_done + t->tested_count * t->size[1];
    int code = 0;
    size_t tested = 0;
    while (tested < t->tested_count && !code && !t->chosen) {
        const size_t index = t->tested[tested++];
        if (tested > 1 && !journal_find(&t->journal, &t->trials[index], 1) && !tune_has_time(t, 0)) {
            t->stopped = true;
            break;
        }
        code = tune_measure(t, index, 1, &why);
        if (!code && confirmed(t, index)) t->chosen = index;
    }
    if (!code && !t->chosen) say_unconfirmed(t);
    return code;
}
