/* cpu.h: what this processor and its operating system can run. */
#ifndef FOV_CORE_CPU_H
#define FOV_CORE_CPU_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fov_cpu {
    char name[64];
    bool avx2, fma, f16c; /* with ymm state enabled by the OS */
    bool avx512;          /* F, BW, DQ, VL, with zmm state */
    bool avx512_bf16, avx512_vnni, amx_bf16, amx_int8;
} fov_cpu;

/* CPUID and XCR0, read once; thread-safe. */
const fov_cpu *fov_cpu_get(void);
/* Blank-separated names of the features found, into text[size]. */
void fov_cpu_features(const fov_cpu *cpu, char *text, size_t size);

#endif
