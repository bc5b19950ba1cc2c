/* tune.h: the search behind `foveate tune`. tune_data.c reads, tune.c measures, tune_search.c chooses on the first half,
 * tune_confirm.c tests on the second, tune_journal.c remembers what is finished, tune_report.c tells. */
#ifndef FOVEATE_CLI_TUNE_H
#define FOVEATE_CLI_TUNE_H

#include "engine.h"
#include "judge.h"
#include "progress.h"
#include "tasks.h"
#include "tuned.h"

enum { TUNE_TRIALS = 96, TUNE_TESTED = 5 };

/* Two of 200 texts are one point, whatever .935 - .925 is in binary. */
static inline bool tune_within(double loss, double accepted) {
    return loss <= accepted + 1e-9;
}

/* A setting on one half. */
typedef struct measured {
    bool done;
    double *predicted;                   /* [texts, columns] */
    double seconds;                      /* of the half */
    double speed, speed_low, speed_high; /* exact's time over this one's: median and range over paired blocks */
    double share;                        /* multiply-adds done of the baseline's, real tokens */
    verdict verdict;
} measured;

typedef struct trial {
    char attention[SETTING_SIZE]; /* "": the one of exact */
    char values[SETTING_SIZE], ffn[SETTING_SIZE];
    bool own_values; /* the attention makes them: values is exact */
    measured halves[2];
} trial;

typedef struct tune_goal {
    double max_loss;   /* points */
    double confidence; /* 0..1, of the intervals */
    bool demanded;     /* the bound must hold, not only the estimate */
    bool by_work;      /* least multiply-adds, not least time */
    bool swap;         /* the halves change places */
    double budget;     /* seconds; 0: no end */
} tune_goal;

typedef struct journal {
    const char *path;
    FILE *file;
    json_t *lines; /* array of what was finished before */
    size_t added;  /* lines written by this run */
    bool ours;     /* opened, and of this run */
} journal;

typedef struct tune {
    tune_goal goal;
    shared_settings settings;
    engine engine; /* its session is exact */
    fov_machine machine;
    const task *task; /* NULL: no labels */
    dataset data;     /* shuffled; without labels gold is NULL */
    size_t start[2], size[2];
    judge judge;
    const char *metric;
    bool has_profile;
    json_t *left_out; /* array of {"setting", "reason"} */
    trial *trials;    /* [count], the first is exact */
    size_t count, planned;
    size_t tested[TUNE_TESTED], tested_count; /* on the second half, in this order */
    size_t corrections;                       /* settings ever tested on it, earlier runs of the journal included */
    size_t chosen;                            /* 0: none */
    double until;                             /* seconds of the budget that a part of the search may use */
    bool stopped;                             /* the budget ended the search */
    double began;
    size_t texts_done;
    progress progress;
    journal journal;
    char verdict[600]; /* why none is chosen */
} tune;

/* Read the texts and decide how a loss on them is judged. 0 or an exit code. */
int tune_read(tune *t, const char *path, const char *ids, size_t limit, bool pairs);
/* Shuffle the texts, cut them in halves, and check that there are enough. 0 or an exit code. */
int tune_halves(tune *t);
/* Run a setting on a half, or take it from the journal. UNSUPPORTED leaves it undone, with the reason in *why. */
int tune_measure(tune *t, size_t index, int half, fov_error *why);
/* Search the first half, test on the second; chosen stays 0 when nothing passes. 0 or an exit code. */
int tune_search(tune *t);
/* Run t->tested on the second half until one keeps what is accepted; it is t->chosen, else t->verdict says why none is. */
int tune_confirm(tune *t);
/* Whether another setting fits in the time left, and `after` it on the second half. */
bool tune_has_time(const tune *t, double after);
/* How much better than exact on a half: time or multiply-adds. */
double tune_gain(const tune *t, size_t index, int half);
void tune_free(tune *t);

/* What decides whether a journal is of this run; of the texts in the file's order. NULL: out of memory. */
json_t *tune_header(const tune *t, const char *profile);
/* Consumes the header. */
int journal_open(journal *j, const char *path, json_t *header, bool restart);
/* What is stored of a setting, or NULL. */
const json_t *journal_find(const journal *j, const trial *one, int half);
/* How many settings it has of the second half, exact and those in `tested` apart. */
size_t journal_others(const tune *t);
int journal_add(journal *j, json_t *line);
/* Remove it when finished, or when it holds nothing worth keeping. */
void journal_close(journal *j, bool finished);

/* "values=mca:alpha=0.1;ffn=topk:k=64" */
void tune_name(const trial *one, char text[TUNE_NAME]);
json_t *tune_pack(const tune *t);
void tune_print(const tune *t);

#endif
