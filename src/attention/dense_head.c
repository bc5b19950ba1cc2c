/* dense_head.c: one (text, head) of a dense problem: where its rows lie, which keys its queries see, and how texts are cut into
 * tasks. */
#include "attention/dense.h"

#include <math.h>
#include <string.h>

fov_dense_head fov_dense_head_of(const fov_attention *p, size_t text, size_t head) {
    const size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = p->head_size;
    const size_t ks = p->key_size;
    fov_dense_head h = {
        .queries = p->q_offsets[text + 1] - q,
        .keys = p->k_offsets[text + 1] - k,
        .outputs = p->y_offsets[text + 1] - y,
        .y_query = p->y_query ? p->y_query + y : NULL,
        .q_position = p->q_position ? p->q_position + q : NULL,
        .key_mask = p->key_mask ? p->key_mask + k : NULL,
        .causal = p->causal,
        .type = p->k_offsets[text + 1] - k <= FOV_DENSE_F32_KEYS ? FOV_TYPE_F32 : p->type,
        .offset_q = fov_attention_start(p->q_strides, text, q, p->ldq, head, ks),
        .offset_k = fov_attention_start(p->k_strides, text, k, p->ldk, head, ks),
        .offset_v = fov_attention_start(p->v_strides, text, k, p->ldv, head, d),
        .offset_y = fov_attention_start(p->y_strides, text, y, p->ldy, head, d),
    };
    h.q = p->q ? p->q + h.offset_q : NULL;
    h.k = p->k ? p->k + h.offset_k : NULL;
    h.v = p->v ? p->v + h.offset_v : NULL;
    h.y = p->y ? p->y + h.offset_y : NULL;
    return h;
}

size_t fov_dense_seen(const fov_dense_head *h, size_t query) {
    if (!h->causal) return h->keys;
    if (!h->q_position && query + h->keys < h->queries) return 0;
    const size_t seen = (h->q_position ? h->q_position[query] : query + h->keys - h->queries) + 1;
    return seen < h->keys ? seen : h->keys;
}

static size_t query_of(const fov_dense_head *h, size_t output) {
    return h->y_query ? h->y_query[output] : output;
}

size_t fov_dense_seen_most(const fov_dense_head *h, size_t o, size_t n) {
    if (!h->causal) return h->keys;
    size_t most = 0;
    for (size_t i = o; i < o + n; i++) {
        const size_t seen = fov_dense_seen(h, query_of(h, i));
        if (seen > most) most = seen;
    }
    return most;
}

void fov_dense_mask(const fov_dense_head *h, size_t o, size_t n, size_t key, size_t count, float *scores, size_t ld) {
    for (size_t i = 0; h->causal && i < n; i++) {
        const size_t seen = fov_dense_seen(h, query_of(h, o + i));
        for (size_t j = seen > key ? seen - key : 0; j < count; j++) scores[i * ld + j] = -INFINITY;
    }
    for (size_t j = 0; h->key_mask && j < count; j++) {
        if (h->key_mask[key + j]) continue;
        for (size_t i = 0; i < n; i++) scores[i * ld + j] = -INFINITY;
    }
}

void fov_dense_clear_masked(const fov_dense_head *h, fov_type type, size_t key, size_t count, size_t columns, float *packed) {
    const size_t words = fov_words(type, count), size = sizeof(float) >> type; /* bytes of a value */
    unsigned char *bytes = (unsigned char *)packed;
    for (size_t j = 0; h->key_mask && j < count; j++) {
        if (h->key_mask[key + j]) continue;
        const size_t word = j >> type, part = (j - (word << type)) * size;
        for (size_t p = 0; p < fov_panels(columns); p++)
            for (size_t c = 0; c < FOV_PANEL; c++)
                memset(bytes + ((p * words + word) * FOV_PANEL + c) * sizeof(float) + part, 0, size);
    }
}

/* Rows per task: FOV_DENSE_CHUNK, but less where that gives the threads too little to share. Results do not depend on it. */
size_t fov_dense_chunk(const fov_attention *p, const size_t *offsets, unsigned threads) {
    const size_t enough = 4 * (size_t)threads;
    for (size_t chunk = FOV_DENSE_CHUNK;; chunk -= FOV_DENSE_ROWS / 2) {
        if (threads < 2 || chunk <= FOV_DENSE_ROWS / 2) return chunk;
        size_t tasks = 0;
        for (size_t b = 0; b < p->texts && tasks < enough; b++)
            tasks += (offsets[b + 1] - offsets[b] + chunk - 1) / chunk * p->heads;
        if (tasks >= enough) return chunk;
    }
}

size_t fov_dense_number(const fov_attention *p, const size_t *offsets, size_t chunk, size_t *first) {
    first[0] = 0;
    for (size_t b = 0; b < p->texts; b++) first[b + 1] = first[b] + (offsets[b + 1] - offsets[b] + chunk - 1) / chunk * p->heads;
    return first[p->texts];
}

size_t fov_dense_text_of(const size_t *first, size_t texts, size_t task) {
    size_t low = 0, high = texts; /* first[low] <= task < first[high] */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (first[middle] <= task)
            low = middle;
        else
            high = middle;
    }
    return low;
}
