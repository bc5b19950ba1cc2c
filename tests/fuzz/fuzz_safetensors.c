/* fuzz_safetensors.c: any bytes as a weight file: refused with a message, or every tensor inside the block and readable. */
#include "model/safetensors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fov_error error = {0};
    fov_tensors *tensors;
    fov_status status = fov_tensors_open_memory(data, size, "input", NULL, &tensors, &error);
    if (status) {
        if (tensors || error.status != status || !*error.message || strcmp(error.where, "input")) __builtin_trap();
        return 0;
    }
    size_t total = 0;
    volatile uint8_t seen = 0;
    for (size_t i = 0; i < fov_tensors_count(tensors); i++) {
        const fov_tensor *t = fov_tensors_at(tensors, i);
        const uint8_t *bytes = t->data;
        size_t count = 1;
        for (unsigned d = 0; d < t->dims; d++) count *= t->shape[d];
        if (count != t->count || t->bytes != count * fov_dtype_size(t->dtype)) __builtin_trap();
        if (bytes < data || t->bytes > (size_t)(data + size - bytes)) __builtin_trap();
        if (fov_tensors_find(tensors, t->name) != t) __builtin_trap();
        if (t->bytes) seen = (uint8_t)(seen + bytes[0] + bytes[t->bytes - 1]);
        total += t->bytes;
    }
    if (total > size) __builtin_trap();
    fov_tensors_close(tensors);
    return 0;
}
