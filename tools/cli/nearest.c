/* nearest.c: the word that was meant, for "did you mean". */
#include "nearest.h"

#include <stdint.h>
#include <string.h>

/* Damerau-Levenshtein (optimal string alignment): a swap of neighbours, the commonest slip, counts one. */
size_t edit_distance(const char *a, const char *b) {
    enum { LONGEST = 48 };
    size_t row[3][LONGEST + 1], n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) return SIZE_MAX; /* near nothing */
    for (size_t j = 0; j <= m; j++) row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *before = row[(i + 2) % 3], *two = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1 < best) best = before[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two[j - 2] + 1 < best) best = two[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *nearest(const char *word, const char *(*at)(const void *context, size_t index), const void *context) {
    const char *best = NULL, *candidate;
    size_t least = strlen(word) / 3 + 2; /* farther than this is no slip */
    for (size_t i = 0; (candidate = at(context, i)); i++) {
        size_t distance = edit_distance(word, candidate);
        size_t size = strlen(word);
        if (size >= 3 && !strncmp(word, candidate, size)) distance = 1; /* an abbreviation */
        if (distance < least) {
            least = distance;
            best = candidate;
        }
    }
    return best;
}
