/* fuzz_profile.c: any bytes as the calibration profile of a small model: refused with a message, or good enough that every
 * calibrated estimator can be bound to every layer and run. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "kernels/gemm.h"
#include "model/profile.h"

enum { TOKENS = 5 };

static const fov_model *the_model(void) {
    static fov_model *model;
    fov_error error;
    if (!model) FUZZ_CHECK(!fov_model_load(FOV_SOURCE_DIR "/tests/golden/bert-plain", NULL, &model, &error));
    return model;
}

static void run(const fov_values_row *row, const fov_setting *setting, const fov_value_weights *w, const void *bound) {
    const size_t offsets[] = {0, TOKENS}, m = w->heads * w->head_size;
    const uint64_t hash = 1;
    const fov_values_size size = {TOKENS, 1, TOKENS, w->width, w->heads, w->head_size, 1};
    float *x = calloc(TOKENS * w->width, sizeof *x), *y = calloc(TOKENS * m, sizeof *y),
          *importance = calloc(TOKENS * w->heads, sizeof *importance);
    void *scratch = fov_alloc(NULL, row->workspace(&size)), *gemm = fov_alloc(NULL, fov_gemm_scratch() * sizeof(float));
    if (x && y && importance && scratch && gemm) {
        double done = 0;
        for (size_t i = 0; i < TOKENS * w->heads; i++) importance[i] = (float)(i % TOKENS) * .2f;
        for (size_t i = 0; i < TOKENS * w->width; i++) x[i] = (float)(i % 7) - 3;
        const fov_values v = {.texts = 1,
                              .offsets = offsets,
                              .hashes = &hash,
                              .x = x,
                              .ldx = w->width,
                              .v = y,
                              .ldv = m,
                              .col_max = importance,
                              .col_energy = importance};
        const fov_values_run r = {fov_kernels_get(NULL), setting, w, bound, 1, scratch, gemm, &done};
        row->forward(&r, &v);
        FUZZ_CHECK(done >= 0);
    }
    fov_release(NULL, gemm);
    fov_release(NULL, scratch);
    free(importance);
    free(y);
    free(x);
}

static void use(const struct fov_model *model, const fov_profile *profile, const char *method) {
    const fov_config *c = &model->config;
    fov_setting setting;
    fov_error error;
    size_t count;
    const fov_method_info *const *infos = fov_values_infos(&count);
    FUZZ_CHECK(!fov_setting_parse(&setting, infos, count, method, &error));
    const fov_values_row *row = fov_values_row_of(&setting);
    for (size_t l = 0; l < c->layers; l++) {
        const fov_linear *v = &model->layers[l].v;
        const fov_value_weights w = {.width = c->width,
                                     .heads = c->heads,
                                     .head_size = c->width / c->heads,
                                     .packed = v->w,
                                     .bias = v->bias,
                                     .type = v->type,
                                     .profile = &profile->layers[l]};
        void *bound = NULL;
        error = (fov_error){0};
        if (row->bind(&setting, &w, fov_allocator_or_default(NULL), &bound, &error))
            FUZZ_CHECK(error.status && *error.message);
        else
            run(row, &setting, &w, bound);
        fov_release(NULL, bound);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const methods[] = {"regress", "poisson", "lowrank", "mca:p=calibrated"};
    const fov_model *model = the_model();
    fov_profile *profile = NULL;
    fov_error error = {0};
    const fov_status status = fov_profile_open_memory(model, data, size, "input", &profile, &error);
    if (status) {
        FUZZ_CHECK(!profile && error.status == status && *error.message && !strcmp(error.where, "input"));
        return 0;
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) use(model, profile, methods[i]);
    fov_profile_close(profile);
    return 0;
}
