# quern_flags: warnings, sanitizers and floating-point rules for every target of ours.
add_library(quern_flags INTERFACE)
target_compile_features(quern_flags INTERFACE cxx_std_20)
target_compile_options(
  quern_flags
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
            # The reproducibility contract: no reassociation and no fused multiply-add that the
            # source does not spell out.
            -ffp-contract=off -fno-fast-math)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 and 13 warn about std::string operator+ by mistake (GCC bug 105651).
  target_compile_options(quern_flags INTERFACE -Wno-restrict)
endif()
# Off in the release preset: a newer compiler's new warning must not keep anybody from building.
if(QUERN_WERROR)
  target_compile_options(quern_flags INTERFACE -Werror)
endif()

if(QUERN_SANITIZE AND QUERN_SANITIZE MATCHES "thread" AND QUERN_SANITIZE MATCHES "address")
  message(FATAL_ERROR "QUERN_SANITIZE: 'thread' and 'address' cannot be combined")
endif()
if(QUERN_SANITIZE)
  target_compile_options(quern_flags INTERFACE -fsanitize=${QUERN_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(quern_flags INTERFACE -fsanitize=${QUERN_SANITIZE})
  if(QUERN_SANITIZE MATCHES "undefined")
    target_compile_options(quern_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
if(QUERN_COVERAGE)
  # Counters are shared by threads; lost updates would make lines look as if they never ran.
  target_compile_options(quern_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(quern_flags INTERFACE --coverage)
endif()
