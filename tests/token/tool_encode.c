/* tool_encode.c: encode a file of texts and write the ids, for compare_hf.py; or time passes over it, for bench/tokenize.py.
 *
 *     tool_encode VOCABULARY lower strip chinese max_length TEXTS OUT     write
 *     tool_encode VOCABULARY lower strip chinese max_length TEXTS         one pass per line of standard input, prints its seconds
 *
 * VOCABULARY ends in .json: tokenizer.json; in /: a folder of vocab.json and merges.txt, lower then stands for add_prefix_space.
 * TEXTS: records of u32 size of a, u32 size of b (2^32 - 1: no b), bytes of a and b. OUT: per record u32 count, truncated, invalid,
 * then i32 ids and u8 types. Byte order is the machine's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "token/token.h"

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return NULL;
    long end = ftell(file);
    rewind(file);
    char *data = end < 0 ? NULL : malloc((size_t)end + 1);
    *size = data ? fread(data, 1, (size_t)end, file) : 0;
    fclose(file);
    return data;
}

static fov_tokenizer *load(const char *path, char **args, fov_error *error) {
    fov_tokenizer_options options = {.lower_case = atoi(args[0]),
                                     .strip_accents = atoi(args[1]),
                                     .chinese_chars = atoi(args[2]),
                                     .add_prefix_space = atoi(args[0])};
    fov_tokenizer *made = NULL;
    size_t size, merges_size = 0;
    char name[2][4096], *merges = NULL;
    bool folder = path[strlen(path) - 1] == '/';
    snprintf(name[0], sizeof name[0], "%s%s", path, folder ? "vocab.json" : "");
    snprintf(name[1], sizeof name[1], "%smerges.txt", path);
    char *vocab = read_file(name[0], &size);
    if (folder) merges = read_file(name[1], &merges_size);
    if (!vocab || (folder && !merges))
        *error = (fov_error){.where = "read", .message = "cannot"};
    else if (folder)
        fov_tokenizer_from_merges(vocab, size, name[0], merges, merges_size, name[1], &options, NULL, &made, error);
    else if (strstr(path, ".json"))
        fov_tokenizer_from_json(vocab, size, path, NULL, &made, error);
    else
        fov_tokenizer_from_vocab(vocab, size, &options, path, NULL, &made, error);
    free(vocab);
    free(merges);
    return made;
}

static const fov_tokenizer *tokenizer;
static fov_token_scratch scratch;
static size_t max_length;

static int pass(const char *texts, size_t size, FILE *out) {
    for (size_t at = 0; at + 8 <= size;) {
        uint32_t sizes[2];
        memcpy(sizes, texts + at, sizeof sizes);
        const char *a = texts + at + 8, *b = sizes[1] == UINT32_MAX ? NULL : a + sizes[0];
        size_t b_size = b ? sizes[1] : 0;
        fov_encoding e;
        fov_error error;
        if (fov_tokenizer_encode(tokenizer, &scratch, NULL, a, sizes[0], b, b_size, max_length, &e, &error)) {
            fprintf(stderr, "%s: %s\n", error.where, error.message);
            return 1;
        }
        at += 8 + sizes[0] + b_size;
        if (!out) continue;
        uint32_t head[3] = {(uint32_t)e.count, (uint32_t)e.truncated, (uint32_t)e.invalid};
        fwrite(head, sizeof head, 1, out);
        fwrite(e.ids, sizeof *e.ids, e.count, out);
        fwrite(e.types, 1, e.count, out);
    }
    return 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int count, char **args) {
    if (count < 7) return 2;
    size_t size;
    char *texts = read_file(args[6], &size);
    if (!texts) return 1;
    max_length = strtoul(args[5], NULL, 10);
    fov_error error = {0};
    fov_tokenizer *made = load(args[1], args + 2, &error);
    if (!made) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        return 1;
    }
    tokenizer = made;
    int failed = 0;
    if (count > 7) {
        FILE *out = fopen(args[7], "wb");
        failed = !out || pass(texts, size, out) || fclose(out);
    } else {
        while (!failed && getchar() != EOF) {
            double start = now();
            failed = pass(texts, size, NULL);
            printf("%.6f\n", now() - start);
            fflush(stdout);
        }
    }
    fov_token_scratch_free(&scratch, NULL);
    fov_tokenizer_free(made);
    free(texts);
    return failed;
}
