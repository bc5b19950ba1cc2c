/* fuzz.h: what every fuzz target defines. */
#ifndef FOV_FUZZ_H
#define FOV_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run. */
#define FUZZ_CHECK(condition)                                                                                                      \
    do {                                                                                                                           \
        if (!(condition)) __builtin_trap();                                                                                        \
    } while (0)

#endif
