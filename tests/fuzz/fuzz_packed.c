/* fuzz_packed.c: a packed model with any bytes of it changed: refused with a message, or a model that loads and runs. The input is
 * a choice of checkpoint and type, then changes: three bytes of a place, one of a length, and the bytes to be there; what is past
 * the end cuts the file. An input that begins with 255 is the file itself. */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "model/packed.h"

enum { LARGEST = 1 << 18, TOKENS = 64 };

typedef struct block {
    unsigned char bytes[LARGEST];
    size_t size;
} block;

static int append(void *context, const void *data, size_t size) {
    block *b = context;
    if (size > LARGEST - b->size) return 1;
    memcpy(b->bytes + b->size, data, size);
    b->size += size;
    return 0;
}

static const block *base(size_t choice) {
    static const struct {
        const char *folder, *dtype;
    } known[] = {{"bert-multi-f16", "f32"}, {"bert-mask", "int8"},        {"sentence", "bf16"},    {"yoso-single", "int8"},
                 {"bert-tags", "bf16"},     {"longformer-single", "f32"}, {"roberta-plain", "f32"}};
    enum { KNOWN = sizeof known / sizeof *known };
    static block blocks[KNOWN];
    char path[600];
    fov_error error;
    block *b = &blocks[choice % KNOWN];
    if (b->size) return b;
    snprintf(path, sizeof path, FOV_SOURCE_DIR "/tests/golden/%s", known[choice % KNOWN].folder);
    const fov_model_options options = {.dtype = known[choice % KNOWN].dtype, .threads = 1};
    FUZZ_CHECK(!fov_model_pack(path, &options, append, b, &error));
    return b;
}

static void use(const fov_model *model) {
    static const char text[] = "t1 t2 [MASK] the half";
    static float out[1 << 20];
    const fov_model_info *info = fov_model_get_info(model);
    const fov_text one = {text, NULL, sizeof text - 1, 0};
    fov_session *session = NULL;
    fov_error error = {0};
    size_t tokens = TOKENS;
    if (info->width > 1 << 10 || info->labels > 1 << 10) return;
    if (fov_session_create(model, &(fov_session_options){.threads = 1, .max_length = 8}, &session, &error)) return;
    if (!fov_embed(session, &one, 1, out, NULL, &error) && info->labels) {
        if (info->head == FOV_HEAD_TOKENS)
            fov_tag(session, &one, out, &tokens, &error);
        else
            fov_classify(session, &one, 1, out, NULL, &error);
    }
    fov_session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const bool raw = *data == 255;
    const block *from = raw ? NULL : base(*data);
    size_t length = raw ? size - 1 : from->size;
    unsigned char *bytes = fov_alloc(NULL, length);
    if (!bytes) return 0;
    if (raw && length)
        memcpy(bytes, data + 1, length);
    else if (length)
        memcpy(bytes, from->bytes, length);
    for (size_t at = 1; !raw && size - at >= 4;) {
        const size_t place = (size_t)data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16;
        size_t count = data[at + 3];
        at += 4;
        if (count > size - at) count = size - at;
        if (place >= length || count > length - place)
            length = place < length ? place : length;
        else
            memcpy(bytes + place, data + at, count);
        at += count;
    }
    fov_model *model = NULL;
    fov_error error = {0};
    const fov_model_options options = {.threads = 1};
    const fov_status status = fov_packed_open_memory(bytes, length, "input", &options, &model, &error);
    if (status) {
        FUZZ_CHECK(!model && error.status == status && *error.message);
    } else {
        use(model);
        fov_model_free(model);
    }
    fov_release(NULL, bytes);
    return 0;
}
