/* input.c: the line reader. Memory depends on the longest line, never on the length of the file. */
#include "input.h"
#include "report.h"
#include "xz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, LINE_MOST = 1 << 28 };

struct reader {
    int fd;
    bool terminal, ended;
    const char *name;
    xz_stream *xz;
    unsigned char magic[6]; /* first bytes, read before it is known whether they are .xz */
    size_t magic_size, magic_at;
    size_t number;
    char *bytes; /* the line being gathered and what follows it */
    size_t start, end, room;
};

static long read_some(int fd, void *buffer, size_t size) {
    for (;;) {
        ssize_t got = read(fd, buffer, size);
        if (got >= 0 || errno != EINTR) return (long)got;
    }
}

/* The file's own bytes: first those already taken to look at, then the rest. */
static long pull(void *context, unsigned char *buffer, size_t size) {
    reader *r = context;
    if (r->magic_at < r->magic_size) {
        size_t left = r->magic_size - r->magic_at;
        if (left > size) left = size;
        memcpy(buffer, r->magic + r->magic_at, left);
        r->magic_at += left;
        return (long)left;
    }
    return read_some(r->fd, buffer, size);
}

static int detect_xz(reader *r) {
    static const unsigned char magic[6] = {0xfd, '7', 'z', 'X', 'Z', 0};
    while (r->magic_size < sizeof r->magic) {
        long got = read_some(r->fd, r->magic + r->magic_size, sizeof r->magic - r->magic_size);
        if (got < 0) return complain(EXIT_FAILED, "%s: cannot read: %s: give a readable file", r->name, strerror(errno));
        if (!got) return 0;
        r->magic_size += (size_t)got;
        if (memcmp(r->magic, magic, r->magic_size)) return 0; /* so that a terminal's first line is not waited out */
    }
    r->xz = xz_open(pull, r);
    return r->xz ? 0 : complain_memory();
}

/* Whether two descriptions are of one regular file. */
static bool same_file(const struct stat *a, const struct stat *b) {
    return S_ISREG(a->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_output(const reader *r) {
    struct stat input, out;
    return !fstat(r->fd, &input) && !fstat(STDOUT_FILENO, &out) && same_file(&input, &out);
}

int reader_spare(const reader *r, const char *path) {
    struct stat input, out;
    if (!path || fstat(r->fd, &input) || stat(path, &out) || !same_file(&input, &out)) return 0;
    return complain(EXIT_USAGE, "--output: it would replace the input %s: give another name", path);
}

int reader_open(reader **out, const char *path, const char *hint) {
    bool standard = !path || !strcmp(path, "-");
    if (path && !*path) return complain(EXIT_USAGE, "FILE: the name is empty: give one, or leave it out for standard input");
    reader *r = calloc(1, sizeof *r);
    if (!r) return complain_memory();
    r->name = standard ? "standard input" : path;
    r->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int code = 0;
    if (r->fd < 0) code = complain(EXIT_FAILED, "%s: cannot open: %s: give a readable file", path, strerror(errno));
    if (!code) {
        r->terminal = isatty(r->fd);
        if (standard && r->terminal && hint) remark("%s", hint);
        code = is_output(r) ? complain(EXIT_USAGE, "%s: it is also the output: send that to another file", r->name) : detect_xz(r);
    }
    if (code) {
        reader_close(r);
        return code;
    }
    *out = r;
    return 0;
}

void reader_close(reader *r) {
    if (!r) return;
    xz_close(r->xz);
    if (r->fd > STDIN_FILENO) close(r->fd);
    free(r->bytes);
    free(r);
}

const char *reader_name(const reader *r) {
    return r->name;
}
bool reader_is_terminal(const reader *r) {
    return r->terminal;
}
size_t reader_number(const reader *r) {
    return r->number;
}

double reader_share(const reader *r) {
    struct stat status;
    if (fstat(r->fd, &status) || !S_ISREG(status.st_mode) || status.st_size <= 0) return 0;
    off_t at = lseek(r->fd, 0, SEEK_CUR);
    double held = r->xz ? 0 : (double)(r->end - r->start);
    double share = ((double)at - held) / (double)status.st_size;
    return at < 0 || share < 0 ? 0 : share > 1 ? 1 : share;
}

static int fill(reader *r) {
    if (r->start && r->room - r->end < CHUNK) {
        memmove(r->bytes, r->bytes + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (r->end - r->start > LINE_MOST)
        return complain(EXIT_FAILED, "%s: line %zu: longer than %d MiB: is this a text file?", r->name, r->number + 1,
                        LINE_MOST >> 20);
    if (r->room - r->end < CHUNK) {
        size_t room = r->room ? r->room * 2 : 2 * CHUNK;
        char *bytes = room > r->room ? realloc(r->bytes, room) : NULL;
        if (!bytes) return complain_memory();
        r->bytes = bytes;
        r->room = room;
    }
    const char *reason = NULL;
    long got = r->xz ? xz_read(r->xz, r->bytes + r->end, CHUNK, &reason) : pull(r, (unsigned char *)r->bytes + r->end, CHUNK);
    if (got < 0)
        return complain(EXIT_FAILED, "%s: line %zu: %s%s", r->name, r->number + 1, reason ? reason : strerror(errno),
                        reason ? "" : ": give a readable file");
    if (!got) r->ended = true;
    r->end += (size_t)got;
    return 0;
}

int reader_line(reader *r, const char **line, size_t *size) {
    size_t seen = 0;
    for (;;) {
        size_t held = r->end - r->start;
        char *found = held > seen ? memchr(r->bytes + r->start + seen, '\n', held - seen) : NULL;
        if (!found && !r->ended) {
            seen = held;
            if (fill(r)) return -1;
            continue;
        }
        if (!found && !held) return 0;
        *line = r->bytes + r->start;
        *size = found ? (size_t)(found - *line) : held;
        r->start += *size + (found != NULL);
        if (*size && (*line)[*size - 1] == '\r') --*size;
        if (!r->number && *size >= 3 && !memcmp(*line, "\xef\xbb\xbf", 3)) {
            *line += 3;
            *size -= 3;
        }
        r->number++;
        return 1;
    }
}
