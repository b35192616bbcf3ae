// Keeps the process alive when reading a mapped file raises SIGBUS (file truncated, device failed).
//
// A fixed table of registered address ranges that the signal handler can read without locks. This
// is process-wide state by nature: a signal has one handler per process. Used by MappedFile only.
// Invariant: a range is removed when nobody reads it any more and before it is unmapped.
#pragma once

#include <cstddef>

#include "config/base/result.h"

namespace quern::bus_guard {

inline constexpr int kMaxRanges = 4096;

// Registers [begin, begin + size), page-aligned at the start, and installs the handler on the first
// call. Returns the slot. Errors: table full, handler not installable.
Result<int> add_range(const void* begin, size_t size);
void remove_range(int slot);
// Whether a fault was answered inside the range of `slot` since it was registered.
bool poisoned(int slot);

}  // namespace quern::bus_guard
