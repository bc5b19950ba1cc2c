/* xz.h: decompress .xz while reading. */
#ifndef FOVEATE_CLI_XZ_H
#define FOVEATE_CLI_XZ_H

#include <stddef.h>

typedef struct xz_stream xz_stream;

/* Bytes of compressed input: up to size into buffer; 0 at the end, -1 on error. */
typedef long (*xz_pull)(void *context, unsigned char *buffer, size_t size);

xz_stream *xz_open(xz_pull pull, void *context); /* NULL: out of memory */
/* Up to `size` bytes; 0 at the end; -1 with *reason set. */
long xz_read(xz_stream *stream, char *buffer, size_t size, const char **reason);
void xz_close(xz_stream *stream);

#endif
