/* yoso_tables.h: the buckets of a group of hashes, for the sampled form of YOSO: sums of values by (hash, code). */
#ifndef FOV_ATTENTION_YOSO_TABLES_H
#define FOV_ATTENTION_YOSO_TABLES_H

#include "attention/yoso.h"

enum {
    FOV_YOSO_CHUNK = 128
}; /* rows that are hashed and added together: a head's values of a chunk fill half of L1 or all of it */

/* Only occupied buckets have a row, so tau costs no memory. A code is its own slot where 2^tau slots are no more than the open
 * addressing of the longest text would have. */
typedef struct fov_yoso_tables {
    size_t rows, d; /* rows of each table */
    unsigned log2_slots, shift;
    uint32_t multiplier;
    uint32_t *slots; /* [hashes][1 << log2_slots]: 1 + row, 0: free */
    uint32_t *codes; /* [hashes][rows] */
    uint32_t *used;  /* [hashes] rows in use */
    uint32_t *found; /* [hashes] rows of a query */
    float *sums;     /* [hashes][rows, D] */
} fov_yoso_tables;

void fov_yoso_tables_carve(fov_arena *arena, unsigned tau, size_t hashes, size_t longest, size_t d, fov_yoso_tables *t);
void fov_yoso_tables_clear(fov_yoso_tables *t, size_t hashes);
/* The bucket codes[i] of hash g += v[i] [D], i < n <= FOV_YOSO_CHUNK, ascending. */
void fov_yoso_tables_add(fov_yoso_tables *t, size_t g, const uint32_t *codes, size_t n, const float *v);
/* y [D] += the bucket codes[g * ldc] of every hash g, ascending. */
void fov_yoso_tables_read(const fov_yoso_tables *t, size_t hashes, const uint32_t *codes, size_t ldc, float *y);

#endif
