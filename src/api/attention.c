/* attention.c: the raw-buffer interface: the calls around the attention room. */
#include "foveate/attention.h"

#include "api/attention_prepare.h"
#include "core/status.h"

fov_status fov_attention_workspace(const fov_attention_problem *p, size_t *bytes, fov_error *error) {
    return fov_prepared_measure(p, bytes, false, "fov_attention_workspace", error);
}

fov_status fov_attention_backward_workspace(const fov_attention_problem *p, size_t *bytes, fov_error *error) {
    return fov_prepared_measure(p, bytes, true, "fov_attention_backward_workspace", error);
}

static fov_attention_run run_of(const fov_prepared *r) {
    return (fov_attention_run){r->kernels, &r->setting, r->threads, r->scratch};
}

static fov_status need(bool there, const char *call, const char *what, fov_error *error) {
    return there ? FOV_OK : fov_fail(error, FOV_ERR_ARGUMENT, call, "%s must not be NULL", what);
}

static fov_status need_weights(const fov_prepared *r, fov_error *error) {
    if (r->row->weight_floats)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, r->row->info.name,
                        "'%s' attention stores its weights in a form of its own; use fov_attention_forward", r->row->info.name);
    if (r->row->weights) return FOV_OK;
    return fov_fail(error, FOV_ERR_UNSUPPORTED, r->row->info.name, "'%s' attention never forms weights; use fov_attention_forward",
                    r->row->info.name);
}

fov_status fov_attention_forward(const fov_attention_problem *p, void *workspace, size_t bytes, fov_error *error) {
    fov_prepared r = {0};
    fov_status status = fov_prepared_make(p, &r, false, workspace, bytes, error);
    if (!status) status = need(!p->texts || (p->q && p->k && p->v && p->y), "fov_attention_forward", "q, k, v and y", error);
    if (status) return status;
    fov_attention_run run = run_of(&r);
    r.row->forward(&run, &r.problem);
    return FOV_OK;
}

fov_status fov_attention_weights(const fov_attention_problem *p, float *weights, float *col_max, float *col_energy, void *workspace,
                                 size_t bytes, fov_error *error) {
    fov_prepared r = {0};
    fov_status status = fov_prepared_make(p, &r, false, workspace, bytes, error);
    if (!status) status = need(!p->texts || (p->q && p->k && weights), "fov_attention_weights", "q, k and weights", error);
    if (!status) status = need_weights(&r, error);
    if (status) return status;
    fov_attention_run run = run_of(&r);
    fov_attention_weight_set out = {weights, r.starts, col_max, col_energy};
    r.row->weights(&run, &r.problem, &out);
    return FOV_OK;
}

fov_status fov_attention_apply(const fov_attention_problem *p, const float *weights, void *workspace, size_t bytes,
                               fov_error *error) {
    fov_prepared r = {0};
    fov_status status = fov_prepared_make(p, &r, false, workspace, bytes, error);
    if (!status) status = need(!p->texts || (p->v && p->y && weights), "fov_attention_apply", "v, y and weights", error);
    if (!status) status = need_weights(&r, error);
    if (status) return status;
    fov_attention_run run = run_of(&r);
    fov_attention_weight_set in = {(float *)(uintptr_t)weights, r.starts, NULL, NULL}; /* apply only reads them */
    r.row->apply(&run, &r.problem, &in);
    return FOV_OK;
}

fov_status fov_attention_backward(const fov_attention_problem *p, const fov_attention_gradients *g, void *workspace, size_t bytes,
                                  fov_error *error) {
    fov_prepared r = {0};
    const char *call = "fov_attention_backward";
    fov_status status = fov_prepared_make(p, &r, true, workspace, bytes, error);
    if (!status) status = need(!p->texts || (p->q && p->k && p->v && p->y), call, "q, k, v and y", error);
    if (!status) status = need(g && (!p->texts || (g->dy && g->dq && g->dk && g->dv)), call, "gradients, dy, dq, dk and dv", error);
    if (status) return status;
    fov_attention_run run = run_of(&r);
    fov_attention_gradient gradient = {g->dy, g->dq, g->dk, g->dv};
    r.row->backward(&run, &r.problem, &gradient);
    return FOV_OK;
}
