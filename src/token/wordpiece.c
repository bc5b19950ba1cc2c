/* wordpiece.c: one normalised word to ids, longest piece first (Schuster and Nakajima, "Japanese and Korean voice search", 2012).
 *
 * Words are at most max_chars long, so the walk is bounded by pieces x longest piece; a word that cannot be covered is [UNK]. */
#include "token/tokenizer.h"

size_t fov_wordpiece_split(const fov_tokenizer *tokenizer, const uint8_t *word, size_t size, int32_t *ids) {
    size_t count = 0;
    const fov_trie *trie = &tokenizer->first;
    for (size_t at = 0; at < size; trie = &tokenizer->inside) {
        size_t taken = fov_trie_longest(trie, word + at, size - at, &ids[count]);
        if (!taken) {
            ids[0] = tokenizer->special.unk;
            return 1;
        }
        at += taken;
        count++;
    }
    return count;
}
