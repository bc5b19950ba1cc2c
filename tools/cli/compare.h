/* compare.h: several settings on one task, measured in turn so that a slow minute hits all; and where each one's work went. The
 * exact setting is always the first. */
#ifndef FOVEATE_CLI_COMPARE_H
#define FOVEATE_CLI_COMPARE_H

#include "evaluate.h"

#include <jansson.h>

enum { COMPARE_TRACED = 16, COMPARE_SHOWN = 8 };

typedef struct spread {
    double median, low, high; /* low, high: least and largest */
} spread;

/* What one text's tokens got, means over layers. */
typedef struct traced_text {
    size_t index, tokens; /* of the examples */
    int32_t *ids;
    float *importance, *work;
} traced_text;

typedef struct compared {
    char *text; /* "exact", or as given */
    char *copy; /* cut into method strings */
    shared_settings settings;
    engine engine; /* its own session on the comparison's model */
    evaluation evaluation;
    double *seconds;    /* [passes], ids to logits */
    spread time, speed; /* seconds of a pass; exact / this, paired within passes */
    size_t changed;     /* predictions that are not exact's, in the last pass */
    /* Of the traced texts, mean over their tokens. */
    double *head_importance, *head_work; /* [L, H] */
    size_t traced, traced_tokens;        /* 0: untraced says why */
    char untraced[400];
    traced_text shown[COMPARE_SHOWN];
    size_t shown_count;
} compared;

typedef struct comparison {
    compared *items; /* [count] */
    size_t count, passes;
    size_t given; /* the item of --attention, --values and --ffn; 0 when these are exact */
} comparison;

/* Parse the settings and make their sessions; e holds the session of the command's own. 0 or an exit code, as below. */
int comparison_open(comparison *c, const engine *e, const shared_settings *shared, const option_list *list);
/* `rounds` passes, or as many as seeds. `data` is borrowed. */
int comparison_run(comparison *c, const task *t, const dataset *data, size_t rounds, size_t seeds);
/* Explain COMPARE_TRACED texts, evenly spaced over the data; the tokens of COMPARE_SHOWN are kept. */
int comparison_trace(comparison *c);
void comparison_close(comparison *c);

/* A list with one object per setting, or NULL. */
json_t *comparison_pack(const comparison *c);
void comparison_print(const comparison *c);

#endif
