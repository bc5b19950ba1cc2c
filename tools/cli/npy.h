/* npy.h: a growing .npy file of f32 rows that can be taken up again after an interruption. */
#ifndef FOVEATE_CLI_NPY_H
#define FOVEATE_CLI_NPY_H

#include <stddef.h>
#include <stdint.h>

/* The file is written as PATH.partial and is at every moment a valid array of the rows that are safe on disk; a comment in its
 * header remembers which settings, which model and which input lines made them. */
typedef struct npy_file {
    int fd;
    const char *path;
    char *partial;
    size_t columns, rows;
    uint64_t settings, model, input; /* hashes: of the settings, of the model, and of the texts of the rows so far */
    int slot;
    int keep_partial;
} npy_file;

enum { NPY_HEADER = 256 };

/* FNV-1a, continued from `hash`; start with NPY_HASH. */
#define NPY_HASH 0xcbf29ce484222325u
uint64_t npy_hash(uint64_t hash, const void *bytes, size_t size);

/* resume 0: start anew; a PATH.partial that is there is an error, since it may be hours of work. 1: take it up (f->rows and
 * f->input then say where it stands; an error when it was made with other settings or another model). 0 or an exit code (message
 * printed). */
int npy_open(npy_file *f, const char *path, size_t columns, uint64_t settings, uint64_t model, int resume);
/* Append rows; `input` is the hash of all texts so far. Synced before the header counts them. */
int npy_append(npy_file *f, const float *rows, size_t count, uint64_t input);
/* done: rename to PATH and write the final header. Otherwise the partial file stays when resume was asked for, else goes. */
int npy_close(npy_file *f, int done);

#endif
