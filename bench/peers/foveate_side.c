/* foveate_side.c: foveate as one side of bench/peers, through the public interface alone. It answers the commands of side.py, which
 * see; a pass is from text to result, tokenising included. peers.py compiles it.
 * usage: foveate_side MODEL DTYPE THREADS MAX_LENGTH classify|embed TEXTS ALL */
#include <foveate/foveate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 3 }; /* single texts before those that are timed */

typedef struct side {
    fov_model *model;
    fov_session *session;
    size_t columns;
    int embed;
} side;

typedef struct lines {
    char *bytes;
    fov_text *texts;
    size_t count;
} lines;

static _Noreturn void stop(const char *what) {
    fprintf(stderr, "foveate: %s\n", what);
    exit(1);
}

static void *need(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) stop("out of memory");
    return memory;
}

/* A text per line, or two separated by a TAB. */
static lines read_lines(const char *path) {
    lines l = {0};
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) stop(path);
    long end = ftell(file);
    size_t size = end < 0 ? 0 : (size_t)end;
    rewind(file);
    l.bytes = need(size, 1);
    if (fread(l.bytes, 1, size, file) != size) stop(path);
    fclose(file);
    size_t room = 0;
    for (size_t i = 0; i < size; i++) room += l.bytes[i] == '\n';
    l.texts = need(room, sizeof *l.texts);
    for (char *at = l.bytes; l.count < room; l.count++) {
        char *feed = memchr(at, '\n', size - (size_t)(at - l.bytes)), *tab = memchr(at, '\t', (size_t)(feed - at));
        fov_text *text = &l.texts[l.count];
        *text = (fov_text){.a = at, .a_size = (size_t)((tab ? tab : feed) - at)};
        if (tab) text->b = tab + 1, text->b_size = (size_t)(feed - text->b);
        at = feed + 1;
    }
    return l;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double run(const side *s, const fov_text *texts, size_t count, float *out) {
    fov_error error;
    double start = now();
    fov_status status = s->embed ? fov_embed(s->session, texts, count, out, NULL, &error)
                                 : fov_classify(s->session, texts, count, out, NULL, &error);
    if (status) stop(error.message);
    return now() - start;
}

static unsigned long long tokens(const side *s) {
    fov_stats stats;
    fov_session_get_stats(s->session, &stats);
    fov_session_reset_stats(s->session);
    return stats.tokens;
}

static void say_answers(const side *s, const char *path) {
    lines all = read_lines(path);
    float *out = need(all.count * s->columns, sizeof *out);
    fov_session_reset_stats(s->session);
    run(s, all.texts, all.count, out);
    printf("{\"tokens\": %llu, \"answers\": [", tokens(s));
    for (size_t i = 0; i < all.count; i++)
        for (size_t j = 0; j < s->columns; j++)
            printf("%s%.7g%s", j ? ", " : i ? ", [" : "[", (double)out[i * s->columns + j], j + 1 == s->columns ? "]" : "");
    puts("]}");
    free(out);
    free(all.texts);
    free(all.bytes);
}

static void say_peak(void) {
    char line[200];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
    if (file) fclose(file);
    printf("{\"peak\": %llu}\n", kilobytes * 1024);
}

static void load(side *s, char **argv) {
    fov_error error;
    fov_model_options model = {.threads = (unsigned)atoi(argv[3]), .dtype = argv[2]};
    fov_session_options session = {.threads = model.threads, .max_length = (size_t)atol(argv[4])};
    s->embed = !strcmp(argv[5], "embed");
    if (s->embed) session.pooling = FOV_POOLING_MEAN, session.normalize = 1;
    if (fov_model_load(argv[1], &model, &s->model, &error)) stop(error.message);
    if (fov_session_create(s->model, &session, &s->session, &error)) stop(error.message);
    const fov_model_info *info = fov_model_get_info(s->model);
    s->columns = s->embed ? info->width : info->labels;
}

int main(int argc, char **argv) {
    side s = {0};
    fov_machine machine;
    char command[100];
    unsigned long at, count;
    if (argc != 8) stop("usage: foveate_side MODEL DTYPE THREADS MAX_LENGTH classify|embed TEXTS ALL");
    if (fov_machine_query(&machine, NULL)) stop("no machine");
    load(&s, argv);
    lines l = read_lines(argv[6]);
    float *out = need(l.count * s.columns, sizeof *out);
    run(&s, l.texts, l.count, out);
    printf("{\"tokens\": %llu, \"versions\": {\"foveate\": \"%s\"}, \"tier\": \"%s\"}\n", tokens(&s), fov_version(), machine.tier);
    for (fflush(stdout); fgets(command, sizeof command, stdin); fflush(stdout)) {
        if (!strcmp(command, "pass\n")) {
            printf("{\"seconds\": %.9f}\n", run(&s, l.texts, l.count, out));
        } else if (sscanf(command, "latency %lu %lu", &at, &count) == 2) {
            for (size_t i = 0; i < WARM_UP && i < count; i++) run(&s, &l.texts[(at + i) % l.count], 1, out);
            for (size_t i = 0; i < count; i++)
                printf("%s%.9f", i ? ", " : "{\"seconds\": [", run(&s, &l.texts[(at + i) % l.count], 1, out));
            puts("]}");
        } else if (!strcmp(command, "answers\n")) {
            say_answers(&s, argv[7]);
        } else if (!strcmp(command, "memory\n")) {
            say_peak();
        }
    }
    free(out);
    free(l.texts);
    free(l.bytes);
    fov_session_free(s.session);
    fov_model_free(s.model);
    return 0;
}
