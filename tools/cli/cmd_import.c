/* cmd_import.c: a checkpoint as one packed file that processes map and share; and whether such a file is still whole. */
#include "commands.h"
#include "engine.h"
#include "progress.h"
#include "report.h"

#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

typedef struct settings {
    shared_settings shared;
    const char *output;
    bool pack, verify;
} settings;

typedef struct packing {
    output out;
    double bytes;
} packing;

static int write_bytes(void *context, const void *data, size_t size) {
    packing *p = context;
    p->bytes += (double)size;
    return fwrite(data, 1, size, p->out.file) != size;
}

static int check(const settings *s) {
    if (s->pack == s->verify)
        return complain(EXIT_USAGE, s->pack ? "--pack, --verify: one at a time: leave one out"
                                            : "--pack is missing: say what to do: --pack, or --verify for a packed file");
    if (!s->shared.model) return complain(EXIT_USAGE, "--model is missing: the embedded model is in the program as it is");
    if (s->verify && s->output) return complain(EXIT_USAGE, "--output: --verify writes nothing: leave it out");
    if (s->pack && !s->output) return complain(EXIT_USAGE, "--output is missing: name the packed file, or a folder for it");
    return 0;
}

/* The file named, or NAME-DTYPE.safetensors in the folder named. */
static int find_path(const settings *s, char path[PATH_SIZE]) {
    struct stat facts;
    const bool folder = !stat(s->output, &facts) && S_ISDIR(facts.st_mode);
    const char *name = s->shared.model, *dtype = s->shared.dtype ? s->shared.dtype : "f32";
    size_t size = strlen(name);
    while (size > 1 && name[size - 1] == '/') size--;
    for (size_t i = 0; i < size; i++)
        if (s->shared.model[i] == '/') name = s->shared.model + i + 1;
    size -= (size_t)(name - s->shared.model);
    const int length = folder ? snprintf(path, PATH_SIZE, "%s/%.*s-%s.safetensors", s->output, (int)size, name, dtype)
                              : snprintf(path, PATH_SIZE, "%s", s->output);
    if (length < 0 || length >= PATH_SIZE) return complain(EXIT_USAGE, "--output: the path is longer than %d bytes", PATH_SIZE - 1);
    return output_probe(path);
}

/* Read-only, so that no copy goes into it while processes have it mapped: what is renamed over it leaves them the old one. */
static int protect(output *out) {
    struct stat facts;
    if (fstat(fileno(out->file), &facts) || !S_ISREG(facts.st_mode)) return 0;
    return fchmod(fileno(out->file), facts.st_mode & 0555) ? output_failed(out->path, 0) : 0;
}

static int pack(const settings *s) {
    packing p = {.out.slot = -1};
    char path[PATH_SIZE];
    fov_error error;
    const fov_model_options options = {.threads = (unsigned)s->shared.threads, .dtype = s->shared.dtype};
    const double start = seconds_now();
    int code = find_path(s, path);
    if (!code) code = output_open(&p.out, path);
    if (!code && fov_model_pack(s->shared.model, &options, write_bytes, &p, &error)) {
        if (error.status == FOV_ERR_IO) code = output_check(&p.out); /* it knows why */
        if (!code) code = complain_api(error.status == FOV_ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED, &error);
    }
    if (!code) code = protect(&p.out);
    const int closed = output_close(&p.out, !code);
    if (!code && !closed && !s->shared.quiet) remark("%s: %.1f MB, packed in %.2f s", path, p.bytes * 1e-6, seconds_now() - start);
    return code ? code : closed;
}

static int verify(const settings *s) {
    engine e = {0};
    fov_error error;
    int code = engine_load(&e, &s->shared);
    if (!code && fov_model_verify(e.model, &error)) code = complain_api(EXIT_FAILED, &error);
    if (!code && !s->shared.quiet) remark("%s: every byte is as it was written", s->shared.model);
    engine_close(&e);
    return code;
}

static int run(void *given) {
    const settings *s = given;
    const int code = check(s);
    return code ? code : s->pack ? pack(s) : verify(s);
}

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"pack", 0, OPTION_FLAG, FIELD(pack), NULL, NULL, "write the model as one file that processes map and share", 0, 0, HINT_NONE,
     0},
    {"verify", 0, OPTION_FLAG, FIELD(verify), NULL, NULL, "read all of the packed file --model and compare with its checksum", 0, 0,
     HINT_NONE, 0},
    {"output", 'o', OPTION_TEXT, FIELD(output), "FILE", NULL, "the packed file, or a folder for MODEL-TYPE.safetensors", 0, 0,
     HINT_FILE, 0},
    {0},
};

const command command_import = {
    .name = "import",
    .arguments = "",
    .summary = "Pack a model into one file that starts at once and that processes share.",
    .detail =
        "Every command takes the packed file as --model, with the results, bit for bit, that the folder gives in that --dtype, on "
        "any "
        "processor. It holds all that the model needs, but neither profile nor tuned setting: these are looked for in the folder "
        "that it lies in. The file is mapped while it is in use, so it must not be changed then: a process whose file is shortened "
        "is killed. It is therefore read-only; remove it before packing to the same name, or rename another over it: processes "
        "that run keep the old one.",
    .shared = SHARED_MODEL | SHARED_RUN | SHARED_QUIET,
    .options = options,
    .settings_size = sizeof(settings),
    .max_arguments = 0,
    .run = run,
    .example = "foveate import --model bert-base-sst2 --pack --dtype int8 --output bert-base-sst2-int8.safetensors",
};
