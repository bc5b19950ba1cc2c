/* mapfile.h: read-only mapped files, and joining paths. */
#ifndef FOV_CORE_MAPFILE_H
#define FOV_CORE_MAPFILE_H

#include "foveate/foveate.h"

enum { FOV_MAX_PATH = 4096 };

typedef struct fov_mapfile {
    const void *data;
    size_t size;
} fov_mapfile;

/* Map a regular file, which must not shrink while it is mapped. An empty file gives data = NULL, size = 0. FOV_ERR_IO names the
 * path and the reason. */
fov_status fov_mapfile_open(fov_mapfile *file, const char *path, fov_error *error);
void fov_mapfile_close(fov_mapfile *file);
/* Tell the system that [data, data + size) of a mapping will not be read soon: its pages leave this process's memory. */
void fov_mapfile_drop(const void *data, size_t size);

/* "folder/name" into path; name "" gives the folder. FOV_ERR_IO when it is too long. */
fov_status fov_path_join(char path[FOV_MAX_PATH], const char *folder, const char *name, fov_error *error);

#endif
