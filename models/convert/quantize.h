// Writes a model file anew with its matrices in the formats of a recipe.
//
// Streams: a piece of one tensor at a time is decoded, encoded by all threads and written, so
// memory does not grow with the model. Same input and choices, same bytes, whatever the number of
// threads and the instruction set. The result appears under its name only when it is complete.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>

#include "config/base/result.h"
#include "config/hardware/profile.h"
#include "models/convert/quantize_plan.h"

namespace quern::convert {

struct QuantizeOptions {
  int threads = 1;
  hardware::IsaMask isa = {};  // what the encoders may use
  // Called between pieces with the weights done so far and in all.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
  // Set from elsewhere (a signal handler) to stop; may be null.
  const std::atomic<bool>* stop = nullptr;
};

// Errors: no room for the result, a weight that is not finite, the input going away or
// rewritten under the mapping, interrupted (kCancelled). Nothing is left at `out` then but what was
// there before.
Status quantize_file(const gguf::GgufFile& file, const QuantizePlan& plan,
                     const QuantizeOptions& options, const std::filesystem::path& out);

}  // namespace quern::convert
