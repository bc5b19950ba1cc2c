/* fuzz.h: what every fuzz target offers. */
#ifndef FOV_TEST_FUZZ_H
#define FOV_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* libFuzzer's entry point; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise of the engine: end here, where the fuzzer keeps the input. */
#define PROMISE(condition) ((condition) ? (void)0 : abort())

#endif
