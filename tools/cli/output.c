/* output.c: atomic output files, standard output, JSON. A file is written under a temporary name, synced, and renamed; so a
 * good file is never replaced by half of one. */
#include "output.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Unfinished files, for the signal handler. */
enum { SLOTS = 4 };
static char *volatile unfinished[SLOTS];

static void remove_unfinished(int signal_number) {
    for (int i = 0; i < SLOTS; i++)
        if (unfinished[i]) unlink(unfinished[i]);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void output_prepare(void) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    /* A closed standard stream must not become the next file that is opened: it is put where reading or writing fails. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) _exit(EXIT_FAILED);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* writes report it */
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction old, action = {.sa_handler = remove_unfinished};
        sigemptyset(&action.sa_mask);
        if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN) sigaction(ends[i], &action, NULL);
    }
}

int output_guard(char *path) {
    for (int i = 0; i < SLOTS; i++)
        if (!unfinished[i]) {
            unfinished[i] = path;
            return i;
        }
    return -1;
}

void output_unguard(int slot) {
    if (slot >= 0) unfinished[slot] = NULL;
}

int output_failed(const char *path, int error) {
    struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (!path && (error == EPIPE || (poll(&reader, 1, 0) == 1 && reader.revents & POLLERR))) return EXIT_FAILED;
    return complain(EXIT_FAILED, "%s: cannot write: %s: choose a writable place with room", path ? path : "standard output",
                    error ? strerror(error) : "unknown error");
}

/* The mode a plain fopen would give; mkstemp's is 0600. */
static mode_t plain_mode(void) {
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/* "a/b" gives "a", "b" gives ".", "/b" gives "/"; the caller frees. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) + (slash == path) : 1;
    char *folder = malloc(size + 1);
    if (!folder) return NULL;
    memcpy(folder, slash ? path : ".", size);
    folder[size] = '\0';
    return folder;
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int output_probe(const char *path) {
    struct stat target;
    char *folder = folder_of(path);
    if (!folder) return complain_memory();
    int error = access(folder, W_OK | X_OK) ? errno : 0;
    free(folder);
    if (!error && !stat(path, &target)) error = S_ISDIR(target.st_mode) ? EISDIR : access(path, W_OK) ? errno : 0;
    return error ? output_failed(path, error) : 0;
}

bool output_replaces(const char *path, const char *other) {
    struct stat a, b;
    if (!other || !*other) return false;
    const bool absent = stat(path, &a) || stat(other, &b);
    if (!absent) return S_ISREG(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    /* Neither need be there yet: one name in one folder, however that is written. */
    const char *const names[2] = {last_name(path), last_name(other)};
    char *folders[2] = {folder_of(path), folder_of(other)};
    const bool same = !strcmp(names[0], names[1]) && folders[0] && folders[1] && !stat(folders[0], &a) && !stat(folders[1], &b) &&
                      a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    free(folders[0]);
    free(folders[1]);
    return same || !strcmp(path, other);
}

int output_open(output *out, const char *path) {
    *out = (output){.file = stdout, .slot = -1};
    if (!path) return 0;
    *out = (output){.path = path, .slot = -1};
    struct stat target;
    /* A device or a pipe (/dev/null, /dev/stdout) cannot be replaced: it is written directly. */
    if (!stat(path, &target) && !S_ISREG(target.st_mode) && !S_ISDIR(target.st_mode)) {
        out->file = fopen(path, "w");
        return out->file ? 0 : output_failed(path, errno);
    }
    int code = output_probe(path);
    if (code) return code;
    enum { RANDOM = 6 }; /* letters that mkstemp replaces */
    size_t size = strlen(path);
    out->partial = malloc(size + RANDOM + 2);
    if (!out->partial) return complain_memory();
    memcpy(out->partial, path, size);
    out->partial[size] = '.';
    memset(out->partial + size + 1, 'X', RANDOM);
    out->partial[size + 1 + RANDOM] = '\0';
    int fd = mkstemp(out->partial);
    if (fd < 0) {
        int error = errno;
        free(out->partial);
        out->partial = NULL;
        return output_failed(path, error);
    }
    out->slot = output_guard(out->partial);
    out->file = fchmod(fd, plain_mode()) ? NULL : fdopen(fd, "w");
    if (out->file) return 0;
    int error = errno;
    close(fd);
    output_close(out, false);
    return output_failed(path, error);
}

void output_sync_folder(const char *path) {
    char *folder = folder_of(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY) : -1;
    if (fd >= 0) {
        fsync(fd); /* best effort: some file systems refuse, and the rename has been done */
        close(fd);
    }
    free(folder);
}

int output_check(output *out) {
    errno = 0;
    if (!fflush(out->file) && !ferror(out->file)) return 0;
    return output_failed(out->path, errno);
}

int output_close(output *out, bool keep) {
    int error = 0;
    if (out->file) {
        errno = 0;
        if (fflush(out->file) || ferror(out->file)) error = errno ? errno : EIO;
        if (!error && keep && out->partial && fsync(fileno(out->file))) error = errno;
        if (out->path && fclose(out->file) && !error) error = errno;
    }
    if (out->partial) {
        if (!error && keep && rename(out->partial, out->path)) error = errno;
        if (error || !keep) unlink(out->partial);
        if (!error && keep) output_sync_folder(out->path);
        output_unguard(out->slot);
        free(out->partial);
    }
    const char *path = out->path;
    *out = (output){.slot = -1};
    return error && keep ? output_failed(path, error) : 0;
}

json_t *json_number(double number) {
    return isfinite(number) ? json_real(number) : json_null();
}

json_t *json_count(double count) {
    return fabs(count) <= 0x1p53 ? json_integer((json_int_t)count) : json_number(count);
}

json_t *json_text(const char *text) {
    json_t *value = json_string(text);
    if (value) return value;
    char *copy = strdup(text);
    if (!copy) return NULL;
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

int output_json(output *out, json_t *value, int form) {
    if (!value) return complain_memory();
    size_t flags = JSON_REAL_PRECISION(9) | (form == JSON_PAGES ? JSON_INDENT(2) : 0);
    errno = 0;
    int failed = json_dumpf(value, out->file, flags) || putc('\n', out->file) == EOF;
    int error = errno;
    json_decref(value);
    return failed ? output_failed(out->path, error) : 0;
}

/* Bytes of the character at text: the lead byte and its continuation bytes. */
static size_t character_size(const char *text, size_t size) {
    size_t next = 1;
    while (next < size && ((unsigned char)text[next] & 0xc0) == 0x80) next++;
    return next;
}

void output_cell(FILE *file, const char *text, size_t size, size_t columns) {
    size_t at = 0, count = 0, fits = 0; /* fits: bytes that leave room for the dots */
    for (; at < size && count <= columns; count++) {
        at += character_size(text + at, size - at);
        if (count + 4 <= columns) fits = at;
    }
    bool cut = count > columns;
    for (size_t i = 0, end = cut ? fits : size, next; i < end; i += next) {
        next = character_size(text + i, end - i);
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            putc(' ', file);
        else
            fwrite(text + i, 1, next, file);
    }
    if (cut) fputs("...", file);
}
