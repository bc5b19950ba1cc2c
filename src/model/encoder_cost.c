/* encoder_cost.c: multiply-adds of attention, and those of the exact path that the stats compare with: the ragged one,
 * every row computed, with the checkpoint's own attention in its exact form; of the value projection also the papers' padded
 * convention. */
#include <math.h>

#include "model/encoder_state.h"

/* The checkpoint's own attention in its exact form; dense where the checkpoint names a method that is not here. */
fov_setting fov_encoder_baseline_of(const struct fov_model *model) {
    fov_setting baseline;
    size_t count;
    const fov_method_info *const *infos = fov_attention_infos(&count);
    if (fov_setting_parse(&baseline, infos, count, model->attention, NULL))
        (void)fov_setting_parse(&baseline, infos, count, "dense", NULL);
    const fov_attention_row *row = fov_attention_row_of(&baseline);
    if (row->exact_form) row->exact_form(&baseline);
    return baseline;
}

/* A method's cost is that of scores and of products with values, half and half where these are as wide as keys. */
double fov_encoder_attention_cost(const fov_setting *setting, const fov_attention *p, const size_t *q_rows, const size_t *y_rows,
                                  bool local) {
    const fov_attention_row *row = fov_attention_row_of(setting);
    double sum = 0;
    for (size_t b = 0; local && b < p->texts; b++) {
        const size_t keys = p->k_offsets[b + 1] - p->k_offsets[b];
        sum += (row->cost(setting, q_rows[b + 1] - q_rows[b], keys, p->key_size) +
                row->cost(setting, y_rows[b + 1] - y_rows[b], keys, p->head_size)) /
               2;
    }
    sum *= (double)p->heads;
    return row->layer_cost ? sum + row->layer_cost(setting, p) : sum;
}

void fov_encoder_add_exact_cost(const fov_encoder *e, const fov_batch *b, fov_stats *stats) {
    const fov_config *c = &e->model->config;
    double n = (double)b->offsets[b->texts], width = (double)c->width, layers = (double)c->layers;
    const fov_attention_global global = {.width = c->width};
    const fov_attention p = {.texts = b->texts,
                             .heads = c->heads,
                             .head_size = c->width / c->heads,
                             .key_size = c->width / c->heads,
                             .k_offsets = b->offsets,
                             .layer = {.globals = e->model->globals, .global = e->model->globals ? &global : NULL}};
    double attention = fov_encoder_attention_cost(&e->baseline, &p, b->offsets, b->offsets, true);
    stats->values_exact_real += layers * n * width * width;
    stats->values_exact_padded += layers * (double)b->texts * e->padded * width * width;
    for (size_t t = 0; t < b->texts; t++)
        if ((double)(b->offsets[t + 1] - b->offsets[t]) > e->padded) stats->values_exact_padded = (double)NAN; /* no such figure */
    stats->total_exact_real += layers * (4 * n * width * width + attention + 2 * n * width * (double)c->ffn_width);
}
