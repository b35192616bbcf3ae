// Counts the heap bytes that this test binary holds through operator new.
#pragma once

#include <cstddef>

namespace quern::gguf {

// Highest number of bytes held at once since the last reset, above what was held at that reset.
size_t peak_bytes();
void reset_peak();

}  // namespace quern::gguf
