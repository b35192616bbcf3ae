# layer_library(NAME SOURCES ... DEPS ... LIBS ...): one static library per folder.
#
# The folder's headers are reachable as "<folder>/<header>" only by targets that list it in DEPS
# (directly or through a dependency): each target exports a directory that holds nothing but a link
# to its own folder. A forbidden include therefore does not compile.
#
#   NAME     target name, the folder path with "_" for "/", e.g. kernels_formats
#   SOURCES  explicit list, relative to the folder
#   DEPS     layers this one may include
#   LIBS     third-party libraries (imported targets or link flags), private to the folder
#   PUBLIC_LIBS third-party libraries whose headers appear in this folder's headers
function(layer_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;PUBLIC_LIBS" ${ARGN})
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(export_dir ${PROJECT_BINARY_DIR}/include/${name})
  get_filename_component(parent ${export_dir}/${folder} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${export_dir}/${folder} SYMBOLIC)

  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${name} PRIVATE quern_flags ${ARG_LIBS})
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${export_dir})
  target_link_libraries(${name} ${scope} ${ARG_DEPS} ${ARG_PUBLIC_LIBS})
endfunction()

# layer_test(NAME SOURCES ... DEPS ... LIBS ... LABELS ...): one GoogleTest binary, one ctest entry.
function(layer_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  if(NOT QUERN_TESTS)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE quern_flags ${ARG_DEPS} ${ARG_LIBS} GTest::gtest_main
                                        GTest::gmock)
  target_compile_definitions(
    ${name} PRIVATE QUERN_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                    QUERN_SHARED_DATA_DIR="${PROJECT_SOURCE_DIR}/../shared/data")
  add_test(NAME ${name} COMMAND ${name})
  # All tests with this label, for `./dev tsan`.
  if("threads" IN_LIST ARG_LABELS)
    if(NOT TARGET threads_tests)
      add_custom_target(threads_tests)
    endif()
    add_dependencies(threads_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
