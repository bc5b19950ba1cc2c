/* attention_prepare.h: from a public problem to one that a method of the attention room runs. */
#ifndef FOV_API_ATTENTION_PREPARE_H
#define FOV_API_ATTENTION_PREPARE_H

#include "attention/attention.h"
#include "foveate/attention.h"

/* A public problem made ready to run. */
typedef struct fov_prepared {
    fov_setting setting;          /* the method and its parameters */
    const fov_attention_row *row; /* the method's functions */
    const fov_kernels *kernels;   /* of the tier in use */
    unsigned threads;             /* at least 1 */
    size_t longest;               /* rows of the longest text, of queries or keys */
    size_t tokens;                /* of all texts: of each the more of queries and keys */
    size_t *q_offsets;            /* [texts + 1] first row of queries and outputs */
    size_t *k_offsets;            /* [texts + 1] first row of keys and values */
    size_t *starts;               /* [texts] pairs of query and key in the texts before */
    uint64_t *hashes;             /* [texts] keys of the random draws; the text's number where none were given */
    void *scratch;                /* the method's own */
    fov_attention problem;        /* with pointers to these arrays */
} fov_prepared;

/* *bytes: of the workspace that a call needs; `call` names it in messages. backward: of the gradients. FOV_ERR_ARGUMENT: a NULL, an
 * unknown method, sizes that cannot be; FOV_ERR_UNSUPPORTED: what the method or this machine cannot. */
fov_status fov_prepared_measure(const fov_attention_problem *problem, size_t *bytes, bool backward, const char *call,
                                fov_error *error);
/* *prepared is zero before. Its arrays lie in `workspace`, of `bytes` bytes and aligned to 64, which is the caller's and must
 * outlive it; nothing is to be freed. The same errors, and FOV_ERR_ARGUMENT where the workspace is NULL, not aligned, or too small.
 */
fov_status fov_prepared_make(const fov_attention_problem *problem, fov_prepared *prepared, bool backward, void *workspace,
                             size_t bytes, fov_error *error);

#endif
