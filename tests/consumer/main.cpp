// main.cpp: a C++ program outside the tree, built against the installed library alone: reads what a model is.
// usage: main MODEL_FOLDER
#include <foveate/foveate.h>

#include <cstdio>
#include <memory>
#include <string>

int main(int count, char **arguments) {
    const std::string expected = std::to_string(FOV_VERSION_MAJOR) + "." + std::to_string(FOV_VERSION_MINOR) + "." +
                                 std::to_string(FOV_VERSION_PATCH);
    if (count != 2 || expected != fov_version()) return 1;
    fov_model *loaded = nullptr;
    fov_error error = {};
    if (fov_model_load(arguments[1], nullptr, &loaded, &error) != FOV_OK) {
        std::fprintf(stderr, "%s: %s\n", error.where, error.message);
        return 1;
    }
    const std::unique_ptr<fov_model, decltype(&fov_model_free)> model(loaded, fov_model_free);
    const fov_model_info *info = fov_model_get_info(model.get());
    std::printf("C++, foveate %s: %s, %zu layers\n", fov_version(), info->architecture, info->layers);
    return info->layers != 4;
}
