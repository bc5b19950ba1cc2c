/* fuzz_safetensors.c: any bytes as a checkpoint: refused with a message, or every tensor lies inside the bytes. */
#include "fuzz.h"
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fov_tensors *tensors = NULL;
    fov_error error = {0};
    fov_status status = fov_tensors_open_memory(data, size, "fuzz", NULL, &tensors, &error);
    if (status != FOV_OK) {
        PROMISE(error.status == status && error.message[0]);
        return 0;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < fov_tensors_count(tensors); i++) {
        const fov_tensor *tensor = fov_tensors_at(tensors, i);
        PROMISE(tensor && fov_tensors_find(tensors, tensor->name) == tensor);
        PROMISE(tensor->bytes == tensor->count * fov_dtype_size(tensor->dtype) && tensor->bytes <= size);
        const uint8_t *bytes = tensor->data;
        for (size_t j = 0; j < tensor->bytes; j++) sum += bytes[j];
    }
    volatile unsigned sink = sum;
    (void)sink;
    fov_tensors_close(tensors);
    return 0;
}
