/* attention.h: attention and value estimators on raw buffers, for researchers and other engines.
 *
 * Letters: B texts, T tokens, H heads, D head size, d input features, N tokens of all texts. f32 throughout. Nothing here
 * allocates, except the *_create functions; scratch is the caller's: ask *_workspace for its size, pass a block of at least that
 * size aligned to 64 bytes. Calls on distinct outputs and workspaces may run at the same time. A text's result is the same bits
 * whatever the other texts and the thread count are. Errors as in foveate.h.
 */
#ifndef FOVEATE_ATTENTION_H
#define FOVEATE_ATTENTION_H

#include "foveate/foveate.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Distances in floats. All zero: rows of H * D side by side ([N, H, D]; B texts of equal T: [B, T, H, D]).
 * [B, H, T, D] is {.text = H * T * D, .head = T * D, .row = D}. */
typedef struct fov_strides {
    size_t text; /* ignored where offsets are given */
    size_t head, row;
} fov_strides;

/* Y = A V, A = softmax(scale Q K^T) over the keys that `method` joins (Vaswani et al. 2017, eq. 1). */
typedef struct fov_attention_problem {
    const char *method; /* as --attention; NULL: "dense" */
    size_t texts, heads, head_size;
    size_t queries, keys;                /* rows of every text, where the offsets are NULL */
    const size_t *q_offsets, *k_offsets; /* [B + 1] or NULL: text b has rows [offsets[b], offsets[b + 1]) */
    const float *q, *k, *v;
    float *y; /* must not overlap q, k or v */
    fov_strides q_strides, k_strides, v_strides, y_strides;
    float scale;             /* 0: 1 / sqrt(D) */
    unsigned threads;        /* 1..256; 0: default of the machine */
    int causal;              /* 1: query i of a text sees its keys 0 .. i + keys - queries; needs FOV_METHOD_CAUSAL */
    const uint8_t *key_mask; /* [N] by key row, text by text ([B, T] without offsets; not strided); 0: the key is not there;
                                NULL: all are. A query that sees no key gets zeros */
    const uint64_t *hashes;  /* [B] key of each text's draws; NULL: the text's number */
    uint64_t seed;           /* of random methods */
    uint32_t layer;          /* part of the key; at most 65535 */
    /* YOSO's convolution, 'yoso' only: [H, conv_width], or NULL: none. Query i also gets sum_c conv[h, c] v[t + c - conv_width /
     * 2], t = i, or i + keys - queries when causal, over the keys that are there and that it sees. Gradients go through it to v;
     * conv itself gets none. */
    const float *conv;
    size_t conv_width; /* odd; ignored where conv is NULL */
} fov_attention_problem;

/* Bytes of workspace for forward, weights and apply on this problem. Pointers to data are not read. FOV_ERR_UNSUPPORTED: causal
 * or conv, but the method cannot. */
FOV_API fov_status fov_attention_workspace(const fov_attention_problem *problem, size_t *bytes, fov_error *error);

/* Y, with the weights never stored: memory linear in T. A text without keys gives rows of zeros. */
FOV_API fov_status fov_attention_forward(const fov_attention_problem *problem, void *workspace, size_t bytes, fov_error *error);

/* Softmax-family methods that store dense weights only (so not window). Weights A, text by text and head by head:
 * [sum over texts of H * queries * keys]; and, where not NULL, the importance of every key: col_max, col_energy [H, N]: maximum and
 * sum of squares of its column of A over the text's queries. v and y are not used. */
FOV_API fov_status fov_attention_weights(const fov_attention_problem *problem, float *weights, float *col_max, float *col_energy,
                                         void *workspace, size_t bytes, fov_error *error);

/* Y = A V with weights of the call above. q and k are not used. */
FOV_API fov_status fov_attention_apply(const fov_attention_problem *problem, const float *weights, void *workspace, size_t bytes,
                                       fov_error *error);

/* Gradients of a loss with respect to Y, Q, K and V: dy given, with the strides of y; dq, dk, dv written, with those of q, k, v.
 * None may overlap another or the problem's matrices. */
typedef struct fov_attention_gradients {
    const float *dy;
    float *dq, *dk, *dv;
} fov_attention_gradients;

/* Methods with FOV_METHOD_HAS_BACKWARD only, else FOV_ERR_UNSUPPORTED. problem->y holds the result of fov_attention_forward on the
 * same problem and is not written. Rows of masked keys get zeros. */
FOV_API fov_status fov_attention_backward_workspace(const fov_attention_problem *problem, size_t *bytes, fov_error *error);
FOV_API fov_status fov_attention_backward(const fov_attention_problem *problem, const fov_attention_gradients *gradients,
                                          void *workspace, size_t bytes, fov_error *error);

/* Causal Fastmax one position at a time, for decoding. The positions so far are kept as moments, so that memory and the time of a
 * step do not grow with their number: D F floats a head (D rounded up to a multiple of 32), F = 1 + D for p = 1 and
 * 1 + D + D (D + 1) / 2 for p = 2. */
typedef struct fov_fastmax_stream fov_fastmax_stream;

/* An empty stream of `heads` heads. `method`: "fastmax" with p, normalize (none or standardize) and block, how many positions are
 * held back and then join the moments together (for p = 1 a small one, 16, is faster); form plays no part; NULL: "fastmax". scale
 * as in fov_attention_problem. Free with fov_fastmax_stream_free. allocator NULL: C library. FOV_ERR_UNSUPPORTED: normalize=l2max,
 * which needs all positions at once. */
FOV_API fov_status fov_fastmax_stream_create(const char *method, size_t heads, size_t head_size, float scale,
                                             const fov_allocator *allocator, fov_fastmax_stream **stream, fov_error *error);

/* The next position: q, k, v [H, D] in, y [H, D] out: the row that fov_attention_forward gives it under `causal`, up to rounding. y
 * may be q and must not overlap k or v. q and y both NULL: the position is only added. A NaN stays until the reset. Allocates
 * nothing. One thread at a time per stream; streams are independent. FOV_ERR_ARGUMENT: a NULL; nothing was added. */
FOV_API fov_status fov_fastmax_stream_step(fov_fastmax_stream *stream, const float *q, const float *k, const float *v, float *y,
                                           fov_error *error);
/* Forget all positions. NULL is allowed. */
FOV_API void fov_fastmax_stream_reset(fov_fastmax_stream *stream);
FOV_API void fov_fastmax_stream_free(fov_fastmax_stream *stream); /* NULL is allowed */

/* A value projection V = X W^T + b bound to an estimator. Immutable; shared by threads. */
typedef struct fov_projection fov_projection;

/* `method` as --values (NULL: "exact"); weight [H * D, d] as in a checkpoint; bias [H * D] or NULL. Both are copied.
 * Free with fov_projection_free. allocator NULL: C library. */
FOV_API fov_status fov_projection_create(const char *method, const float *weight, const float *bias, size_t width, size_t heads,
                                         size_t head_size, const fov_allocator *allocator, fov_projection **projection,
                                         fov_error *error);
FOV_API void fov_projection_free(fov_projection *projection); /* NULL is allowed */

typedef struct fov_projection_problem {
    size_t texts;
    const size_t *offsets;   /* [B + 1] rows of x and v, from 0; N = offsets[B] */
    const float *x;          /* [N, d] */
    float *v;                /* [N, H * D] */
    const float *col_max;    /* [H, N] from fov_attention_weights; may be NULL where the method does not need importance */
    const float *col_energy; /* [H, N], likewise */
    const uint64_t *hashes;  /* [B] key of each text's draws; NULL: the text's number */
    uint64_t seed;
    uint32_t layer;   /* part of the key */
    unsigned threads; /* 0: default of the machine */
    float *work;      /* [N] or NULL: share of the exact cost spent on each token, mean over heads */
} fov_projection_problem;

FOV_API fov_status fov_projection_workspace(const fov_projection *projection, const fov_projection_problem *problem, size_t *bytes,
                                            fov_error *error);
/* V, and in *multiply_adds (when not NULL) the multiply-adds done. */
FOV_API fov_status fov_projection_run(const fov_projection *projection, const fov_projection_problem *problem, void *workspace,
                                      size_t bytes, double *multiply_adds, fov_error *error);

#ifdef __cplusplus
}
#endif
#endif
