/* cpu.c: see cpu.h. Compiled without ISA flags, so it runs on any x86-64; elsewhere it reports nothing. */
#define _GNU_SOURCE
#include "core/cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_TILEDATA = 18 };

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static bool bit(unsigned word, unsigned index) {
    return (word >> index) & 1;
}

/* Tile data must be asked of the kernel, once for all threads of the process; it refuses where a signal stack is too small. */
static bool kernel_gives_tiles(void) {
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILEDATA);
}

static void read_name(char name[64]) {
    unsigned words[12];
    unsigned highest = (unsigned)__get_cpuid_max(0x80000000u, NULL);
    if (highest < 0x80000004u) return;
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    char raw[sizeof words + 1];
    memcpy(raw, words, sizeof words);
    raw[sizeof words] = '\0';
    snprintf(name, 64, "%s", raw + strspn(raw, " "));
    for (size_t i = strlen(name); i && name[i - 1] == ' '; i--) name[i - 1] = '\0';
}

static void detect(fov_cpu *cpu) {
    read_name(cpu->name);
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return; /* no OSXSAVE: no vector state beyond SSE */
    uint64_t xcr0 = read_xcr0();
    const uint64_t ymm = 0x6, zmm = 0xe6, tile = 0x60000;
    const bool has_ymm = (xcr0 & ymm) == ymm, has_zmm = (xcr0 & zmm) == zmm;
    cpu->fma = has_ymm && bit(c, 12);
    cpu->f16c = has_ymm && bit(c, 29);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    const unsigned subleaves = a;
    cpu->avx2 = has_ymm && bit(b, 5);
    cpu->avx512 = has_zmm && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
    cpu->avx512_vnni = cpu->avx512 && bit(c, 11);
    const bool tiles = (xcr0 & tile) == tile && bit(d, 24) && kernel_gives_tiles();
    cpu->amx_bf16 = tiles && bit(d, 22);
    cpu->amx_int8 = tiles && bit(d, 25);
    if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu->avx512_bf16 = cpu->avx512 && bit(a, 5);
}
#else
static void detect(fov_cpu *cpu) {
    (void)cpu;
}
#endif

static fov_cpu found = {.name = "unknown"};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void detect_once(void) {
    detect(&found);
}

const fov_cpu *fov_cpu_get(void) {
    pthread_once(&once, detect_once);
    return &found;
}

void fov_cpu_features(const fov_cpu *cpu, char *text, size_t size) {
    const struct {
        bool has;
        const char *name;
    } list[] = {{cpu->avx2, "avx2"},
                {cpu->fma, "fma"},
                {cpu->f16c, "f16c"},
                {cpu->avx512, "avx512"},
                {cpu->avx512_bf16, "avx512_bf16"},
                {cpu->avx512_vnni, "avx512_vnni"},
                {cpu->amx_bf16, "amx_bf16"},
                {cpu->amx_int8, "amx_int8"}};
    if (!size) return;
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const size_t need = strlen(list[i].name) + (used ? 1 : 0);
        if (!list[i].has || used + need >= size) continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", list[i].name);
    }
}
