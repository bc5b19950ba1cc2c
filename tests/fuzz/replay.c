/* replay.c: a fuzz target as an ordinary program: runs it over every file of the folders given. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return 1;
    static uint8_t bytes[1 << 20];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    int bad = ferror(file) || !feof(file);
    fclose(file);
    if (bad) return 1;
    uint8_t *copy = malloc(size ? size : 1); /* of the exact size, so that a sanitizer sees a read past the end */
    if (!copy) return 1;
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

int main(int count, char **paths) {
    unsigned files = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(paths[i]);
        if (!folder) {
            fprintf(stderr, "%s: not a folder\n", paths[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            if (entry->d_name[0] == '.') continue;
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", paths[i], entry->d_name);
            if (replay_file(path)) {
                fprintf(stderr, "%s: unreadable or longer than 1 MiB\n", path);
                closedir(folder);
                return 1;
            }
            files++;
        }
        closedir(folder);
    }
    printf("%u inputs\n", files);
    return files ? 0 : 1;
}
