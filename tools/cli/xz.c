/* xz.c: liblzma's stream decoder, fed through a callback. Concatenated streams are one file, as for xz itself. */
#include "xz.h"

#include <lzma.h>
#include <stdlib.h>

struct xz_stream {
    lzma_stream lzma;
    xz_pull pull;
    void *context;
    int ended;
    unsigned char input[1 << 16];
};

xz_stream *xz_open(xz_pull pull, void *context) {
    xz_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    stream->pull = pull;
    stream->context = context;
    if (lzma_stream_decoder(&stream->lzma, UINT64_MAX, LZMA_CONCATENATED) == LZMA_OK) return stream;
    free(stream);
    return NULL;
}

static const char *reason_of(lzma_ret code) {
    switch (code) {
    case LZMA_MEM_ERROR:
        return "out of memory while decompressing: free some";
    case LZMA_FORMAT_ERROR:
        return "not an .xz file: get the file again";
    case LZMA_OPTIONS_ERROR:
        return "the .xz file uses options this liblzma does not know: decompress it first";
    case LZMA_DATA_ERROR:
        return "the .xz data is damaged: get the file again";
    case LZMA_BUF_ERROR:
        return "the .xz file is cut short: get the file again";
    default:
        return "the .xz file cannot be decompressed: get the file again";
    }
}

long xz_read(xz_stream *stream, char *buffer, size_t size, const char **reason) {
    lzma_stream *lzma = &stream->lzma;
    lzma->next_out = (unsigned char *)buffer;
    lzma->avail_out = size;
    lzma_action action = LZMA_RUN;
    while (!stream->ended && lzma->avail_out == size) {
        if (!lzma->avail_in) {
            long got = stream->pull(stream->context, stream->input, sizeof stream->input);
            if (got < 0) {
                *reason = "the .xz file cannot be read: give a readable file";
                return -1;
            }
            lzma->next_in = stream->input;
            lzma->avail_in = (size_t)got;
            if (!got) action = LZMA_FINISH;
        }
        lzma_ret code = lzma_code(lzma, action);
        if (code == LZMA_STREAM_END) {
            stream->ended = 1;
        } else if (code != LZMA_OK) {
            *reason = reason_of(code);
            return -1;
        }
    }
    return (long)(size - lzma->avail_out);
}

void xz_close(xz_stream *stream) {
    if (!stream) return;
    lzma_end(&stream->lzma);
    free(stream);
}
