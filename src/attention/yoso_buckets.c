/* yoso_buckets.c: see yoso_buckets.h. Codes are radix-sorted, so the order of sums is that of the codes, then of the rows. */
#include "attention/yoso_buckets.h"

#include <string.h>

/* One bucket: runs of the sorted lists. */
typedef struct bucket {
    const uint64_t *queries, *keys;
    size_t n, m; /* of queries, of keys */
} bucket;

void fov_yoso_buckets_carve(fov_arena *arena, const fov_yoso_settings *s, size_t longest, size_t d, fov_yoso_buckets *b) {
    fov_yoso_hasher_carve(arena, s, d, &b->hasher);
    b->k_codes = fov_arena_take(arena, fov_mul(b->hasher.group, longest), sizeof(uint32_t));
    b->q_codes = fov_arena_take(arena, fov_mul(b->hasher.group, longest), sizeof(uint32_t));
    b->k_sorted = fov_arena_take(arena, longest, sizeof(uint64_t));
    b->q_sorted = fov_arena_take(arena, longest, sizeof(uint64_t));
    b->sorted = fov_arena_take(arena, longest, sizeof(uint64_t));
    b->sum = fov_arena_take(arena, d, sizeof(float));
    b->matrix = fov_arena_take(arena, fov_mul(d, d), sizeof(float));
}

/* Rows by code, least significant byte first; tau <= 24: three passes, the last copy goes back. */
static void sort(const uint32_t *codes, size_t n, uint64_t *list, uint64_t *other) {
    for (size_t i = 0; i < n; i++) list[i] = (uint64_t)codes[i] << 32 | i;
    for (unsigned shift = 32; shift < 56; shift += 8) {
        size_t starts[257] = {0};
        for (size_t i = 0; i < n; i++) starts[(list[i] >> shift & 255) + 1]++;
        for (size_t i = 0; i < 256; i++) starts[i + 1] += starts[i];
        for (size_t i = 0; i < n; i++) other[starts[list[i] >> shift & 255]++] = list[i];
        memcpy(list, other, n * sizeof *list);
    }
}

static void sum_values(const fov_yoso_buckets *b, const fov_yoso_pass *pass, const bucket *in) {
    size_t d = pass->p->head_size;
    for (size_t i = 0, at = 0; i < in->n; i++) {
        size_t query = (uint32_t)in->queries[i], end = fov_yoso_visible(pass->p, pass->h, query);
        if (!i || (at && (uint32_t)in->keys[at - 1] >= end)) {
            memset(b->sum, 0, d * sizeof(float));
            at = 0;
        }
        for (; at < in->m && (uint32_t)in->keys[at] < end; at++)
            fov_yoso_add(b->sum, 1, pass->h->v + (uint32_t)in->keys[at] * d, d);
        fov_yoso_add(pass->y + query * d, pass->share, b->sum, d);
    }
}

/* w' / w of keys [at, at + n) of a bucket against query q. */
static void rates(const fov_yoso_buckets *b, const fov_yoso_pass *pass, const bucket *in, const float *q, size_t at, size_t n,
                  float *rate) {
    size_t d = pass->p->head_size;
    float tau = (float)b->hasher.s.tau, p[64];
    for (size_t i = 0; i < n; i++) rate[i] = tau / 2;
    if (b->hasher.s.surrogate) return;
    for (size_t i = 0; i < n; i++) p[i] = fov_yoso_dot(q, pass->h->k + (uint32_t)in->keys[at + i] * d, d);
    fov_yoso_weights(p, n, 1, rate, false);
    for (size_t i = 0; i < n; i++) rate[i] *= tau / (p[i] < 1e-4F ? 1e-4F : p[i]); /* opposite vectors do not collide */
}

static void visit_pairs(const fov_yoso_buckets *b, const fov_yoso_pass *pass, const bucket *in) {
    size_t d = pass->p->head_size;
    for (size_t i = 0; i < in->n; i++) {
        size_t query = (uint32_t)in->queries[i], end = fov_yoso_visible(pass->p, pass->h, query);
        const float *q = pass->q + query * d, *g = pass->g + query * d;
        for (size_t at = 0; at < in->m; at += 64) {
            size_t n = in->m - at < 64 ? in->m - at : 64;
            float rate[64];
            rates(b, pass, in, q, at, n, rate);
            for (size_t k = 0; k < n && (uint32_t)in->keys[at + k] < end; k++) {
                size_t key = (uint32_t)in->keys[at + k];
                float r = pass->share * rate[k] * fov_yoso_dot(g, pass->h->v + key * d, d);
                fov_yoso_add(pass->dv + key * d, pass->share, g, d);
                fov_yoso_add(pass->dq + query * d, r, pass->h->k + key * d, d);
                fov_yoso_add(pass->dk + key * d, r, q, d);
            }
        }
    }
}

/* The surrogate without pairs: dq_i = rate (sum_j k_j v_j^T) g_i, dk_j = rate (sum_i q_i g_i^T) v_j, dv_j = sum_i g_i. */
static void visit_moments(const fov_yoso_buckets *b, const fov_yoso_pass *pass, const bucket *in) {
    size_t d = pass->p->head_size;
    float rate = pass->share * (float)b->hasher.s.tau / 2;
    const float *k = pass->h->k, *v = pass->h->v;
    memset(b->matrix, 0, d * d * sizeof(float));
    for (size_t j = 0; j < in->m; j++)
        for (size_t c = 0, key = (uint32_t)in->keys[j] * d; c < d; c++) fov_yoso_add(b->matrix + c * d, v[key + c], k + key, d);
    for (size_t i = 0; i < in->n; i++)
        for (size_t c = 0, query = (uint32_t)in->queries[i] * d; c < d; c++)
            fov_yoso_add(pass->dq + query, rate * pass->g[query + c], b->matrix + c * d, d);
    memset(b->matrix, 0, d * d * sizeof(float));
    memset(b->sum, 0, d * sizeof(float));
    for (size_t i = 0; i < in->n; i++) {
        size_t query = (uint32_t)in->queries[i] * d;
        fov_yoso_add(b->sum, pass->share, pass->g + query, d);
        for (size_t c = 0; c < d; c++) fov_yoso_add(b->matrix + c * d, pass->g[query + c], pass->q + query, d);
    }
    for (size_t j = 0; j < in->m; j++) {
        size_t key = (uint32_t)in->keys[j] * d;
        fov_yoso_add(pass->dv + key, 1, b->sum, d);
        for (size_t c = 0; c < d; c++) fov_yoso_add(pass->dk + key, rate * v[key + c], b->matrix + c * d, d);
    }
}

static void visit(const fov_yoso_buckets *b, const fov_yoso_pass *pass, const bucket *in) {
    double pairs = 3 * (double)in->n * (double)in->m, moments = 2 * (double)(in->n + in->m) * (double)pass->p->head_size;
    if (!pass->g)
        sum_values(b, pass, in);
    else if (b->hasher.s.surrogate && !pass->p->causal && moments < pairs)
        visit_moments(b, pass, in);
    else
        visit_pairs(b, pass, in);
}

/* Both lists are sorted: buckets with queries and keys come up by merging. */
static void merge(const fov_yoso_buckets *b, const fov_yoso_pass *pass) {
    size_t queries = pass->h->queries, keys = pass->h->keys;
    for (size_t i = 0, j = 0; i < queries && j < keys;) {
        uint64_t a = b->q_sorted[i] >> 32, c = b->k_sorted[j] >> 32;
        bucket in = {b->q_sorted + i, b->k_sorted + j, 0, 0};
        while (a <= c && i + in.n < queries && in.queries[in.n] >> 32 == a) in.n++;
        while (c <= a && j + in.m < keys && in.keys[in.m] >> 32 == c) in.m++;
        i += in.n;
        j += in.m;
        if (a == c) visit(b, pass, &in);
    }
}

void fov_yoso_buckets_walk(fov_yoso_buckets *b, const fov_yoso_pass *pass) {
    const fov_kernels *kernels = pass->run->kernels;
    const fov_yoso_head *h = pass->h;
    size_t m = b->hasher.s.m;
    fov_yoso_hasher_key(&b->hasher, pass->p, h);
    for (size_t first = 0; first < m; first += b->hasher.group) {
        size_t hashes = m - first < b->hasher.group ? m - first : b->hasher.group;
        fov_yoso_hasher_draw(&b->hasher, kernels, first);
        fov_yoso_hasher_codes(&b->hasher, kernels, hashes, h->k, h->keys, b->k_codes);
        fov_yoso_hasher_codes(&b->hasher, kernels, hashes, pass->q, h->queries, b->q_codes);
        for (size_t g = 0; g < hashes; g++) {
            sort(b->k_codes + g * h->keys, h->keys, b->k_sorted, b->sorted);
            sort(b->q_codes + g * h->queries, h->queries, b->q_sorted, b->sorted);
            merge(b, pass);
        }
    }
}
