/* mapfile.c: files mapped read-only, so that a checkpoint costs address space, not memory, until its weights are packed. */
#define _DEFAULT_SOURCE /* madvise: posix_madvise(DONTNEED) does nothing in glibc */
#include "core/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/status.h"

static fov_status fail_errno(fov_error *error, const char *path, const char *what) {
    char reason[100] = "";
    if (strerror_r(errno, reason, sizeof reason)) snprintf(reason, sizeof reason, "error %d", errno);
    return fov_fail(error, FOV_ERR_IO, path, "cannot %s this file: %s", what, reason);
}

static fov_status map(fov_mapfile *file, int descriptor, const char *path, fov_error *error) {
    struct stat facts;
    if (fstat(descriptor, &facts)) return fail_errno(error, path, "examine");
    if (S_ISDIR(facts.st_mode)) return fov_fail(error, FOV_ERR_IO, path, "this is a folder, a file is needed");
    if (!S_ISREG(facts.st_mode)) return fov_fail(error, FOV_ERR_IO, path, "this is not a regular file");
    if ((uintmax_t)facts.st_size > SIZE_MAX) return fov_fail(error, FOV_ERR_IO, path, "this file is too large to map");
    if (!facts.st_size) return FOV_OK;
    void *data = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) return fail_errno(error, path, "map");
    *file = (fov_mapfile){data, (size_t)facts.st_size};
    return FOV_OK;
}

fov_status fov_mapfile_open(fov_mapfile *file, const char *path, fov_error *error) {
    *file = (fov_mapfile){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must be refused, not waited for */
    if (descriptor < 0) return fail_errno(error, path, "open");
    fov_status status = map(file, descriptor, path, error);
    close(descriptor);
    return status;
}

void fov_mapfile_close(fov_mapfile *file) {
    if (file->data) munmap((void *)(uintptr_t)file->data, file->size);
    *file = (fov_mapfile){0};
}

void fov_mapfile_drop(const void *data, size_t size) {
    long asked = sysconf(_SC_PAGESIZE);
    if (!data || asked <= 0) return;
    uintptr_t page = (uintptr_t)asked, begin = (uintptr_t)data, end = (begin + size) / page * page;
    begin = (begin + page - 1) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED); /* advice: a refusal changes nothing */
}

fov_status fov_path_join(char path[FOV_MAX_PATH], const char *folder, const char *name, fov_error *error) {
    size_t length = strlen(folder);
    const char *slash = !*name || (length && folder[length - 1] == '/') ? "" : "/";
    int written = snprintf(path, FOV_MAX_PATH, "%s%s%s", folder, slash, name);
    if (written < 0 || written >= FOV_MAX_PATH) return fov_fail(error, FOV_ERR_IO, folder, "this path is too long");
    return FOV_OK;
}
