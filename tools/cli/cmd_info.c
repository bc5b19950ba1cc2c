/* cmd_info.c: facts about a model and this machine. */
#include "certificates.h"
#include "commands.h"
#include "engine.h"
#include "names.h"
#include "report.h"

#include <inttypes.h>
#include <string.h>

typedef struct settings {
    shared_settings shared;
    bool json;
} settings;

static const char *pooling_name(fov_pooling pooling) {
    return pooling == FOV_POOLING_CLS ? "cls" : pooling == FOV_POOLING_MEAN ? "mean" : "default";
}

static json_t *pack_model(const engine *e) {
    const fov_model_info *m = e->info;
    json_t *labels = json_array(), *out;
    const char *label;
    for (size_t i = 0; (label = fov_model_label(e->model, i)); i++) json_array_append_new(labels, json_text(label));
    out = json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "name", json_text(m->name), "architecture", m->architecture, "head",
                    head_name(m->head), "layers", (json_int_t)m->layers, "heads", (json_int_t)m->heads, "width",
                    (json_int_t)m->width, "ffn_width", (json_int_t)m->ffn_width, "vocabulary", (json_int_t)m->vocabulary);
    if (!out) return NULL;
    json_object_set_new(out, "labels", labels);
    json_object_set_new(out, "max_length", json_integer((json_int_t)m->max_length));
    json_object_set_new(out, "parameters", json_integer((json_int_t)m->parameters));
    json_object_set_new(out, "weight_bytes", json_integer((json_int_t)m->weight_bytes));
    json_object_set_new(out, "stored", json_text(m->stored));
    json_object_set_new(out, "dtype", json_text(m->dtype));
    json_object_set_new(out, "attention", json_text(m->attention ? m->attention : "dense"));
    json_object_set_new(out, "pooling", json_string(pooling_name(m->pooling)));
    json_object_set_new(out, "normalize", json_boolean(m->normalize));
    json_object_set_new(out, "seconds_load", json_number(e->seconds_load));
    return out;
}

static void print_model(const engine *e) {
    const fov_model_info *m = e->info;
    const char *label;
    printf("model         %s (%s, head: %s)\n", m->name, m->architecture, head_name(m->head));
    printf("size          %zu layers, %zu heads, width %zu, feed-forward %zu, vocabulary %zu\n", m->layers, m->heads, m->width,
           m->ffn_width, m->vocabulary);
    printf("parameters    %.2f M, stored as %s, held as %s, %.1f MB resident\n", (double)m->parameters * 1e-6, m->stored, m->dtype,
           (double)m->weight_bytes * 1e-6);
    printf("max length    %zu tokens\n", m->max_length);
    printf("attention     %s\n", m->attention ? m->attention : "dense");
    printf("embedding     pooling %s, %snormalised\n", pooling_name(m->pooling), m->normalize ? "" : "not ");
    if (fov_model_label(e->model, 0)) fputs("labels        ", stdout);
    for (size_t i = 0; (label = fov_model_label(e->model, i)); i++) printf("%s%s", i ? ", " : "", label);
    if (fov_model_label(e->model, 0)) putchar('\n');
    printf("loaded in     %.3f s\n", e->seconds_load);
}

/* Whether a session is needed, for what its methods' profile holds. */
static bool chooses(const shared_settings *s) {
    return strcmp(s->values, "exact") || strcmp(s->ffn, "exact") || s->profile || s->attention || s->tuned;
}

static int run(void *given) {
    const settings *s = given;
    engine e = {0};
    fov_machine machine;
    fov_error error;
    int code = fov_machine_query(&machine, &error) ? complain_api(EXIT_FAILED, &error) : engine_load(&e, &s->shared);
    if (!code && chooses(&s->shared)) code = engine_session(&e, &s->shared, NULL);
    if (!code && s->json) {
        output out = {.file = stdout, .slot = -1};
        code =
            output_json(&out,
                        json_pack("{s:s, s:o, s:o*, s:{s:o, s:s, s:i, s:o}}", "version", fov_version(), "model", pack_model(&e),
                                  "profile", certificates_pack(e.session, e.info->layers), "machine", "cpu", json_text(machine.cpu),
                                  "tier", machine.tier, "threads", (int)machine.threads, "features", json_text(machine.features)),
                        JSON_PAGES);
    } else if (!code) {
        print_model(&e);
        printf("\nfoveate       %s\nprocessor     %s\nkernels       %s (found: %s)\nthreads       %u\n", fov_version(), machine.cpu,
               machine.tier, machine.features, machine.threads);
        certificates_print(e.session, e.info->layers);
    }
    engine_close(&e);
    return code;
}

static const option options[] = {
    {"json", 0, OPTION_FLAG, offsetof(settings, json), NULL, NULL, "as JSON", 0, 0, HINT_NONE, 0},
    {0},
};

const command command_info = {
    .name = "info",
    .arguments = "",
    .summary = "Show the facts of a model and of this machine.",
    .detail = "With --values regress or lowrank, --ffn guided or narrow, or --attention narrow, also what their profile leaves "
              "out: errors measured on texts that were held out of the fits.",
    .shared = SHARED_MODEL | SHARED_METHODS,
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
    .example = "foveate info --values regress --ffn guided",
};
