/* ladder.c: which tier runs here. The best the processor has; the environment variable FOV_CPU can only lower it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/status.h"
#include "kernels/tiers.h"

static bool always(const fov_cpu *cpu) {
    (void)cpu;
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(const fov_cpu *cpu) {
    return cpu->avx2 && cpu->fma && cpu->f16c;
}

static bool has_avx512(const fov_cpu *cpu) {
    return has_avx2(cpu) && cpu->avx512;
}

static bool has_avx512vnni(const fov_cpu *cpu) {
    return has_avx512(cpu) && cpu->avx512_vnni;
}

static bool has_avx512bf16(const fov_cpu *cpu) {
    return has_avx512vnni(cpu) && cpu->avx512_bf16;
}

static bool has_amx(const fov_cpu *cpu) {
    return has_avx512bf16(cpu) && cpu->amx_bf16 && cpu->amx_int8;
}
#endif

static const struct {
    const fov_kernels *kernels;
    bool (*here)(const fov_cpu *cpu);
} ladder[] = {
    {&fov_tier_ref, always},
#if defined(__x86_64__)
    {&fov_tier_avx2, has_avx2},
    {&fov_tier_avx512, has_avx512},
    {&fov_tier_avx512vnni, has_avx512vnni},
    {&fov_tier_avx512bf16, has_avx512bf16},
    {&fov_tier_amx, has_amx},
#endif
};

enum { TIERS = sizeof ladder / sizeof *ladder };

static const fov_kernels *chosen;
static char wanted[32]; /* FOV_CPU */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void) {
    const char *name = getenv("FOV_CPU");
    if (name && *name) {
        snprintf(wanted, sizeof wanted, "%s", name);
        chosen = fov_kernels_named(name);
        return;
    }
    for (size_t i = 0; i < TIERS; i++)
        if (ladder[i].here(fov_cpu_get())) chosen = ladder[i].kernels;
}

const fov_kernels *fov_kernels_named(const char *name) {
    for (size_t i = 0; i < TIERS; i++)
        if (!strcmp(ladder[i].kernels->name, name)) return ladder[i].here(fov_cpu_get()) ? ladder[i].kernels : NULL;
    return NULL;
}

const fov_kernels *fov_kernels_get(fov_error *error) {
    pthread_once(&once, choose);
    if (chosen) return chosen;
    char there[96] = "";
    bool known = false;
    for (size_t i = 0, used = 0; i < TIERS; i++) {
        const char *name = ladder[i].kernels->name;
        known = known || !strcmp(name, wanted);
        if (ladder[i].here(fov_cpu_get()))
            used += (size_t)snprintf(there + used, sizeof there - used, "%s%s", used ? ", " : "", name);
    }
    fov_fail(error, FOV_ERR_UNSUPPORTED, "FOV_CPU", "%s \"%s\"; this machine has: %s",
             known ? "this processor cannot run the instruction tier" : "unknown instruction tier", wanted, there);
    return NULL;
}

const char *const *fov_kernels_names(void) {
    static const char *const names[] = {
        "ref",
#if defined(__x86_64__)
        "avx2",
        "avx512",
        "avx512vnni",
        "avx512bf16",
        "amx",
#endif
        NULL
    };
    return names;
}
