/* fastmax_load.c: the rows of one text and head as Fastmax reads them: gathered, normalised and packed.
 *
 *     none         as they are, scores times scale
 *     standardize  (x - mean) / (deviation + 1e-6) over the row's D channels, scores times scale (the paper; checkpoints)
 *     l2max        divided by the largest norm of the text's rows, so that |score| <= 1 without scale (the published code) */
#include <math.h>
#include <string.h>

#include "attention/fastmax.h"

static const float epsilon = 1e-6f;

/* 1 / the largest norm; rows of zeros stay. NaN stays NaN. */
static double inverse_norm(const float *x, size_t ld, size_t n, size_t d, const uint8_t *mask) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        if (mask && !mask[i]) continue;
        for (size_t c = 0; c < d; c++) sum += (double)x[i * ld + c] * (double)x[i * ld + c];
        if (!(sum <= most) && !isnan(most)) most = sum;
    }
    return most <= 0 ? 1 : 1 / sqrt(most);
}

fov_fastmax_head fov_fastmax_head_of(const fov_fastmax *f, const fov_attention *p, size_t text, size_t head) {
    const size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = f->d;
    fov_fastmax_head h = {.queries = p->q_offsets[text + 1] - q,
                          .keys = p->k_offsets[text + 1] - k,
                          .outputs = p->y_offsets[text + 1] - y,
                          .q = p->q + fov_attention_start(p->q_strides, text, q, p->ldq, head, d),
                          .k = p->k + fov_attention_start(p->k_strides, text, k, p->ldk, head, d),
                          .v = p->v + fov_attention_start(p->v_strides, text, k, p->ldv, head, d),
                          .y = p->y + fov_attention_start(p->y_strides, text, y, p->ldy, head, d),
                          .ldq = p->ldq,
                          .ldk = p->ldk,
                          .ldv = p->ldv,
                          .ldy = p->ldy,
                          .y_query = p->y_query ? p->y_query + y : NULL,
                          .q_position = p->q_position ? p->q_position + q : NULL,
                          .mask = p->key_mask ? p->key_mask + k : NULL,
                          .causal = p->causal,
                          .factor = p->layer.score_scale ? (double)p->layer.score_scale[head] : 1,
                          .q_max = 1,
                          .k_max = 1};
    if (f->normalize == FOV_FASTMAX_L2MAX) {
        h.q_max = inverse_norm(h.q, h.ldq, h.queries, d, NULL);
        h.k_max = inverse_norm(h.k, h.ldk, h.keys, d, h.mask);
    } else {
        h.factor *= (double)p->scale;
    }
    return h;
}

size_t fov_fastmax_last_key(const fov_fastmax_head *h, size_t o) {
    const size_t query = h->y_query ? h->y_query[o] : o;
    if (!h->keys) return SIZE_MAX;
    if (!h->causal) return h->keys - 1;
    if (!h->q_position && query + h->keys < h->queries) return SIZE_MAX;
    const size_t last = h->q_position ? h->q_position[query] : query + h->keys - h->queries;
    return last < h->keys ? last : h->keys - 1;
}

float fov_fastmax_dot(const float *x, const float *y, size_t n) {
    float sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t l = 0; l < 16; l++) sums[l] += y ? x[i + l] * y[i + l] : x[i + l];
    for (size_t l = 0; i + l < n; l++) sums[l] += y ? x[i + l] * y[i + l] : x[i + l];
    for (size_t half = 8; half; half /= 2)
        for (size_t l = 0; l < half; l++) sums[l] += sums[l + half];
    return sums[0];
}

void fov_fastmax_normalize(const fov_fastmax *f, const float *x, double inverse, double factor, float *to) {
    if (f->normalize == FOV_FASTMAX_STANDARDIZE) {
        const float mean = fov_fastmax_dot(x, NULL, f->d) / (float)f->d;
        for (size_t c = 0; c < f->d; c++) to[c] = x[c] - mean;
        const float deviation = sqrtf(fov_fastmax_dot(to, to, f->d) / (float)f->d);
        const float by = (float)factor / (deviation + epsilon);
        for (size_t c = 0; c < f->d; c++) to[c] *= by;
        return;
    }
    const double by = inverse * factor;
    for (size_t c = 0; c < f->d; c++) to[c] = (float)((double)x[c] * by);
}

void fov_fastmax_load_keys(const fov_fastmax_task *t, size_t first, fov_fastmax_keys *keys) {
    const fov_fastmax_head *h = &t->h;
    const size_t d = t->f.d;
    keys->n = 0;
    keys->first = first;
    size_t j = first;
    for (; j < h->keys && keys->n < t->f.block; j++) {
        if (h->mask && !h->mask[j]) continue;
        fov_fastmax_normalize(&t->f, h->k + j * h->ldk, h->k_max, 1, keys->rows + keys->n * d);
        memcpy(keys->values + keys->n * d, h->v + j * h->ldv, d * sizeof(float));
        keys->position[keys->n++] = (uint32_t)j;
    }
    keys->end = j;
    t->kernels->pack_t(keys->rows, d, keys->n, d, keys->packed_k);
    t->kernels->pack_n(keys->values, d, keys->n, d, keys->packed_v);
}

void fov_fastmax_load_rows(fov_fastmax_task *t, size_t o, size_t low, size_t high) {
    fov_fastmax_rows *r = &t->s.rows;
    const fov_fastmax_head *h = &t->h;
    const size_t d = t->f.d;
    for (r->n = 0; r->n < FOV_FASTMAX_ROWS && o + r->n < h->outputs; r->n++) {
        const size_t i = r->n, last = fov_fastmax_last_key(h, o + i);
        if (last < low || last > high) break;
        const size_t query = h->y_query ? h->y_query[o + i] : o + i;
        fov_fastmax_normalize(&t->f, h->q + query * h->ldq, h->q_max, h->factor, r->q + i * d);
        r->position[i] = last;
        r->g[i] = r->seen[i] = 0;
    }
    memset(r->sums, 0, r->n * d * sizeof(float));
}

/* x^ = u / (s + e), u = x - mean, s its deviation: dx = (g - mean g) / (s + e) - u (g . u) / (D s (s + e)^2). */
static void unstandardize(const float *x, size_t d, float factor, float *g) {
    const float mean = fov_fastmax_dot(x, NULL, d) / (float)d, g_mean = fov_fastmax_dot(g, NULL, d) / (float)d;
    float square = 0, along = 0;
    for (size_t c = 0; c < d; c++) {
        square += (x[c] - mean) * (x[c] - mean);
        along += (x[c] - mean) * g[c];
    }
    const float deviation = sqrtf(square / (float)d), by = 1 / (deviation + epsilon);
    const float back = deviation > 0 ? along * by * by / ((float)d * deviation) : 0;
    for (size_t c = 0; c < d; c++) g[c] = factor * (by * (g[c] - g_mean) - back * (x[c] - mean));
}

/* x^ = x / m, m = |x_r| the largest norm: dx_i = g_i / m, and row r also takes - x_r (sum_i g_i . x_i) / m^3. */
static void unscale(const float *x, size_t ldx, size_t n, size_t d, const uint8_t *mask, double inverse, double factor, float *g,
                    size_t ldg) {
    double most = 0, along = 0;
    size_t largest = n;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        if (mask && !mask[i]) continue;
        for (size_t c = 0; c < d; c++) {
            sum += (double)x[i * ldx + c] * (double)x[i * ldx + c];
            along += (double)g[i * ldg + c] * (double)x[i * ldx + c];
        }
        if (sum > most) {
            most = sum;
            largest = i;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (mask && !mask[i]) continue;
        const double back = i == largest ? along * inverse * inverse * inverse : 0;
        for (size_t c = 0; c < d; c++)
            g[i * ldg + c] = (float)(factor * (inverse * (double)g[i * ldg + c] - back * (double)x[i * ldx + c]));
    }
}

void fov_fastmax_unnormalize(const fov_fastmax *f, const float *x, size_t ldx, size_t n, const uint8_t *mask, double inverse,
                             double factor, float *gradient, size_t ldg) {
    if (f->normalize == FOV_FASTMAX_L2MAX) {
        unscale(x, ldx, n, f->d, mask, inverse, factor, gradient, ldg);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float *g = gradient + i * ldg;
        if (mask && !mask[i]) continue;
        if (f->normalize == FOV_FASTMAX_STANDARDIZE)
            unstandardize(x + i * ldx, f->d, (float)factor, g);
        else
            for (size_t c = 0; c < f->d; c++) g[c] *= (float)factor;
    }
}
