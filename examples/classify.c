/* classify.c: the label of each argument, with its probability.
 *
 *     cc classify.c -o classify $(pkg-config --cflags --libs foveate)
 *     ./classify models/tiny-sentiment "a warm, funny film" "two hours lost" */
#include <foveate/foveate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: classify MODEL TEXT...\n");
        return 2;
    }
    size_t count = (size_t)argc - 2;
    fov_model *model = NULL;
    fov_session *session = NULL;
    float *logits = NULL, *scores = NULL;
    fov_text *texts = NULL;
    fov_error error;
    int code = 1;

    if (fov_model_load(argv[1], NULL, &model, &error)) goto failed;
    if (fov_session_create(model, NULL, &session, &error)) goto failed; /* a session per thread; the model is shared */

    size_t labels = fov_model_get_info(model)->labels;
    texts = calloc(count, sizeof *texts);
    logits = calloc(count * labels + 1, sizeof *logits);
    scores = calloc(labels + 1, sizeof *scores);
    if (!texts || !logits || !scores) goto end;
    for (size_t i = 0; i < count; i++) texts[i] = (fov_text){.a = argv[i + 2], .a_size = strlen(argv[i + 2])};
    if (fov_classify(session, texts, count, logits, NULL, &error)) goto failed;

    for (size_t i = 0; i < count; i++) {
        size_t best = 0;
        fov_scores(model, logits + i * labels, scores);
        for (size_t j = 1; j < labels; j++)
            if (scores[j] > scores[best]) best = j;
        printf("%s\t%.3f\t%s\n", fov_model_label(model, best), (double)scores[best], argv[i + 2]);
    }
    code = 0;
    goto end;
failed:
    fprintf(stderr, "classify: %s (%s)\n", error.message, error.where);
end:
    free(scores);
    free(logits);
    free(texts);
    fov_session_free(session);
    fov_model_free(model);
    return code;
}
