/* bench.h: interleaved timing of settings on the same texts. */
#ifndef FOVEATE_CLI_BENCH_H
#define FOVEATE_CLI_BENCH_H

#include "block.h"
#include "engine.h"
#include "tasks.h"

typedef struct bench_setting {
    const char *text; /* as given; "exact" for the first */
    char *copy;       /* cut into method strings */
    fov_session_options options;
    fov_session *session;
    double *rounds;           /* seconds of each round */
    double seconds;           /* their median */
    double median, low, high; /* of exact / this, paired within rounds */
    double share;             /* of the exact multiply-adds, real tokens */
} bench_setting;

typedef struct bench {
    engine engine;
    fov_machine machine;
    unsigned threads;
    size_t repeat, count;
    bench_setting *settings; /* [count], the first is exact */
    dataset data;            /* of a task */
    block lines;             /* of a file of lines */
    const fov_text *texts;   /* one of these, or the built-in ones */
    size_t text_count;
    float *results;
    uint64_t tokens;
    double peak, flops, tokens_per_second, first_label;
} bench;

/* Load the model, parse the settings to compare and make their sessions. 0 or an exit code, as below. */
int bench_open(bench *b, const shared_settings *shared, const option_list *compare);
int bench_texts(bench *b, const task *t, const char *path, size_t limit);
int bench_run(bench *b, bool quiet);
void bench_close(bench *b);
/* Cut "values=a;ffn=b" (changed in place) into options. 0, or a complaint about what is wrong with it. */
int bench_parse(char *text, fov_session_options *options);
const char *bench_compiler(void);

#endif
