/* tune_search.c: which settings are tried on the first half, and which of them go on to the second.
 *
 * First half: every ladder from its middle, up or down to where it loses what is accepted. Then values and feed-forward together,
 * and attention with the best of all so far. Of those that pass and gain, at most TUNE_TESTED are tested on the second half: the
 * best, and then the best of those that do more work. The second half has seen none of the search, so only the settings tested on
 * it need a correction: each is held to alpha / their number (Bonferroni), which makes the bound of whichever is taken hold with
 * the confidence asked for; so fewer are tested then. Those that an earlier run of the same journal tested count too. */
#include "report.h"
#include "tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Speed-ups that differ by less are a tie: the timer's noise on a quiet machine. Multiply-adds are exact. */
#define TIE_TIME .03
#define TIE_WORK .002
#define STEP_TEST .03 /* of the exact work: how much more the next setting on the second half does */
#define STEP_PAIR .01 /* the same of a pair after one that lost too much, in the quantity of the goal */
#define COARSE .05    /* rungs further apart have one between them */

static double tie_of(const tune *t) {
    return t->goal.by_work ? TIE_WORK : TIE_TIME;
}

static double exact_share(const tune *t) {
    return t->trials[0].halves[0].share;
}

static bool passes(const tune *t, size_t i) {
    return t->trials[i].halves[0].done && tune_within(t->trials[i].halves[0].verdict.loss, t->goal.max_loss);
}

/* On the second half when a bound must hold; and for how many --budget keeps time when none must. */
enum { DEMANDED_TESTED = 3, USUAL_TESTED = 2 };

enum { VALUES = 1, FFN = 2, ATTENTION = 4 }; /* places */

static bool at_place(const trial *one, unsigned places) {
    const unsigned own =
        (strcmp(one->values, "exact") ? VALUES : 0u) | (strcmp(one->ffn, "exact") ? FFN : 0u) | (*one->attention ? ATTENTION : 0u);
    return own && !(own & ~places);
}

/* Among equals: fewer multiply-adds, then the smaller loss, then the one tried first. */
static bool before(const tune *t, size_t a, size_t b) {
    const measured *x = &t->trials[a].halves[0], *y = &t->trials[b].halves[0];
    if (x->share != y->share) return x->share < y->share;
    if (x->verdict.loss != y->verdict.loss) return x->verdict.loss < y->verdict.loss;
    return a < b;
}

/* The best setting that passes, gains and does `least` of exact's work or more; 0: none. */
static size_t best(const tune *t, double least) {
    const double tie = tie_of(t);
    double most = 1 + tie;
    size_t found = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 1; i < t->count; i++) {
            if (!passes(t, i) || t->trials[i].halves[0].share < least) continue;
            const double gain = tune_gain(t, i, 0);
            if (!pass)
                most = fmax(most, gain);
            else if (gain > 1 + tie && gain >= most * (1 - tie) && (!found || before(t, i, found)))
                found = i;
        }
    return found;
}

/* The best, then the best of those that do more work: what lost least is mostly luck, more work is not. */
static size_t shortlist(const tune *t, size_t *list, size_t most) {
    size_t count = 0;
    double least = 0;
    for (size_t next; count < most && (next = best(t, least)); least = t->trials[next].halves[0].share + STEP_TEST * exact_share(t))
        list[count++] = next;
    return count;
}

static int leave_out(tune *t, const char *setting, const char *reason) {
    size_t i;
    const json_t *known;
    json_array_foreach(t->left_out, i, known) if (!strcmp(json_string_value(json_object_get(known, "setting")), setting)) return 0;
    json_t *row = json_pack("{s:s, s:o}", "setting", setting, "reason", json_text(reason));
    return row && !json_array_append_new(t->left_out, row) ? 0 : complain_memory();
}

static size_t find_trial(const tune *t, const trial *one) {
    size_t i = 1;
    while (i < t->count && (strcmp(t->trials[i].attention, one->attention) || strcmp(t->trials[i].values, one->values) ||
                            strcmp(t->trials[i].ffn, one->ffn)))
        i++;
    return i;
}

/* *index: of the trial with its figures on the first half; 0 when the setting cannot be here or the time is over. */
static int try_setting(tune *t, const trial *one, size_t *index) {
    fov_error why;
    const size_t at = find_trial(t, one);
    *index = at < t->count && t->trials[at].halves[0].done ? at : 0;
    if (at < t->count) t->planned -= t->size[0];
    if (at < t->count || at == TUNE_TRIALS) return 0;
    const bool known = journal_find(&t->journal, one, 0) != NULL;
    if (!known && !tune_has_time(t, t->goal.demanded ? DEMANDED_TESTED : USUAL_TESTED)) {
        t->stopped = true;
        return 0;
    }
    t->trials[t->count++] = *one;
    int code = tune_measure(t, at, 0, &why);
    if (known || !t->trials[at].halves[0].done) t->planned -= t->size[0];
    if (!code && t->trials[at].halves[0].done) {
        *index = at;
    } else if (!code) {
        char name[TUNE_NAME];
        tune_name(one, name);
        code = leave_out(t, name, why.message);
    }
    return code;
}

typedef struct rung {
    bool passes, near; /* near: at most twice what is accepted and a text, which one may lose by chance where the half is small */
    bool gains;
    double share; /* of exact's work; NAN: not measured */
} rung;

static int try_rung(tune *t, const ladder *l, double at, rung *r) {
    trial one = {.values = "exact", .ffn = "exact", .own_values = l->own_values};
    char *const places[] = {[FOV_PLACE_ATTENTION] = one.attention, [FOV_PLACE_VALUES] = one.values, [FOV_PLACE_FFN] = one.ffn};
    size_t index;
    ladder_setting(l, at, t->engine.info->ffn_width, places[l->place]);
    const int code = try_setting(t, &one, &index);
    const measured *m = &t->trials[index].halves[0];
    const double resolution = t->judge.kind == JUDGE_SCORES ? 0 : 100 / (double)t->size[0];
    const bool no_level = !index && l->of_ffn && l->profile; /* of this profile: another rung may be one */
    r->passes = index && passes(t, index);
    r->near = index ? m->verdict.loss <= 2 * t->goal.max_loss + resolution : no_level;
    r->gains = index ? tune_gain(t, index, 0) > 1 - tie_of(t) : no_level;
    r->share = index ? m->share : NAN;
    return code;
}

/* From the middle to the cheap end while the loss is near what is accepted; if nothing passed, from the middle to the safe end
 * until something does, or until a rung is slower than exact, as the safer ones are too. Then between the cheapest that passes and
 * the next, where they are far apart. */
static int climb(tune *t, const ladder *l) {
    const size_t rungs = ladder_rungs(l), middle = rungs / 2;
    size_t tried = 0, kept = rungs;
    rung r[LADDER_RUNGS] = {0}, between;
    bool near = true, back = true;
    int code = 0;
    for (size_t i = middle; i < rungs && near && !code && !t->stopped; i++, tried++) {
        code = try_rung(t, l, (double)i, &r[i]);
        near = r[i].near;
        kept = r[i].passes ? i : kept;
        if (i == middle) back = r[i].gains;
    }
    for (size_t i = middle; i-- > 0 && kept == rungs && back && !code && !t->stopped; tried++) {
        code = try_rung(t, l, (double)i, &r[i]);
        kept = r[i].passes ? i : kept;
        back = r[i].gains;
    }
    t->planned -= (rungs - tried) * t->size[0];
    if (code || t->stopped || kept + 1 >= rungs || l->of_ffn || !(r[kept].share - r[kept + 1].share > COARSE * exact_share(t)))
        return code;
    t->planned += t->size[0];
    return try_rung(t, l, (double)kept + .5, &between);
}

/* An attention other than the checkpoint's that was asked for is kept. */
static bool climbable(const tune *t, const ladder *l) {
    return ladder_offered(l) &&
           !(l->place == FOV_PLACE_ATTENTION && t->settings.attention && strcmp(t->settings.attention, "dense"));
}

static int search_ladders(tune *t) {
    const ladder *l;
    t->planned = t->texts_done;
    for (size_t i = 0; (l = ladder_at(i)); i++)
        if (climbable(t, l) && (t->has_profile || !l->profile)) t->planned += ladder_rungs(l) * t->size[0];
    int code = 0;
    for (size_t i = 0; (l = ladder_at(i)) && !code && !t->stopped; i++) {
        if (!climbable(t, l)) continue;
        if (!l->profile || t->has_profile) {
            code = climb(t, l);
            continue;
        }
        char name[SETTING_SIZE];
        snprintf(name, sizeof name, "%s:%s=...%s", l->method, l->param, l->also);
        code = leave_out(t, name, "no calibration: run 'foveate calibrate' first");
    }
    return code;
}

/* Two settings that pass and gain, of places that go together, foreseen as if losses and savings added up. */
typedef struct pair {
    size_t a, b; /* 0: none */
    double cost;
} pair;

/* Of exact's work, or what its time would be of it. */
static double cost_of(const tune *t, size_t index) {
    return exact_share(t) / tune_gain(t, index, 0);
}

/* The pair of the least cost, `least` at least, for a loss of `limit` at most. */
static pair foresee(const tune *t, unsigned places_a, unsigned places_b, double limit, double least) {
    pair found = {0, 0, INFINITY};
    for (size_t i = 1; i < t->count; i++)
        for (size_t k = 1; k < t->count; k++) {
            const trial *a = &t->trials[i], *b = &t->trials[k];
            if (!at_place(a, places_a) || !at_place(b, places_b) || (a->own_values && strcmp(b->values, "exact"))) continue;
            if (!passes(t, i) || !passes(t, k) || !(tune_gain(t, i, 0) > 1) || !(tune_gain(t, k, 0) > 1)) continue;
            const double cost = cost_of(t, i) + cost_of(t, k) - exact_share(t);
            const double loss = a->halves[0].verdict.loss + b->halves[0].verdict.loss;
            if (cost >= least && tune_within(loss, limit) && cost < found.cost) found = (pair){i, k, cost};
        }
    return found;
}

/* First the pair that saves most, whatever it may lose, then those that should pass, until one does and one that costs more. */
static int combine(tune *t, unsigned places_a, unsigned places_b) {
    enum { ATTEMPTS = 6, ENOUGH = 2 };
    double least = -INFINITY;
    int code = 0, passed = 0;
    for (int k = 0; k < ATTEMPTS && passed < ENOUGH && !code && !t->stopped; k++) {
        const pair p = foresee(t, places_a, places_b, k ? t->goal.max_loss : INFINITY, least);
        if (!p.a) break;
        const trial *a = &t->trials[p.a], *b = &t->trials[p.b];
        trial one = {.own_values = a->own_values};
        size_t index;
        snprintf(one.attention, sizeof one.attention, "%s", a->attention);
        snprintf(one.values, sizeof one.values, "%s", strcmp(a->values, "exact") ? a->values : b->values);
        snprintf(one.ffn, sizeof one.ffn, "%s", b->ffn);
        t->planned = t->texts_done + t->size[0];
        code = try_setting(t, &one, &index);
        const bool kept = index && passes(t, index);
        passed += kept;
        least = p.cost + (kept ? STEP_TEST : STEP_PAIR) * exact_share(t);
    }
    return code;
}

static int search_together(tune *t) {
    const int code = combine(t, VALUES, FFN);
    return code ? code : combine(t, ATTENTION, VALUES | FFN);
}

/* The ladders may use so much of the budget, then what they have found goes together; and again with what is left. */
static int search_first(tune *t) {
    static const double shares[][2] = {{.6, .8}, {.9, 1}};
    bool cut = true;
    int code = 0;
    for (size_t i = 0; i < sizeof shares / sizeof *shares && cut && !code; i++) {
        t->until = shares[i][0] * t->goal.budget;
        t->stopped = false;
        code = search_ladders(t);
        cut = t->stopped;
        t->until = (cut ? shares[i][1] : 1) * t->goal.budget;
        t->stopped = false;
        if (!code) code = search_together(t);
        t->stopped = t->stopped || cut;
    }
    return code;
}

int tune_search(tune *t) {
    fov_error why;
    t->trials = calloc(TUNE_TRIALS, sizeof *t->trials);
    t->left_out = json_array();
    if (!t->trials || !t->left_out) return complain_memory();
    strcpy(t->trials[0].values, "exact");
    strcpy(t->trials[0].ffn, "exact");
    t->count = 1;
    t->planned = t->data.count; /* exact on both halves */
    t->judge.alpha = 1 - t->goal.confidence;
    progress_start(&t->progress, "texts", t->settings.quiet);
    int code = 0;
    for (int half = 0; half < 2 && !code; half++) {
        code = tune_measure(t, 0, half, &why);
        if (!code && !t->trials[0].halves[half].done) code = complain_api(EXIT_USAGE, &why);
    }
    if (!code) code = search_first(t);
    const size_t most = t->goal.demanded ? DEMANDED_TESTED : TUNE_TESTED;
    if (!code) t->tested_count = shortlist(t, t->tested, most);
    if (!code) code = tune_confirm(t);
    progress_end(&t->progress);
    return code;
}
