// main.cpp: a C++ program outside the tree, built against the installed library alone.
#include <foveate/foveate.h>

#include <cstdio>
#include <string>

int main() {
    const std::string expected = std::to_string(FOV_VERSION_MAJOR) + "." + std::to_string(FOV_VERSION_MINOR) + "." +
                                 std::to_string(FOV_VERSION_PATCH);
    if (expected != fov_version()) return 1;
    std::printf("C++: foveate %s\n", fov_version());
    return 0;
}
