# Install: program, both libraries, public headers, pkg-config and CMake package files.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS foveate_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS foveate_shared EXPORT foveateTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS foveate EXPORT foveateStaticTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/foveate DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/foveate)
install(EXPORT foveateTargets NAMESPACE foveate:: DESTINATION ${package_dir})
install(EXPORT foveateStaticTargets NAMESPACE foveate:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/foveateConfig.cmake.in ${PROJECT_BINARY_DIR}/foveateConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# 0.x: a new minor version may break, so only the same minor version is compatible.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/foveateConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/foveateConfig.cmake ${PROJECT_BINARY_DIR}/foveateConfigVersion.cmake DESTINATION ${package_dir})

# The prefix relative to the .pc file, so that `cmake --install --prefix` and moved trees are right.
file(RELATIVE_PATH FOV_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" FOV_PC_PREFIX "${FOV_PC_PREFIX}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/foveate.pc.in ${PROJECT_BINARY_DIR}/foveate.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/foveate.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
