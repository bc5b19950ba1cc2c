/* nearest.h: the word that was meant, for "did you mean". */
#ifndef FOVEATE_CLI_NEAREST_H
#define FOVEATE_CLI_NEAREST_H

#include <stddef.h>

/* The candidate nearest to `word` by edit distance, or NULL when none is near. */
const char *nearest(const char *word, const char *(*at)(const void *context, size_t index), const void *context);
size_t edit_distance(const char *a, const char *b);

#endif
