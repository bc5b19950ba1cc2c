/* tune_data.c: the texts of a tuning, how a loss on them is judged, and what tells one run's data from another's. */
#include "evaluate.h"
#include "input.h"
#include "npy.h"
#include "report.h"
#include "tune.h"

#include <stdlib.h>
#include <string.h>

/* ---- the texts ---- */

static int append_block(dataset *d, const block *b, size_t *used) {
    fov_text *texts = realloc(d->texts, (d->count + b->count) * sizeof *texts);
    if (texts) d->texts = texts;
    char *bytes = realloc(d->bytes, *used + b->used + 1);
    if (bytes) d->bytes = bytes;
    if (!texts || !bytes) return complain_memory();
    memcpy(d->bytes + *used, b->bytes, b->used);
    for (size_t i = 0; i < b->count; i++) {
        d->texts[d->count + i] = b->texts[i];
        /* Places in the bytes for now: those may move. */
        d->texts[d->count + i].a = NULL;
    }
    d->count += b->count;
    *used += b->used;
    return 0;
}

/* Lines without labels, into a data set without gold. */
static int read_lines(dataset *d, const char *path, size_t limit, bool pairs) {
    reader *r = NULL;
    block b = {0};
    size_t used = 0;
    int code = reader_open(&r, path, NULL);
    while (!code) {
        const size_t left = limit ? limit - d->count : BLOCK_LINES;
        code = left ? block_read(&b, r, left, pairs) : 0;
        if (code || !left || !b.count) break;
        code = append_block(d, &b, &used);
    }
    char *at = d->bytes;
    for (size_t i = 0; i < d->count && !code; i++) {
        d->texts[i].a = at;
        at += d->texts[i].a_size;
        if (d->texts[i].b) d->texts[i].b = at;
        at += d->texts[i].b_size;
    }
    block_free(&b);
    reader_close(r);
    if (!code && !d->count) code = complain(EXIT_FAILED, "%s: no texts: give a file with one per line", path);
    return code;
}

static int set_judge(tune *t) {
    const fov_head head = t->engine.info->head;
    t->data.columns = 1;
    if (t->task) {
        int code = evaluation_check(&t->engine, t->task);
        if (code) return code;
    }
    if (head != FOV_HEAD_SINGLE_LABEL && head != FOV_HEAD_MULTI_LABEL && head != FOV_HEAD_REGRESSION)
        return complain(EXIT_FAILED, "%s: its head (%s) answers nothing that could be compared: give a --model that classifies",
                        t->engine.info->name, head_name(head));
    if (t->task) {
        t->judge.value = t->task->metrics[0].value;
        t->metric = t->task->metrics[0].name;
        t->judge.kind = head == FOV_HEAD_REGRESSION         ? JUDGE_SCORES
                        : t->judge.value == metric_accuracy ? JUDGE_ACCURACY
                                                            : JUDGE_LABELS;
    } else {
        t->judge.kind = head == FOV_HEAD_REGRESSION ? JUDGE_SCORES : JUDGE_AGREEMENT;
        t->judge.value = head == FOV_HEAD_REGRESSION ? metric_pearson : NULL;
        t->metric = head == FOV_HEAD_REGRESSION ? "correlation with exact" : "agreement with exact";
        if (head == FOV_HEAD_MULTI_LABEL) t->data.columns = t->engine.info->labels;
    }
    t->judge.alpha = 1 - t->goal.confidence;
    return 0;
}

int tune_read(tune *t, const char *path, const char *ids, size_t limit, bool pairs) {
    int code = set_judge(t);
    if (code) return code;
    if (t->task)
        code = dataset_read(&t->data, t->task, path, ids, engine_label, t->engine.model, limit);
    else
        code = read_lines(&t->data, path, limit, pairs);
    t->judge.columns = t->data.columns;
    return code;
}

/* ---- what a journal must agree with ---- */

static uint64_t hash_data(const dataset *d) {
    uint64_t hash = NPY_HASH;
    for (size_t i = 0; i < d->count; i++) {
        const fov_text *text = &d->texts[i];
        hash = npy_hash(hash, text->a, text->a_size);
        hash = npy_hash(hash, "\t", text->b != NULL);
        hash = npy_hash(hash, text->b, text->b_size);
        hash = npy_hash(hash, "\n", 1);
    }
    return d->gold ? npy_hash(hash, d->gold, d->count * d->columns * sizeof *d->gold) : hash;
}

static uint64_t hash_file(const char *path) {
    enum { CHUNK = 1 << 16 };
    uint64_t hash = NPY_HASH;
    FILE *file = *path ? fopen(path, "rb") : NULL;
    char *bytes = file ? malloc(CHUNK) : NULL;
    for (size_t size; bytes && (size = fread(bytes, 1, CHUNK, file));) hash = npy_hash(hash, bytes, size);
    free(bytes);
    if (file) fclose(file);
    return hash;
}

json_t *tune_header(const tune *t, const char *profile) {
    const unsigned threads = t->settings.threads ? (unsigned)t->settings.threads : t->machine.threads;
    return json_pack("{s:i, s:s, s:o, s:o, s:b, s:o, s:s, s:s, s:s, s:i, s:I, s:I, s:o, s:s}", "foveate-tune", 1, "version",
                     fov_version(), "model", tuned_hash(fov_model_hash(t->engine.model)), "data", tuned_hash(hash_data(&t->data)),
                     "swap", (int)t->goal.swap, "profile", tuned_hash(t->has_profile ? hash_file(profile) : 0), "attention",
                     t->settings.attention ? t->settings.attention : "", "dtype", t->settings.dtype, "metric", t->metric, "threads",
                     (int)threads, "seed", (json_int_t)t->settings.seed, "max-length", (json_int_t)t->settings.max_length, "cpu",
                     json_text(t->machine.cpu), "tier", t->machine.tier);
}
