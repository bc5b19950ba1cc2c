/* evaluate.h: one task, one setting, one or more seeds. */
#ifndef FOVEATE_CLI_EVALUATE_H
#define FOVEATE_CLI_EVALUATE_H

#include "engine.h"
#include "tasks.h"

enum { EVALUATION_METRICS = 3 };

typedef struct evaluation {
    const task *task;
    dataset data;
    bool by_cosine;    /* an embedding model on a similarity task: Spearman of cosines */
    size_t outputs;    /* logits per example */
    float *logits;     /* [count, outputs] of the last seed */
    double *predicted; /* as data.gold, of the last seed */
    fov_text_info *infos;
    size_t seeds;
    size_t metric_count;
    metric metrics[EVALUATION_METRICS];
    double *figures;                        /* [metric_count, seeds] */
    interval intervals[EVALUATION_METRICS]; /* over seeds, or by bootstrap */
    fov_stats stats;                        /* means over seeds */
} evaluation;

/* What a head's logits answer: a class (-1 when a logit is NaN), a score, or 0 and 1 for each label. */
void evaluation_answer(fov_head head, const float *logits, size_t outputs, double *answer);
/* Make sure that the model's head fits the task. */
int evaluation_check(const engine *e, const task *t);
/* Run once per seed, from `settings`'s on; e holds the session of the first, the others are made here. The caller has filled task
 * and data and zeroed the rest; evaluation_free in any case. 0 or an exit code. */
int evaluation_run(evaluation *v, engine *e, const shared_settings *settings, size_t seeds);
/* The same in steps, for settings measured in turn: begin; a pass for each seed number below v->seeds, in order, with the stats of
 * that pass; then as many passes with larger numbers as their times are wanted, which change no figure; conclude. */
int evaluation_begin(evaluation *v, const engine *e, const shared_settings *settings, size_t seeds);
int evaluation_pass(evaluation *v, engine *e, const shared_settings *settings, size_t seed, fov_stats *stats);
int evaluation_conclude(evaluation *v);
void evaluation_free(evaluation *v);

#endif
