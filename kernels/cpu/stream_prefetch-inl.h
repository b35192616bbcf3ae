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
      : begin_(begin), next_(begin), end_(end) {}

  QUERN_PART void advance(int64_t bytes) {
    const std::byte* stop = bytes < end_ - next_ ? next_ + bytes : end_;
    for (; next_ < stop; next_ += 64) __builtin_prefetch(next_, 0, level);
  }
  // Leaves the asking for the next `bytes` bytes to the caller. Past the end, where nothing is left
  // to ask for, those at the beginning.
  QUERN_PART const std::byte* take(int64_t bytes) {
    if (next_ >= end_) return begin_;
    const std::byte* taken = next_;
    next_ += bytes;
    return taken;
  }

 private:
  const std::byte* begin_;
  const std::byte* next_;
  const std::byte* end_;
};

}  // namespace
}  // namespace quern::cpu
