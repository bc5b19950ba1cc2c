/* npy.c: the .npy writer of embed. Format: numpy.lib.format version 1.0, little-endian f32, C order; the header is padded to a
 * fixed size so that the row count can be rewritten in place. */
#include "npy.h"
#include "output.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t npy_hash(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ byte[i]) * 0x100000001b3u;
    return hash;
}

static int write_at(const npy_file *f, const void *bytes, size_t size, off_t at) {
    const char *from = bytes;
    while (size) {
        ssize_t put = pwrite(f->fd, from, size, at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return output_failed(f->partial, errno);
        from += put;
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

static off_t row_offset(const npy_file *f, size_t row) {
    return (off_t)(NPY_HEADER + row * f->columns * sizeof(float));
}

static int write_header(const npy_file *f, int final) {
    char header[NPY_HEADER + 1];
    int used = snprintf(header + 10, sizeof header - 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", f->rows,
                        f->columns);
    if (!final)
        used += snprintf(header + 10 + used, sizeof header - 10 - (size_t)used,
                         " # foveate %016" PRIx64 " %016" PRIx64 " %016" PRIx64, f->settings, f->model, f->input);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)((NPY_HEADER - 10) & 0xff);
    header[9] = (char)((NPY_HEADER - 10) >> 8);
    memset(header + 10 + used, ' ', (size_t)(NPY_HEADER - 10 - used));
    header[NPY_HEADER - 1] = '\n';
    return write_at(f, header, NPY_HEADER, 0);
}

/* Take up what a previous run left; bytes after the counted rows are cut off. */
static int take_up(npy_file *f) {
    char header[NPY_HEADER + 1] = "";
    struct stat status;
    size_t rows, columns;
    uint64_t settings, model, input;
    if (fstat(f->fd, &status)) return output_failed(f->partial, errno);
    if (!status.st_size) return write_header(f, 0);
    ssize_t got = pread(f->fd, header, NPY_HEADER, 0);
    if (got != NPY_HEADER ||
        sscanf(header + 10,
               "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), } # foveate %" SCNx64 " %" SCNx64 " %" SCNx64, &rows,
               &columns, &settings, &model, &input) != 5)
        return complain(EXIT_FAILED, "%s: not a partial result: remove it, or leave --resume out", f->partial);
    if (columns != f->columns || settings != f->settings)
        return complain(EXIT_FAILED, "%s: made with another model or other settings: use the same, or remove it", f->partial);
    if (model != f->model)
        return complain(EXIT_FAILED, "%s: the model's files have changed since its rows were made: bring them back, or remove it",
                        f->partial);
    if (rows > (SIZE_MAX - NPY_HEADER) / sizeof(float) / columns)
        return complain(EXIT_FAILED, "%s: not a partial result: remove it, or leave --resume out", f->partial);
    f->rows = rows;
    f->input = input;
    if (status.st_size < row_offset(f, rows))
        return complain(EXIT_FAILED, "%s: shorter than its %zu rows: remove it and start anew", f->partial, rows);
    return ftruncate(f->fd, row_offset(f, rows)) ? output_failed(f->partial, errno) : 0;
}

/* The partial file, for this run alone: two that write it would mix their rows. It is opened as it stands; a file that another run
 * renames away before the lock is ours is the other's result and not to be touched. */
static int open_locked(npy_file *f) {
    struct stat held, named;
    f->fd = open(f->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->fd < 0) return output_failed(f->partial, errno);
    bool taken = flock(f->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; /* a file system without locks is trusted */
    if (!taken)
        taken = fstat(f->fd, &held) || stat(f->partial, &named) || held.st_dev != named.st_dev || held.st_ino != named.st_ino;
    if (!taken) return 0;
    close(f->fd);
    f->fd = -1;
    return complain(EXIT_FAILED, "%s: another run is writing it: wait for it, or give another --output", f->partial);
}

/* What an earlier run left is kept. */
static int refuse_left(npy_file *f) {
    struct stat status;
    if (fstat(f->fd, &status)) return output_failed(f->partial, errno);
    if (!status.st_size) return 0;
    f->keep_partial = 1;
    return complain(EXIT_FAILED, "%s: rows of an unfinished run are here: go on from them with --resume, or remove it", f->partial);
}

int npy_open(npy_file *f, const char *path, size_t columns, uint64_t settings, uint64_t model, int resume) {
    *f = (npy_file){.fd = -1,
                    .path = path,
                    .columns = columns,
                    .settings = settings,
                    .model = model,
                    .input = NPY_HASH,
                    .slot = -1,
                    .keep_partial = resume};
    struct stat target;
    if (!stat(path, &target) && !S_ISREG(target.st_mode) && !S_ISDIR(target.st_mode))
        return complain(EXIT_FAILED, "%s: not a plain file: an .npy file is renamed into place: give another name", path);
    int code = output_probe(path);
    if (code) return code;
    size_t size = strlen(path) + sizeof ".partial";
    f->partial = malloc(size);
    if (!f->partial) return complain_memory();
    snprintf(f->partial, size, "%s.partial", path);
    code = open_locked(f);
    if (code) return code;
    if (resume) return take_up(f);
    code = refuse_left(f);
    if (code) return code;
    f->slot = output_guard(f->partial);
    return write_header(f, 0);
}

int npy_append(npy_file *f, const float *rows, size_t count, uint64_t input) {
    int code = write_at(f, rows, count * f->columns * sizeof *rows, row_offset(f, f->rows));
    if (!code && f->keep_partial && fsync(f->fd)) code = output_failed(f->partial, errno);
    if (code) return code;
    f->rows += count;
    f->input = input;
    return write_header(f, 0);
}

int npy_close(npy_file *f, int done) {
    int code = 0;
    /* Renamed before it loses its comment: whenever the run dies, the rows are in a partial file to take up or in the result. */
    if (f->fd >= 0 && done) {
        if (fsync(f->fd)) code = output_failed(f->partial, errno);
        if (!code && rename(f->partial, f->path)) code = output_failed(f->path, errno);
        bool renamed = !code;
        if (!code) code = write_header(f, 1);
        if (!code && fsync(f->fd)) code = output_failed(f->path, errno);
        if (renamed) output_sync_folder(f->path);
    }
    if (f->fd >= 0 && (!done || code) && !f->keep_partial) unlink(f->partial);
    if (f->fd >= 0) close(f->fd); /* last: it gives the lock back */
    output_unguard(f->slot);
    free(f->partial);
    *f = (npy_file){.fd = -1, .slot = -1};
    return done ? code : 0;
}
