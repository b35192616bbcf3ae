// CHECK: programmer errors only. Never reachable from a file, a request or the network.
//
// The one abort in the tree. Enabled in every build, since a wrong answer is worse than none.
#pragma once

namespace quern::detail {

// Prints "file:line: CHECK failed: condition" to standard error and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace quern::detail

#define CHECK(condition)                             \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::quern::detail::check_failed(#condition, __FILE__, __LINE__))
