/* main.c: a C program outside the tree, built against the installed library alone. */
#include <foveate/foveate.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", FOV_VERSION_MAJOR, FOV_VERSION_MINOR, FOV_VERSION_PATCH);
    if (strcmp(fov_version(), expected)) {
        fprintf(stderr, "header %s, library %s\n", expected, fov_version());
        return 1;
    }
    if (strcmp(fov_status_name(FOV_ERR_FORMAT), "format")) return 1;
    printf("C: foveate %s\n", fov_version());
    return 0;
}
