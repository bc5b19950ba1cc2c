/* main.c: a C program outside the tree, built against the installed library alone: classifies one sentence.
 * usage: main MODEL_FOLDER */
#include <foveate/foveate.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **arguments) {
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", FOV_VERSION_MAJOR, FOV_VERSION_MINOR, FOV_VERSION_PATCH);
    if (count != 2 || strcmp(fov_version(), expected)) {
        fprintf(stderr, "usage: %s FOLDER; header %s, library %s\n", arguments[0], expected, fov_version());
        return 1;
    }
    fov_model *model = NULL;
    fov_session *session = NULL;
    fov_error error = {FOV_OK, "", ""};
    const char *sentence = "The ending stayed with me for days.";
    const fov_text text = {sentence, NULL, strlen(sentence), 0};
    float logits[2], scores[2];
    fov_status status = fov_model_load(arguments[1], NULL, &model, &error);
    if (status == FOV_OK) status = fov_session_create(model, NULL, &session, &error);
    if (status == FOV_OK) status = fov_classify(session, &text, 1, logits, NULL, &error);
    if (status == FOV_OK) {
        fov_scores(model, logits, scores);
        printf("C, foveate %s: %s %.3f\n", fov_version(), fov_model_label(model, scores[1] > scores[0]),
               (double)(scores[1] > scores[0] ? scores[1] : scores[0]));
    } else {
        fprintf(stderr, "%s: %s: %s\n", fov_status_name(status), error.where, error.message);
    }
    fov_session_free(session);
    fov_model_free(model);
    return status != FOV_OK;
}
