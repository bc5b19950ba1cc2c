/* attention_prepare.h: from a public problem to one that a method of the attention room runs. */
#ifndef FOV_API_ATTENTION_PREPARE_H
#define FOV_API_ATTENTION_PREPARE_H

#include "attention/attention.h"
#include "foveate/attention.h"

/* A public problem made ready to run. */
typedef struct fov_prepared {
    fov_setting setting;
    const fov_attention_row *row;
    const fov_kernels *kernels;
    unsigned threads;
    size_t longest, tokens;
    size_t *q_offsets, *k_offsets, *starts;
    uint64_t *hashes;
    void *scratch;
    fov_attention problem;
} fov_prepared;

/* The workspace that a call needs; `call` names it in messages. */
fov_status fov_prepared_measure(const fov_attention_problem *problem, size_t *bytes, bool backward, const char *call,
                                fov_error *error);
/* *prepared is zero; what it holds lies in `workspace`. */
fov_status fov_prepared_make(const fov_attention_problem *problem, fov_prepared *prepared, bool backward, void *workspace,
                             size_t bytes, fov_error *error);

#endif
