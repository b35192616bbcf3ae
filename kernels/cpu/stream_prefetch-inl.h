// Asks for memory that is needed soon, a little at a time, so that memory works while the processor
// does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/inlining.h"

namespace quern::cpu {
namespace {

// Walks over [begin, end). `level`: 3 for the nearest cache, 2 for the next.
template <int level>
class StreamPrefetch {
 public:
  QUERN_PART StreamPrefetch(const std::byte* begin, const std::byte* end)
      : next_(begin), end_(end) {}

  QUERN_PART void advance(int64_t bytes) {
    const std::byte* stop = bytes < end_ - next_ ? next_ + bytes : end_;
    for (; next_ < stop; next_ += 64) __builtin_prefetch(next_, 0, level);
  }

 private:
  const std::byte* next_;
  const std::byte* end_;
};

}  // namespace
}  // namespace quern::cpu
