// Loops whose counter is a type, for bodies that need it as a constant.
#pragma once

#include "kernels/cpu/inlining.h"

namespace quern::cpu {
namespace {

// A number as a type.
template <int n>
struct Index {
  static constexpr int value = n;
};
// body(Index<begin>()) ... body(Index<end - 1>()).
template <int begin, int end, typename Body>
QUERN_PART void unrolled(Body body) {
  if constexpr (begin < end) {
    body(Index<begin>());
    unrolled<begin + 1, end>(body);
  }
}

}  // namespace
}  // namespace quern::cpu
