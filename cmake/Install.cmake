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

# Man page and shell completions, written by the program from its own tables.
if(NOT CMAKE_C_FLAGS MATCHES "-fsanitize" AND NOT CMAKE_CROSSCOMPILING)
  set(share ${PROJECT_BINARY_DIR}/share)
  add_custom_command(OUTPUT ${share}/foveate.1 ${share}/foveate.bash ${share}/_foveate ${share}/foveate.fish
    COMMAND ${CMAKE_COMMAND} -E make_directory ${share}
    COMMAND foveate_cli help --man > ${share}/foveate.1
    COMMAND foveate_cli completion bash > ${share}/foveate.bash
    COMMAND foveate_cli completion zsh > ${share}/_foveate
    COMMAND foveate_cli completion fish > ${share}/foveate.fish
    DEPENDS foveate_cli VERBATIM)
  add_custom_target(foveate_share ALL DEPENDS ${share}/foveate.1)
  install(FILES ${share}/foveate.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${share}/foveate.bash RENAME foveate DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${share}/_foveate DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${share}/foveate.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
