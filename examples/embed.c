/* embed.c: how alike are texts? The cosine of the first argument's vector with each of the others'.
 *
 *     cc embed.c -o embed $(pkg-config --cflags --libs foveate)
 *     ./embed models/tiny-sentiment "a warm, funny film" "warm and funny" "two hours lost" */
#include <foveate/foveate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: embed MODEL TEXT OTHER...\n");
        return 2;
    }
    size_t count = (size_t)argc - 2;
    const fov_session_options options = {.pooling = FOV_POOLING_MEAN, .normalize = 1};
    fov_model *model = NULL;
    fov_session *session = NULL;
    float *vectors = NULL;
    fov_text *texts = NULL;
    fov_error error;
    int code = 1;

    if (fov_model_load(argv[1], NULL, &model, &error)) goto failed;
    if (fov_session_create(model, &options, &session, &error)) goto failed;

    size_t width = fov_model_get_info(model)->width;
    texts = calloc(count, sizeof *texts);
    vectors = calloc(count * width, sizeof *vectors);
    if (!texts || !vectors) goto end;
    for (size_t i = 0; i < count; i++) texts[i] = (fov_text){.a = argv[i + 2], .a_size = strlen(argv[i + 2])};
    if (fov_embed(session, texts, count, vectors, NULL, &error)) goto failed;

    for (size_t i = 1; i < count; i++) { /* of length 1, so that the product is the cosine */
        double cosine = 0;
        for (size_t c = 0; c < width; c++) cosine += (double)vectors[c] * (double)vectors[i * width + c];
        printf("%.3f\t%s\n", cosine, argv[i + 2]);
    }
    code = 0;
    goto end;
failed:
    fprintf(stderr, "embed: %s (%s)\n", error.message, error.where);
end:
    free(vectors);
    free(texts);
    fov_session_free(session);
    fov_model_free(model);
    return code;
}
