/* file.c: see file.h. */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/status.h"

static fov_status fail_errno(fov_error *error, const char *path, const char *what) {
    const char *mend = errno == ENOENT || errno == ENOTDIR ? "check the name"
                       : errno == EACCES                   ? "check its permissions"
                                                           : "give another file";
    char reason[100] = "";
    if (strerror_r(errno, reason, sizeof reason)) snprintf(reason, sizeof reason, "error %d", errno);
    return fov_fail(error, FOV_ERR_IO, path, "cannot %s this file: %s; %s", what, reason, mend);
}

static fov_status examine(fov_file *file, const char *path, fov_error *error) {
    struct stat facts;
    if (fstat(file->descriptor, &facts)) return fail_errno(error, path, "examine");
    if (S_ISDIR(facts.st_mode)) return fov_fail(error, FOV_ERR_IO, path, "this is a folder; a file is needed");
    if (!S_ISREG(facts.st_mode)) return fov_fail(error, FOV_ERR_IO, path, "this is not a regular file; copy it to one");
    if ((uintmax_t)facts.st_size > SIZE_MAX)
        return fov_fail(error, FOV_ERR_IO, path, "this file is too large; is it the right one?");
    file->size = (size_t)facts.st_size;
    file->modified[0] = facts.st_mtim.tv_sec;
    file->modified[1] = facts.st_mtim.tv_nsec;
    return FOV_OK;
}

fov_status fov_file_open(fov_file *file, const char *path, fov_error *error) {
    *file = (fov_file){.descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; /* a FIFO must be refused, not waited for */
    if (file->descriptor < 0) return fail_errno(error, path, "open");
    file->open = true;
    fov_status status = examine(file, path, error);
    if (status) fov_file_close(file);
    return status;
}

void fov_file_close(fov_file *file) {
    if (file->open) close(file->descriptor);
    *file = (fov_file){0};
}

static fov_status changed(const char *path, fov_error *error) {
    return fov_fail(error, FOV_ERR_IO, path, "this file changed while it was being read; load it again when nothing writes it");
}

fov_status fov_file_read(const fov_file *file, size_t first, size_t size, void *out, const char *path, fov_error *error) {
    for (char *to = out; size;) {
        ssize_t got = pread(file->descriptor, to, size < SSIZE_MAX ? size : SSIZE_MAX, (off_t)first);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(error, path, "read");
        if (!got) return changed(path, error);
        to += got;
        first += (size_t)got;
        size -= (size_t)got;
    }
    return FOV_OK;
}

fov_status fov_file_unchanged(const fov_file *file, const char *path, fov_error *error) {
    fov_file now = {.open = true, .descriptor = file->descriptor};
    fov_status status = examine(&now, path, error);
    if (status) return status;
    const bool same = now.size == file->size && now.modified[0] == file->modified[0] && now.modified[1] == file->modified[1];
    return same ? FOV_OK : changed(path, error);
}

fov_status fov_file_map(const fov_file *file, const char *path, const void **bytes, fov_error *error) {
    *bytes = NULL;
    if (!file->size) return FOV_OK;
    void *place = mmap(NULL, file->size, PROT_READ, MAP_SHARED, file->descriptor, 0);
    if (place == MAP_FAILED) return fail_errno(error, path, "map");
    *bytes = place;
    return FOV_OK;
}

void fov_file_unmap(const void *bytes, size_t size) {
    if (bytes) munmap((void *)(uintptr_t)bytes, size);
}

fov_status fov_file_load(const char *path, size_t most, const fov_allocator *allocator, char **bytes, size_t *size,
                         fov_error *error) {
    fov_file file;
    *bytes = NULL;
    *size = 0;
    fov_status status = fov_file_open(&file, path, error);
    if (status) return status;
    if (file.size > most) {
        status = fov_fail(error, FOV_ERR_FORMAT, path, "%zu bytes are more than %zu; is this the right file?", file.size, most);
    } else if (file.size) {
        *bytes = fov_alloc(allocator, file.size);
        status = *bytes ? fov_file_read(&file, 0, file.size, *bytes, path, error)
                        : fov_fail(error, FOV_ERR_MEMORY, path, "out of memory for a file of %zu bytes; free some", file.size);
    }
    if (!status) status = fov_file_unchanged(&file, path, error);
    if (status) {
        fov_release(allocator, *bytes);
        *bytes = NULL;
    } else {
        *size = file.size;
    }
    fov_file_close(&file);
    return status;
}

fov_status fov_path_join(char path[FOV_MAX_PATH], const char *folder, const char *name, fov_error *error) {
    size_t length = strlen(folder);
    const char *slash = !*name || (length && folder[length - 1] == '/') ? "" : "/";
    int written = snprintf(path, FOV_MAX_PATH, "%s%s%s", folder, slash, name);
    if (written < 0 || written >= FOV_MAX_PATH)
        return fov_fail(error, FOV_ERR_IO, folder, "this path is too long; move the folder nearer to the root");
    return FOV_OK;
}
