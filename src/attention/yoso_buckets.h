/* yoso_buckets.h: queries and keys of a head met bucket by bucket, for the sampled gradient of YOSO. */
#ifndef FOV_ATTENTION_YOSO_BUCKETS_H
#define FOV_ATTENTION_YOSO_BUCKETS_H

#include "attention/yoso.h"

typedef struct fov_yoso_buckets {
    fov_yoso_hasher hasher;
    uint32_t *k_codes, *q_codes;            /* [group][longest] */
    uint64_t *k_sorted, *q_sorted, *sorted; /* [longest] code << 32 | number */
    float *sum, *matrix;                    /* [D], [D, D] */
} fov_yoso_buckets;

/* y += share of the sums of V when g is NULL; else dq, dk (of normalised rows) and dv += the gradient's terms of g. */
typedef struct fov_yoso_pass {
    const fov_attention_run *run;
    const fov_attention *p;
    const fov_yoso_head *h;
    const float *q, *g;
    float *y, *dq, *dk, *dv, share;
} fov_yoso_pass;

void fov_yoso_buckets_carve(fov_arena *arena, const fov_yoso_settings *s, size_t longest, size_t d, fov_yoso_buckets *buckets);
/* All hashes, in order. Linear in T for the surrogate: a crowded bucket goes through [D, D] moments instead of its pairs. */
void fov_yoso_buckets_walk(fov_yoso_buckets *buckets, const fov_yoso_pass *pass);

static inline float fov_yoso_dot(const float *a, const float *b, size_t d) {
    float part[8] = {0}, sum = 0;
    size_t c = 0;
    for (; c + 8 <= d; c += 8)
        for (size_t l = 0; l < 8; l++) part[l] += a[c + l] * b[c + l];
    for (; c < d; c++) sum += a[c] * b[c];
    for (size_t l = 0; l < 8; l++) sum += part[l];
    return sum;
}
/* to += factor x */
static inline void fov_yoso_add(float *restrict to, float factor, const float *restrict x, size_t d) {
    for (size_t c = 0; c < d; c++) to[c] += factor * x[c];
}

#endif
