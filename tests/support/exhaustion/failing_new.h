// The program's operator new, made to fail where a test wants it.
#pragma once

#include <cstdint>

namespace quern::tests {

// Of what this thread allocates from now on, `first` - 1 pieces are granted, then `n` are not.
void fail_allocations(int64_t first, int64_t n);
// The same for all other threads together.
void fail_allocations_elsewhere(int64_t first, int64_t n);
// From now on all are granted, here and elsewhere; how many were not.
int64_t grant_allocations();

}  // namespace quern::tests
