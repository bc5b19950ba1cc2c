/* file.h: regular files read into memory, and joining paths. Files are not mapped: the first page past the end of a mapped file
 * that another process shortens ends this one (SIGBUS), and one that is rewritten changes a loaded model. The exception is a packed
 * model, which is made to be shared, written once under another name, renamed, and never changed in place. */
#ifndef FOV_CORE_FILE_H
#define FOV_CORE_FILE_H

#include <stdbool.h>

#include "foveate/foveate.h"

enum { FOV_MAX_PATH = 4096 };

/* An open file; all zero: none. */
typedef struct fov_file {
    bool open;
    int descriptor;
    size_t size;           /* when it was opened, as the next */
    long long modified[2]; /* seconds, nanoseconds */
} fov_file;

/* Open a regular file for reading. FOV_ERR_IO names the path and the reason. */
fov_status fov_file_open(fov_file *file, const char *path, fov_error *error);
void fov_file_close(fov_file *file);
/* `size` bytes from byte `first` on into out. Threads may share a file. FOV_ERR_IO when they cannot be read or are not there. */
fov_status fov_file_read(const fov_file *file, size_t first, size_t size, void *out, const char *path, fov_error *error);
/* FOV_ERR_IO when the file was written to since it was opened: what was read may be half the old and half the new. */
fov_status fov_file_unchanged(const fov_file *file, const char *path, fov_error *error);

/* All of a file, read-only and shared with other processes, for fov_file_unmap; the file may be closed. NULL for an empty file.
 * FOV_ERR_IO. */
fov_status fov_file_map(const fov_file *file, const char *path, const void **bytes, fov_error *error);
void fov_file_unmap(const void *bytes, size_t size); /* NULL is allowed */

/* A whole file of at most `most` bytes. The caller releases *bytes with the allocator (fov_release); NULL for an empty file.
 * FOV_ERR_IO, FOV_ERR_FORMAT (too long), FOV_ERR_MEMORY. */
fov_status fov_file_load(const char *path, size_t most, const fov_allocator *allocator, char **bytes, size_t *size,
                         fov_error *error);

/* "folder/name" into path; name "" gives the folder. FOV_ERR_IO when it is too long. */
fov_status fov_path_join(char path[FOV_MAX_PATH], const char *folder, const char *name, fov_error *error);

#endif
